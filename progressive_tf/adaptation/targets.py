"""Which projections a method means."""

from __future__ import annotations

from collections.abc import Sequence

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.projection import Block, Projection


def blocks_from(network: BlockModel, from_block: int, wanted: str) -> list[Block]:
    """Returns the network's own blocks from `from_block` on.

    Raises:
        InputError: none of them has a projection; `wanted` says what they are wanted for.
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
    """Returns the projections of some roles, block by block.

    Raises:
        InputError: a role that no block has; lists those there are.
    """
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
