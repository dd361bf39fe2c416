"""Methods that only choose which of a network's own weights move: all, the head, top blocks, biases, more by phases."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from, move_where
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import (
    BitfitAdaptation,
    FullAdaptation,
    GradualAdaptation,
    HeadAdaptation,
    PrototypesAdaptation,
    SldaAdaptation,
    TopBlocksAdaptation,
)


def full(network: BlockModel, settings: FullAdaptation) -> MovedWeights:
    """Returns all weights of the network."""
    return move_from(network, 0)


def head(network: BlockModel, settings: HeadAdaptation) -> MovedWeights:
    """Returns the head's weights; raises InputError where it has no matrix of its own."""
    if network.head_shares_embeddings:
        raise InputError(
            "adaptation.method: head: the matrix that ends this network is its table of tokens, which the first block "
            "reads too; use top-blocks, lora, adapter or full"
        )
    return move_from(network, len(network.blocks))


def linear_head(network: BlockModel, settings: SldaAdaptation | PrototypesAdaptation) -> MovedWeights:
    """Returns the head's weights; raises InputError where it is not one dense layer."""
    if not network.has_linear_head:
        raise InputError(
            f"adaptation.method: {settings.method} gives one dense layer its weights, and the head of this network is "
            f"another one ({type(network.head).__name__}); use the package's ClassificationHead, or method head"
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
    """Returns the biases of every block, and the head's weights."""
    return move_where(network, lambda block, weight: weight.name.endswith(BIASES))


def gradual(network: BlockModel, settings: GradualAdaptation) -> list[MovedWeights]:
    """Returns what moves in each phase, from the head alone to every block.

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
