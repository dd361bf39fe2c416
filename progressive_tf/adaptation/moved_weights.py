"""What an adaptation returns: the weights it moves, grouped by block, and how deep the frozen part is."""

from __future__ import annotations

from collections.abc import Callable
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
    kept = {block.name for block in network.blocks[:first_block]}
    return move_where(network, lambda block, weight: block not in kept)


def move_where(network: BlockModel, moves: Callable[[str, NamedWeight], bool]) -> MovedWeights:
    """Returns the head's weights, and those of each block for which `moves(block name, weight)` holds."""
    groups = []
    for block in network.blocks:
        weights = tuple(weight for weight in named_weights(block) if moves(block.name, weight))
        if weights:
            groups.append(WeightGroup(block.name, weights))
    names = [block.name for block in network.blocks]
    frozen_depth = names.index(groups[0].block) if groups else len(names)
    return MovedWeights((*groups, WeightGroup(network.head.name, tuple(named_weights(network.head)))), frozen_depth)
