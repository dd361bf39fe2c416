"""What an adaptation returns: the weights it moves, grouped by block, and how deep the frozen part is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.block_model import BlockModel, NamedWeight, named_weights
from progressive_tf.models.projection import Block, Projection


@dataclass(frozen=True)
class WeightGroup:
    """The moving weights of one block, or of the head."""

    block: str
    weights: tuple[NamedWeight, ...]

    @property
    def trained(self) -> tuple[NamedWeight, ...]:
        """Those that gradients move."""
        return tuple(weight for weight in self.weights if weight.variable.trainable)


@dataclass(frozen=True)
class MovedWeights:
    """The explicit list of weights that a stage changes.

    Attributes:
        groups: one per block with a moving weight, in the network's order, the head last. Statistics that a block
            keeps of its inputs, as batch normalisation does, move with it.
        frozen_depth: number of leading blocks without a moving weight.
    """

    groups: tuple[WeightGroup, ...]
    frozen_depth: int

    @property
    def weights(self) -> list[NamedWeight]:
        """All moving weights in order."""
        return [weight for group in self.groups for weight in group.weights]

    @property
    def trained(self) -> list[NamedWeight]:
        """Those that gradients move; the others are statistics, which the forward pass keeps."""
        return [weight for group in self.groups for weight in group.trained]

    @property
    def count(self) -> int:
        """How many numbers gradients move."""
        return sum(int(np.prod(weight.variable.shape)) for weight in self.trained)


def move_from(network: BlockModel, first_block: int) -> MovedWeights:
    """Returns every weight of the blocks from `first_block` on, and of the head."""
    kept = {block.name for block in network.blocks[:first_block]}
    return move_where(network, lambda block, weight: block not in kept)


def move_where(network: BlockModel, moves: Callable[[str, NamedWeight], bool]) -> MovedWeights:
    """Returns the head's weights, and those of each block for which `moves(block name, weight)` holds."""
    groups: list[WeightGroup] = []
    for block in network.blocks:
        named = named_weights(block)
        moving = {weight.name for weight in named if weight.variable.trainable and moves(block.name, weight)}
        if moving or groups:  # blocks above a moving one run as in training, and keep their statistics
            moving.update(weight.name for weight in named if not weight.variable.trainable)
        if moving:
            groups.append(WeightGroup(block.name, tuple(weight for weight in named if weight.name in moving)))
    names = [block.name for block in network.blocks]
    frozen_depth = names.index(groups[0].block) if groups else len(names)
    return MovedWeights((*groups, WeightGroup(network.head.name, tuple(named_weights(network.head)))), frozen_depth)


def blocks_from(network: BlockModel, from_block: int, wanted: str) -> list[Block]:
    """Returns the network's own blocks from `from_block` on; raises InputError, which says what they are `wanted` for,
    where none of them has a projection.
    """
    blocks = network.own_blocks[from_block:]
    if not any(block.roles for block in blocks):
        last = max((index for index, block in enumerate(network.own_blocks) if block.roles), default=None)
        if last is None:
            raise InputError(
                f"adaptation.method: {wanted} needs dense layers, and the blocks of this network name none (roles), as "
                f"those of convolutions do not; choose another method"
            )
        raise InputError(
            f"adaptation.from_block: {from_block} leaves no block with a place for {wanted}; {last} is the last block "
            f"with one"
        )
    return blocks


def projections_of_roles(blocks: Sequence[Block], roles: Sequence[str]) -> list[Projection]:
    """Returns the projections of some roles, block by block; raises InputError for a role that no block has."""
    known = sorted({role for block in blocks for role in block.roles})
    for role in roles:
        if role not in known:
            raise InputError(f"adaptation.targets: {unknown_name('role', role, known)}")
    return [
        projection
        for block in blocks
        for role, projections in block.roles.items()
        if role in roles
        for projection in projections
    ]
