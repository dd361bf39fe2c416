"""What an adaptation returns: the weights it moves, grouped by block, and how deep the frozen part is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from progressive_tf.models.block_model import BlockModel, NamedWeight, named_weights


@dataclass(frozen=True)
class WeightGroup:
    """The moving weights of one block, or of the head."""

    block: str
    weights: tuple[NamedWeight, ...]


@dataclass(frozen=True)
class MovedWeights:
    """The explicit list of weights that a stage trains.

    Attributes:
        groups: one per block with a moving weight, in the network's order, the head last.
        frozen_depth: number of leading blocks without a moving weight.
    """

    groups: tuple[WeightGroup, ...]
    frozen_depth: int

    @property
    def weights(self) -> list[NamedWeight]:
        """All moving weights in order."""
        return [weight for group in self.groups for weight in group.weights]

    @property
    def count(self) -> int:
        """How many numbers move."""
        return sum(int(np.prod(weight.variable.shape)) for weight in self.weights)


def move_from(network: BlockModel, first_block: int) -> MovedWeights:
    """Returns every weight of the blocks from `first_block` on, and of the head."""
    layers = [*network.blocks[first_block:], network.head]
    groups = tuple(WeightGroup(layer.name, tuple(named_weights(layer))) for layer in layers)
    return MovedWeights(groups, first_block)
