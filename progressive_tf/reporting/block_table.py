"""What a stage would do to each block of its network, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class BlockRow:
    """One block, or the head, in one stage.

    Attributes:
        name: the block's name.
        number: as `from_block` counts; None for the head and for blocks that a method has added.
        weights: how many numbers it has.
        trainable: how many of them the stage moves.
        phase: the first phase that moves one of them, from 1; None where none moves.
        optimizer: the optimizer that moves them, numbered where there are several; empty where none moves.
        rate: its learning rate at the start; None where none moves.
        flops: floating-point operations of its forward pass for one example.
        prefix: whether its output is kept ("cached"), computed in every pass ("computed"), or neither ("").
    """

    name: str
    number: int | None
    weights: int
    trainable: int
    phase: int | None
    optimizer: str
    rate: float | None
    flops: int
    prefix: str


@dataclass(frozen=True)
class StageBlocks:
    """The blocks of one stage.

    Attributes:
        stage: its name.
        method: its adaptation.
        example: in words, what the operations are counted for.
        phases: how many phases it trains in.
        rows: blocks in order, then the head.
    """

    stage: str
    method: str
    example: str
    phases: int
    rows: Sequence[BlockRow]


def block_table(blocks: StageBlocks) -> Table:
    """Returns a table with one row per block, numbered from 0 as `from_block` counts them."""
    title = f"{blocks.stage}: {blocks.method}, operations for {blocks.example}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    phased = blocks.phases > 1
    for name in ("#", "block", "weights", "trainable", *(["phase"] if phased else []), "optimizer", "rate"):
        table.add_column(name, justify="left" if name in ("block", "optimizer") else "right")
    table.add_column("MFLOPs", justify="right")
    table.add_column("output")
    for row in blocks.rows:
        table.add_row(
            "" if row.number is None else str(row.number),
            row.name,
            f"{row.weights:,}",
            f"{row.trainable:,}",
            *([str(row.phase or "")] if phased else []),
            row.optimizer,
            "" if row.rate is None else f"{row.rate:.3g}",
            f"{row.flops / 1e6:,.2f}",
            row.prefix,
        )
    return table


def totals_line(blocks: StageBlocks) -> str:
    """Returns in words how much of a stage's network moves, and how much of a forward pass is kept."""
    weights, trainable = (sum(getattr(row, name) for row in blocks.rows) for name in ("weights", "trainable"))
    flops = sum(row.flops for row in blocks.rows)
    kept = sum(row.flops for row in blocks.rows if row.prefix == "cached")
    return (
        f"{trainable:,} of {weights:,} weights move ({trainable / weights:.2%}); "
        f"{kept / flops:.0%} of a pass is computed once"
    )
