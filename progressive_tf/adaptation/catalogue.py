"""The adaptation methods a plan can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from progressive_tf.adaptation.full import full
from progressive_tf.adaptation.head import head
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.adaptation.top_blocks import top_blocks
from progressive_tf.models.block_model import BlockModel

METHODS: dict[str, Callable[[BlockModel, Any], MovedWeights]] = {
    "full": full,
    "head": head,
    "top-blocks": top_blocks,
}


def moved_weights(network: BlockModel, adaptation: Any) -> MovedWeights:
    """Returns the weights that a stage's `adaptation` section moves in this network."""
    return METHODS[adaptation.method](network, adaptation)
