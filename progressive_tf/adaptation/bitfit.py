"""BitFit: only biases move (Ben Zaken et al. 2021)."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_where
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import BitfitAdaptation

BIASES = ("bias", "/beta")  # how Keras' names of them end; beta is that of a normalisation


def bitfit(network: BlockModel, settings: BitfitAdaptation) -> MovedWeights:
    """Returns the biases of every block, and the head's weights."""
    return move_where(network, lambda block, weight: weight.name.endswith(BIASES))
