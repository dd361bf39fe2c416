"""Linear probing: only the head moves."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.methods import HeadAdaptation


def head(network: BlockModel, settings: HeadAdaptation) -> MovedWeights:
    """Returns the head's weights."""
    return move_from(network, len(network.blocks))
