"""Which columns of a table a network reads, and as what."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from progressive_tf.plan.methods import Strict, tuple_from_list
from progressive_tf.plan.networks import Text

NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"  # read alike by Python's re and by RE2 in the graph
LARGEST_NUMBER = 1e38  # about what float32 holds; its square is still a float64
SPACES = " \t\n\v\f\r"  # what tf.strings.strip takes away
MISSING = ""
_NUMBER = re.compile(NUMBER)

Columns = Annotated[tuple[Text, ...], BeforeValidator(tuple_from_list)]


class TableColumns(Strict):
    """The columns that a network reads from a table; a served model takes them in this order.

    `numbers` are brought to mean 0 and variance 1, and each has an indicator of missing values beside it.
    `categories` are one-hot over the values of the first stage's training rows, with one place for missing and one
    for any other value. `hashed` (column → buckets) are one-hot over so many buckets that values are hashed into, with
    one place more for missing: for columns with very many values. Where a plan names no columns, `numbers` are those in
    which at most a tenth of the filled cells is no number, `categories` all others, both in alphabetical order.
    """

    numbers: Columns = ()
    categories: Columns = ()
    hashed: dict[Text, Annotated[int, Field(ge=2, le=100_000)]] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them: numbers, categories, hashed, each in the plan's order."""
        return (*self.numbers, *self.categories, *self.hashed)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> TableColumns:
        if not self.names:
            raise ValueError("names no column; give numbers, categories or hashed, or null for every column")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]!r} stands twice; name each column once")
        return self


def is_number(cell: str) -> bool:
    """Whether a cell without spaces around it is a number that float32 holds."""
    return _NUMBER.fullmatch(cell) is not None and abs(float(cell)) <= LARGEST_NUMBER


def argument_names(names: Sequence[str]) -> tuple[str, ...]:
    """Returns what a served model calls its columns, a name of its own for each, in their order.

    Letters, digits and `_` stay, all else becomes `_`. TensorFlow takes no `_` in front, so those are replaced by
    `column_`, which is also put before a digit, a Python keyword and `self`. It does not tell upper from lower case: of
    names that are equal then, one stays, that of a column called just so if there is one, and others get `_2`, `_3`, ….
    """
    arguments = list(map(_argument_name, names))
    taken: set[str] = set()
    for index in sorted(range(len(names)), key=lambda index: names[index] != arguments[index]):
        argument, number = arguments[index], 1
        while arguments[index].lower() in taken:
            number += 1
            arguments[index] = f"{argument}_{number}"
        taken.add(arguments[index].lower())
    return tuple(arguments)


def _argument_name(name: str) -> str:
    argument = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if argument.startswith("_"):
        argument = argument.lstrip("_")
        return f"column_{argument}" if argument else "column"
    if argument[0].isdigit() or keyword.iskeyword(argument) or argument == "self":
        return f"column_{argument}"
    return argument
