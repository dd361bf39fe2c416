"""The block contract: in-graph preprocessing, ordered blocks, a head."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

State = dict[str, tf.Tensor]


@dataclass(frozen=True)
class NamedWeight:
    """A variable under a name that does not depend on when or where the network was built."""

    name: str
    variable: tf.Variable


class BlockModel(tf.keras.Model):
    """A network that can be cut between any two of its blocks.

    A state is a dict of tensors with the batch first. `preprocess` turns raw inputs into the first state, every block
    turns a state into the next, the head turns the last into logits. Entries have a length axis after the batch, padded
    where `mask` (float32 [batch, length]) is 0; between blocks the state is `hidden` and `mask`.

    Args:
        preprocess: callable, raw inputs [batch] → state; runs inside an exported graph.
        blocks: layers with `call(state, training) -> state`, first to last; their names must differ.
        head: layer with `call(state, training) -> logits float32 [batch, classes]`.
        labels: class names in the order of the logits.
        width: numbers per position in the states between blocks.
    """

    def __init__(
        self,
        preprocess: tf.keras.layers.Layer,
        blocks: Sequence[tf.keras.layers.Layer],
        head: tf.keras.layers.Layer,
        labels: Sequence[str],
        width: int,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.blocks = list(blocks)
        self.head = head
        self.labels = tuple(labels)
        self.width = width

    def run_blocks(self, state: State, first: int, last: int, training: bool = False) -> State:
        """Returns the state after blocks `first` … `last - 1`, given the state before block `first`."""
        for block in self.blocks[first:last]:
            state = block(state, training=training)
        return state

    def call(
        self,
        state: State,
        training: bool = False,
        first_block: int = 0,
        frozen_depth: int = 0,
        frozen_dtype: str = "float32",
    ) -> tf.Tensor:
        """Returns logits, float32 [batch, classes].

        Args:
            state: the state before block `first_block`.
            training: whether dropout is on above the frozen depth.
            first_block: the block to start from, at most `frozen_depth` unless that is 0.
            frozen_depth: leading blocks that run in inference mode whatever `training` says.
            frozen_dtype: what the frozen blocks' output is rounded to when it is computed here, as where it is kept.
        """
        middle = max(first_block, frozen_depth)
        state = self.run_blocks(state, first_block, middle)
        if middle > first_block:
            state = state | {"hidden": tf.cast(tf.cast(state["hidden"], frozen_dtype), tf.float32)}
        state = self.run_blocks(state, middle, len(self.blocks), training)
        return self.head(state, training=training)

    def weights_of_blocks(self, depth: int) -> list[NamedWeight]:
        """Returns the weights of the first `depth` blocks."""
        return [weight for block in self.blocks[:depth] for weight in named_weights(block)]

    def named_weights(self) -> list[NamedWeight]:
        """Returns every weight, blocks first, then the head."""
        return [*self.weights_of_blocks(len(self.blocks)), *named_weights(self.head)]


def named_weights(layer: tf.keras.layers.Layer) -> list[NamedWeight]:
    """Returns a block's or head's weights, named `<layer>/<what follows their common prefix>`."""
    paths = [variable.name.split(":")[0] for variable in layer.weights]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [f"{layer.name}/{path[len(folder) :].lstrip('/')}" for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f"layer {layer.name}: two weights share a name among {names}")
    return [NamedWeight(name, variable) for name, variable in zip(names, layer.weights, strict=True)]


def read_weights(weights: Sequence[NamedWeight]) -> dict[str, np.ndarray]:
    """Returns the values of weights by name."""
    return {weight.name: weight.variable.numpy() for weight in weights}


def assign_weights(weights: Sequence[NamedWeight], values: dict[str, np.ndarray]) -> None:
    """Assigns values by name to those of the weights that `values` has.

    Raises:
        ValueError: a name that is not among the weights, or a different shape.
    """
    variables = {weight.name: weight.variable for weight in weights}
    for name, value in values.items():
        if name not in variables:
            raise ValueError(f"weight {name} is not in this network")
        if tuple(variables[name].shape) != value.shape:
            raise ValueError(f"weight {name} has shape {tuple(variables[name].shape)} here, {value.shape} there")
        variables[name].assign(value)
