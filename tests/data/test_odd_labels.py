"""Labels that seem to be something else than classes."""

from __future__ import annotations

import pytest

from progressive_tf.data.odd_labels import what_is_odd

CLASSES = [
    {"pos": 90, "neg": 90},
    {str(digit): 180 for digit in range(10)},
    {f"{half / 2:g}": 5 for half in range(2, 11)},  # stars
    {str(number): 500 for number in range(100)},  # classes that were numbered
    {f"intent_{number}": 9 for number in range(77)},
    {"Portland, OR": 9, "Salem, OR": 9, "Austin, TX": 9},
    {"drama/series": 5, "news": 9},
    {"comp.sys.mac": 30, "rec.autos": 30},
    {"None": 30, "NA": 30, "other": 30},
]
ODD = [
    ({f"{number / 7:.4f}": 1 for number in range(300)}, "regression"),
    ({str(age): 14 for age in range(18, 91)}, "regression"),
    ({str(grade): 5 for grade in range(101)}, "regression"),
    ({"good|film": 5, "bad|plot": 5}, "several labels"),
    ({"good": 20, "film": 20, "good;film": 5}, "several labels"),
    ({"a": 20, "b": 20, "a, b": 5, "b, a": 2}, "several labels"),
    ({'["a","b"]': 20, '["a"]': 20}, "several labels"),
    ({"['a', 'b']": 20, "['c']": 20}, "several labels"),
    ({"[]": 20, '["c"]': 20}, "several labels"),
    ({f"ticket {number}": 1 for number in range(300)}, "an id or a free text"),
    ({"pos": 20, "neg": 20, "nan": 3}, "missing value"),
]


@pytest.mark.parametrize("counts", CLASSES)
def test_classes_are_not_asked_about(counts: dict[str, int]) -> None:
    assert what_is_odd(counts) is None


@pytest.mark.parametrize(("counts", "reading"), ODD)
def test_what_else_they_could_be_is_said(counts: dict[str, int], reading: str) -> None:
    found = what_is_odd(counts)
    assert found is not None
    assert reading in found.message
    assert " or " in found.message
    assert len(found.message) < 500
    assert found.advice
