"""Partial fine-tuning: the last blocks and the head move."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import TopBlocksAdaptation


def top_blocks(network: BlockModel, settings: TopBlocksAdaptation) -> MovedWeights:
    """Returns the weights of the last `settings.blocks` blocks and of the head.

    Raises:
        InputError: the network has fewer blocks.
    """
    available = len(network.own_blocks)
    if settings.blocks > available:
        raise InputError(f"adaptation.blocks: {settings.blocks} asked, the network has {available}; lower it")
    return move_from(network, network.depth_below(settings.blocks))
