"""Full fine-tuning: every weight moves."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import FullAdaptation


def full(network: BlockModel, settings: FullAdaptation) -> MovedWeights:
    """Returns all weights of the network."""
    return move_from(network, 0)
