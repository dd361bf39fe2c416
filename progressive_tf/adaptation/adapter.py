"""Adapters: bottlenecks after both sublayers of each block (Houlsby et al. 2019)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights, blocks_from, move_where
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, NamedWeight
from progressive_tf.models.projection import Addition, Projection
from progressive_tf.plan.adaptation_methods import AdapterAdaptation
from progressive_tf.seeds import derive_seed

KIND = "adapter"
NORMALISATIONS = ("/gamma", "/beta", "norm/weight")  # how their weights' names end: Keras', and those of T5
INITIAL_SPREAD = 1e-2  # section 3.6 of the paper: the closer to the identity the better, up to 1e-2


class Adapter(Addition):
    """y + up(gelu(down(y))) for the outputs y of a projection.

    Args:
        projection: what it follows.
        size: width of the bottleneck.
        seed: initialises both matrices.
    """

    kind = KIND

    def __init__(self, projection: Projection, size: int, seed: int = 0) -> None:
        super().__init__(name=self.kind)
        self.size = size
        units = projection.units
        down, up = (
            tf.keras.initializers.TruncatedNormal(stddev=INITIAL_SPREAD, seed=derive_seed(seed, name))
            for name in ("down", "up")
        )
        self.down_kernel = self.add_weight(name="down_kernel", shape=[units, size], initializer=down)
        self.down_bias = self.add_weight(name="down_bias", shape=[size], initializer="zeros")
        self.up_kernel = self.add_weight(name="up_kernel", shape=[size, units], initializer=up)
        self.up_bias = self.add_weight(name="up_bias", shape=[units], initializer="zeros")

    @property
    def settings(self) -> dict[str, Any]:
        """The width of the bottleneck."""
        return {"size": self.size}

    def call(self, inputs: tf.Tensor, outputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the outputs with the bottleneck's added, [..., units]."""
        down_kernel, down_bias, up_kernel, up_bias = (
            tf.cast(weight, outputs.dtype)
            for weight in (self.down_kernel, self.down_bias, self.up_kernel, self.up_bias)
        )
        narrow = tf.nn.gelu(tf.matmul(outputs, down_kernel) + down_bias, approximate=False)
        return outputs + tf.matmul(narrow, up_kernel) + up_bias


def adapter(network: BlockModel, settings: AdapterAdaptation, seed: int) -> MovedWeights:
    """Adds the adapters that are not there yet; returns their weights, the blocks' normalisation and the head.

    Raises InputError where no block is left to add to, or an earlier stage has added adapters of another size.
    """
    blocks = blocks_from(network, settings.from_block, "an adapter")
    positions = [projection for block in blocks for projection in block.sublayer_outputs]
    for index, projection in enumerate(positions):
        present = [addition for addition in projection.additions if isinstance(addition, Adapter)]
        if any(addition.size != settings.size for addition in present):
            raise InputError(
                f"adaptation.size: {settings.size} asked, an earlier stage has added adapters of size "
                f"{present[0].size}; use that"
            )
        if not present:
            projection.add(Adapter(projection, settings.size, derive_seed(seed, "initialisation", KIND, index)))
    adapted = {block.name for block in blocks if block.sublayer_outputs}

    def moves(block: str, weight: NamedWeight) -> bool:
        return block in adapted and (f"/{KIND}/" in weight.name or weight.name.endswith(NORMALISATIONS))

    return move_where(network, moves)
