from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from progressive_tf.data.alike_rows import about_alike, about_groups, near_pairs
from progressive_tf.data.source import Source
from progressive_tf.data.splits import row_groups
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data, Split

from .making import made_source

ROWS = 300
GATE = np.arange(ROWS)
DATA = Data(source="made.csv")


def words(generator: np.random.Generator, count: int) -> list[str]:
    return [f"word{number}" for number in generator.integers(0, 3_000, count)]


def source(alike: bool = False, **columns: list[Any]) -> Source:
    """Rows of two classes; where `alike`, those of one person are mostly of one class."""
    generator = np.random.default_rng(1)
    person = np.arange(ROWS) // 6
    of_person = generator.integers(0, 2, ROWS // 6)[person]
    label = np.where(generator.random(ROWS) < (0.3 if alike else 1.0), generator.integers(0, 2, ROWS), of_person)
    texts = [" ".join(words(generator, 12)) for _ in range(ROWS)]
    return made_source([f"class {one}" for one in label], texts, **columns)


def people(name: str) -> dict[str, list[str]]:
    return {name: [f"person {row // 6}" for row in range(ROWS)]}


def said(made: Source, group: str | None = None, used: tuple[str, ...] = ("text", "label")) -> str:
    grouped = replace(made, groups=row_groups(made, group))
    findings = about_alike(grouped, GATE, DATA, used)
    return findings[0].message if findings else ""


@pytest.mark.parametrize("name", ["user", "user_id", "Customer", "sessions", "patient-no"])
def test_a_column_named_as_if_of_somebody_is_found(name: str) -> None:
    assert said(source(**people(name))) == (
        f"made: 300 of 300 gate rows share their {name!r} with another (50 values); where such rows are alike the gate "
        f"is surer than it may be: set data.split.group: {name}"
    )


def test_a_column_of_any_name_is_found_where_labels_are_alike_within_it() -> None:
    assert "set data.split.group: column" in said(source(alike=True, **people("column")))
    assert said(source(alike=False, **people("column"))) == ""
    as_numbers = [row // 6 for row in range(ROWS)]
    assert said(source(alike=True, column=as_numbers)) == ""
    assert "set data.split.group: column_id" in said(source(column_id=as_numbers))


def test_another_form_of_the_label_is_no_group() -> None:
    made = source()
    detailed = [f"{label} {row % 15}" for row, label in enumerate(made.truth.values(made.store, GATE))]
    assert said(source(detail=detailed)) == ""


@pytest.mark.parametrize(
    ("column", "group", "used"),
    [
        (people("user"), "user", ()),
        (people("user"), None, ("user",)),
        ({"user": [f"person {row}" for row in range(ROWS)]}, None, ()),  # each its own
        ({"user": [f"person {row % 5}" for row in range(ROWS)]}, None, ()),  # a category
        (people("ours"), None, ()),
        ({"stars": [(row // 6) / 10 for row in range(ROWS)]}, None, ()),
    ],
    ids=["group", "used", "own", "few values", "another name", "numbers"],
)
def test_nothing_is_said_where_nothing_is_amiss(
    column: dict[str, list[Any]], group: str | None, used: tuple[str, ...]
) -> None:
    assert said(source(**column), group, ("text", "label", *used)) == ""


def test_near_duplicates_are_found() -> None:
    generator = np.random.default_rng(3)
    texts = [words(generator, 12) for _ in range(ROWS)]
    for row in range(20):
        texts[2 * row + 1] = [*texts[2 * row][:-1], "another"]
    made = made_source(["a", "b"] * (ROWS // 2), [" ".join(text) for text in texts])
    assert said(made).startswith("made: 40 of 300 gate rows have nearly the same words as another (rows 1, 2: ")
    with pytest.raises(InputError, match=r"data.quality.alike_gate_rows: made: 40 of 300 .* or set .* to warn"):
        about_alike(made, GATE, Data.model_validate({"source": "x", "quality": {"alike_gate_rows": "fail"}}), ())
    off = Data.model_validate({"source": "x", "quality": {"alike_gate_rows": None}})
    assert about_alike(made, GATE, off, ()) == ()


def test_pairs_are_those_with_most_words_in_common() -> None:
    generator = np.random.default_rng(5)
    texts = [" ".join(generator.choice(list("abcdefghij"), generator.integers(3, 9), replace=False)) for _ in range(80)]
    sets = [set(text.split()) for text in texts]
    expected = [
        (first, second)
        for second in range(80)
        for first in range(second)
        if min(len(sets[first]), len(sets[second])) >= 5
        and len(sets[first] & sets[second]) >= 0.8 * len(sets[first] | sets[second])
    ]
    assert sorted(near_pairs(texts)) == sorted(expected)
    assert expected


def test_a_set_without_the_column_that_tells_what_belongs_together_is_told() -> None:
    split = Split(group="user")
    assert about_groups(source(**people("author")), split) == [
        "made: no column 'user' (data.split.group), so that each of its rows counts as its own"
    ]
    made = source(**people("user"))
    assert about_groups(replace(made, groups=row_groups(made, "user")), split) == []
    assert about_groups(made, Split()) == []
