"""Methods that choose among the weights there are, and add none."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from, move_where
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import (
    BitfitAdaptation,
    FullAdaptation,
    GradualAdaptation,
    HeadAdaptation,
    TopBlocksAdaptation,
)


def full(network: BlockModel, settings: FullAdaptation) -> MovedWeights:
    """Returns all weights of the network: full fine-tuning."""
    return move_from(network, 0)


def head(network: BlockModel, settings: HeadAdaptation) -> MovedWeights:
    """Returns the head's weights, as linear probing moves them; raises InputError where it has no matrix of its own."""
    if network.head_shares_embeddings:
        raise InputError(
            "adaptation.method: head: the matrix that ends this network is its table of tokens, which the first block "
            "reads too; use top-blocks, lora, adapter or full"
        )
    return move_from(network, len(network.blocks))


def top_blocks(network: BlockModel, settings: TopBlocksAdaptation) -> MovedWeights:
    """Returns the weights of the last `settings.blocks` blocks and of the head; raises InputError where the network has
    fewer blocks.
    """
    available = len(network.own_blocks)
    if settings.blocks > available:
        raise InputError(f"adaptation.blocks: {settings.blocks} asked, the network has {available}; lower it")
    return move_from(network, network.depth_below(settings.blocks))


BIASES = ("bias", "/beta")  # how Keras' names of them end; beta is that of a normalisation


def bitfit(network: BlockModel, settings: BitfitAdaptation) -> MovedWeights:
    """Returns the biases of every block, and the head's weights (BitFit, Ben Zaken et al. 2021)."""
    return move_where(network, lambda block, weight: weight.name.endswith(BIASES))


def gradual(network: BlockModel, settings: GradualAdaptation) -> list[MovedWeights]:
    """Returns what moves in each phase, from the head alone to every block (Howard & Ruder 2018).

    Where the head's matrix belongs to a block, the first phase moves the last blocks too. Raises InputError where a
    phase would add more blocks than the network has.
    """
    available = len(network.own_blocks)
    if settings.blocks_per_phase > available:
        raise InputError(
            f"adaptation.blocks_per_phase: {settings.blocks_per_phase} asked, the network has {available}; lower it"
        )
    alone = settings.blocks_per_phase if network.head_shares_embeddings else 0
    opened = [*range(alone, available, settings.blocks_per_phase), available]
    return [move_from(network, network.depth_below(blocks)) for blocks in opened]
