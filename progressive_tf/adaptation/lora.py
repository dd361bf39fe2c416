"""LoRA: low-rank updates of matrices (Hu et al. 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights, blocks_from, move_where, projections_of_roles
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.projection import Addition, Projection
from progressive_tf.plan.adaptation_methods import LoraAdaptation
from progressive_tf.seeds import derive_seed

KIND = "lora"


class LowRankUpdate(Addition):
    """Adds alpha / rank · dropout(x) A B to the outputs of a matrix (Hu et al. 2021, section 4.1).

    A starts Gaussian with variance 1 / width, B at zero, so that a new update changes nothing.

    Args:
        projection: what it updates.
        rank: columns of A, rows of B.
        alpha: the update's scale, in units of rank.
        dropout: share of x dropped in training, in [0, 1).
        merge: whether the update becomes part of the matrix when its stage ends.
        seed: initialises A.
    """

    kind = KIND
    changes_kernel = True

    def __init__(
        self, projection: Projection, rank: int, alpha: float, dropout: float, merge: bool, seed: int = 0
    ) -> None:
        super().__init__(name=self.kind)
        self.rank = rank
        self.alpha = alpha
        self.merge = merge
        self.dropout = tf.keras.layers.Dropout(dropout)
        spread = tf.keras.initializers.RandomNormal(stddev=projection.width**-0.5, seed=seed)
        self.a = self.add_weight(name="a", shape=[projection.width, rank], initializer=spread)
        self.b = self.add_weight(name="b", shape=[rank, projection.units], initializer="zeros")

    @property
    def settings(self) -> dict[str, Any]:
        """Rank, alpha, dropout and whether the update is merged."""
        return {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout.rate, "merge": self.merge}

    def call(self, inputs: tf.Tensor, outputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the outputs with the update, [..., units]."""
        a, b = tf.cast(self.a, outputs.dtype), tf.cast(self.b, outputs.dtype)
        low = tf.matmul(self.dropout(inputs, training=training), a)
        return outputs + tf.matmul(low, b) * (self.alpha / self.rank)

    def change_of_kernel(self) -> np.ndarray:
        """Returns alpha / rank · A B, float32 [width, units], the same bits on every machine."""
        a, b = self.a.numpy().astype(np.float64), self.b.numpy().astype(np.float64)
        change = np.zeros((a.shape[0], b.shape[1]))
        for index in range(self.rank):
            change += np.outer(a[:, index], b[index])
        return (change * (self.alpha / self.rank)).astype(np.float32)


def lora(network: BlockModel, settings: LoraAdaptation, seed: int) -> MovedWeights:
    """Adds the updates that are not there yet, and returns their weights and the head's.

    Raises:
        InputError: a role that the network does not have, no block left to update, a rank that is larger than a
            matrix, or a matrix that already has an update with other settings.
    """
    wanted: dict[str, Any] = {
        "rank": settings.rank,
        "alpha": settings.alpha,
        "dropout": settings.dropout,
        "merge": settings.merge,
    }
    blocks = blocks_from(network, settings.from_block, "an update")
    projections = projections_of_roles(blocks, settings.targets)
    for index, projection in enumerate(projections):
        largest = min(projection.width, projection.units)
        if settings.rank > largest:
            raise InputError(
                f"adaptation.rank: {settings.rank} asked, {projection.name} is {projection.width} by "
                f"{projection.units}; {largest} is already the whole matrix"
            )
        present = [addition for addition in projection.additions if addition.kind == KIND]
        if any(addition.settings != wanted for addition in present):
            raise InputError(
                f"adaptation: {projection.name} has an update {present[0].settings} that an earlier stage keeps "
                f"separate; use the same settings, or merge: true there"
            )
        if not present:
            update = LowRankUpdate(projection, **wanted, seed=derive_seed(seed, "initialisation", KIND, index))
            projection.add(update)
    updates = {
        id(weight)
        for projection in projections
        for addition in projection.additions
        if addition.kind == KIND
        for weight in addition.weights
    }
    return move_where(network, lambda block, weight: id(weight.variable) in updates)
