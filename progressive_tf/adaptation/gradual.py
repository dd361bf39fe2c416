"""Gradual unfreezing: the head first, then block after block from the top (Howard & Ruder 2018)."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import GradualAdaptation


def gradual(network: BlockModel, settings: GradualAdaptation) -> list[MovedWeights]:
    """Returns what moves in each phase, from the head alone to every block.

    Where the head's matrix belongs to a block, the first phase moves the last blocks too.

    Raises:
        InputError: a phase would add more blocks than the network has.
    """
    available = len(network.own_blocks)
    if settings.blocks_per_phase > available:
        raise InputError(
            f"adaptation.blocks_per_phase: {settings.blocks_per_phase} asked, the network has {available}; lower it"
        )
    alone = settings.blocks_per_phase if network.head_shares_embeddings else 0
    opened = [*range(alone, available, settings.blocks_per_phase), available]
    return [move_from(network, network.depth_below(blocks)) for blocks in opened]
