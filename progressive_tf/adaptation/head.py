"""Linear probing: only the head moves."""

from __future__ import annotations

from progressive_tf.adaptation.moved_weights import MovedWeights, move_from
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import HeadAdaptation


def head(network: BlockModel, settings: HeadAdaptation) -> MovedWeights:
    """Returns the head's weights.

    Raises:
        InputError: it has no matrix of its own.
    """
    if network.head_shares_embeddings:
        raise InputError(
            "adaptation.method: head: the matrix that ends this network is its table of tokens, which the first block "
            "reads too; use top-blocks, lora, adapter or full"
        )
    return move_from(network, len(network.blocks))
