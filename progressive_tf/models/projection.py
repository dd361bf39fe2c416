"""Dense layers of blocks, by role, and what adaptation methods add to them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf


class Addition(tf.keras.layers.Layer):
    """Trainable weights that a method adds to a projection.

    A subclass says in `kind` and `settings` all that is needed to build it again for the same projection.

    Attributes:
        kind: its name in files and errors.
        changes_kernel: whether another kernel would have the same effect.
    """

    kind: str
    changes_kernel = False

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-like values."""

    @abstractmethod
    def call(self, inputs: tf.Tensor, outputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns what becomes of a projection's outputs [..., units], given its inputs [..., width]."""

    def change_of_kernel(self) -> np.ndarray:
        """Returns the float32 [width, units] change of the kernel that has the same effect, or raises ValueError."""
        raise ValueError(f"{self.kind} has no effect that a kernel could have")


class Projection(tf.keras.layers.Layer):
    """A built dense layer and the additions to it, applied in order: those first that could be part of the kernel.

    Its name tells the projections of a block apart, and is part of the additions' weight names.
    """

    def __init__(self, name: str, dense: tf.keras.layers.Dense) -> None:
        super().__init__(name=name)
        self.dense = dense
        self.additions: list[Addition] = []

    @property
    def width(self) -> int:
        """Numbers per position that come in."""
        return int(self.dense.kernel.shape[0])

    @property
    def units(self) -> int:
        """Numbers per position that go out."""
        return int(self.dense.kernel.shape[1])

    def add(self, addition: Addition) -> None:
        """Adds to the projection, such that the kernel can take in all that it could whatever else there is."""
        self.additions = sorted([*self.additions, addition], key=lambda present: not present.changes_kernel)

    def remove(self, addition: Addition) -> None:
        """Takes an addition away."""
        self.additions = [other for other in self.additions if other is not addition]

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns float [..., units]."""
        outputs = self.dense(inputs)
        for addition in self.additions:
            outputs = addition(inputs, outputs, training=training)
        return outputs


class Block(tf.keras.layers.Layer):
    """A part of a network that turns one state into the next.

    Attributes:
        roles: what methods may target: role → its projections; empty where a block has none.
        sublayer_outputs: the projections that end a sublayer, before its residual connection.
        added_positions: how many positions it puts in front of those it is given.
        width: numbers per position that it gives.
    """

    added_positions = 0
    width: int

    roles: dict[str, tuple[Projection, ...]]
    sublayer_outputs: tuple[Projection, ...]

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.roles = {}
        self.sublayer_outputs = ()

    @property
    def projections(self) -> list[Projection]:
        """Every projection once, in the order of the roles."""
        return [projection for role in self.roles.values() for projection in role]

    def positions(self, length: int) -> int:
        """Returns the positions after it of an example that has `length` before it."""
        return length + self.added_positions

    @abstractmethod
    def call(self, state: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Returns the next state."""


class AddedBlock(Block):
    """A block that a method has put between a network's own.

    A subclass says in `kind` and `settings` all that is needed to build it again at the same place.
    """

    kind: str

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-like values."""
