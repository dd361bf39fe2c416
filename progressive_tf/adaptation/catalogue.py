"""The adaptation methods a plan can name, and the additions that a saved network can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from progressive_tf.adaptation.adapter import Adapter, adapter
from progressive_tf.adaptation.choosing import bitfit, full, gradual, head, linear_head, top_blocks
from progressive_tf.adaptation.lora import LowRankUpdate, lora
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.adaptation.prompt import Prompt, prompt
from progressive_tf.models.block_model import BlockModel

CHOOSING: dict[str, Callable[[BlockModel, Any], MovedWeights]] = {
    "full": full,
    "head": head,
    "top-blocks": top_blocks,
    "bitfit": bitfit,
    "slda": linear_head,
    "prototypes": linear_head,
}
ADDING: dict[str, Callable[[BlockModel, Any, int], MovedWeights]] = {"lora": lora, "adapter": adapter, "prompt": prompt}
PHASED: dict[str, Callable[[BlockModel, Any], list[MovedWeights]]] = {"gradual": gradual}
ADDITIONS = {addition.kind: addition for addition in (LowRankUpdate, Adapter)}


def adapt(network: BlockModel, adaptation: Any, seed: int) -> list[MovedWeights]:
    """Adds to a network what a stage's `adaptation` section asks for; returns what moves, phase by phase.

    The last phase moves everything that the phases before it move.

    Args:
        network: at the weights that the stage starts from; it may get additions.
        adaptation: the plan's section.
        seed: initialises what is added.

    Raises:
        InputError: what the network cannot do.
    """
    method = adaptation.method
    if method in PHASED:
        return PHASED[method](network, adaptation)
    return [ADDING[method](network, adaptation, seed) if method in ADDING else CHOOSING[method](network, adaptation)]


def restore_additions(network: BlockModel, described: Sequence[dict[str, Any]]) -> None:
    """Adds what `BlockModel.additions` has described and the network does not have; weights are those of a new one.

    Raises ValueError for a kind or a place that does not exist here.
    """
    present = network.additions()
    for item in described:
        if item in present:
            continue
        if item["kind"] == Prompt.kind:
            network.insert_block(item["index"], Prompt(item["settings"]["length"], network.width))
            continue
        projections = {(block.name, place.name): place for block in network.blocks for place in block.projections}
        place = projections.get((item["block"], item["projection"]))
        if place is None or item["kind"] not in ADDITIONS:
            raise ValueError(f"{item['kind']} of {item['block']} {item['projection']} has no place in this network")
        place.add(ADDITIONS[item["kind"]](place, **item["settings"]))


def merge_additions(network: BlockModel, everything: bool = False) -> None:
    """Adds updates to the matrices they belong to and removes them; adapters and prompts stay.

    Args:
        network: changed in place; it predicts what it predicted before, up to rounding.
        everything: also those that their stage keeps separate.
    """
    for projection, addition in list(network.placed_additions()):
        if addition.changes_kernel and (everything or addition.settings["merge"]):
            projection.dense.kernel.assign_add(addition.change_of_kernel())
            projection.remove(addition)
