"""How a source is divided into parts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from progressive_tf.plan.methods import Share, Strict
from progressive_tf.plan.networks import Text

CountOrShare = Annotated[int, Field(ge=1)] | Share
# Of a class, so many gate rows are wanted, and needed by rules on it and by macro averages over it.
FEWEST_PER_CLASS = 5
# Keys that came after the first runs were made, and what plans without them have.
LATER_SPLIT = {"min_per_class": FEWEST_PER_CLASS, "column": None}


class Split(Strict):
    """Sizes of the evaluation parts, as counts of rows or shares; what is left is for training.

    With `stratify` each class gets `min_per_class` gate rows, but no more than half of its rows. A `column` says which
    part each row belongs to: train, validation, gate or test; a part that no row belongs to is taken from those for
    training, in its size. With `test: 0` there is no test part.
    """

    validation: CountOrShare = 0.1
    gate: CountOrShare = 0.2
    test: Annotated[int, Field(ge=0)] | Share = 0.2
    stratify: bool = True
    min_per_class: int = Field(default=FEWEST_PER_CLASS, ge=0)
    group: Text | None = None
    column: Text | None = None
    seed: int = Field(default=0, ge=0)


class GateRefresh(Strict):
    """Gate rows are those of the newest values of a column, such as a month; those of earlier ones are for training.

    Which rows are for the gate and for test then depends on their texts alone, not on other rows: when rows are added,
    none that a stage was trained on becomes one. `split.gate` and `split.test` are shares, which are met on average.
    """

    column: Text
    newest: int = Field(default=1, ge=1)
