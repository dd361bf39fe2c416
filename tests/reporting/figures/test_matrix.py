from __future__ import annotations

import re

import numpy as np

from progressive_tf.evaluation.records import Matrix
from progressive_tf.reporting.figures.matrix import accuracy_matrix, confusion_matrix


def of(stages: list[str], cells: list[list[float | None]], part: str, metric: str = "accuracy") -> Matrix:
    return Matrix(stages=tuple(stages), metric=metric, **{part: tuple(map(tuple, cells))})


def test_rows_are_named_and_cells_numbered() -> None:
    source = accuracy_matrix("m", "gate", of(["pilot", "full"], [[0.5, 0.51], [0.7, 0.65], [0.71, 0.8]], "gate"))
    for words in (">untrained<", ">after pilot<", ">after full<", ">0.510<", ">0.800<"):
        assert words in source
    assert "<pattern" not in source


def test_a_cell_that_does_not_exist_is_hatched_and_has_no_number() -> None:
    source = accuracy_matrix("m", "test", of(["pilot", "full"], [[0.5, None], [0.7]], "test"))
    assert "<pattern" in source
    assert source.count(">0.500<") == 1
    assert "after pilot: 0.700, none" in source
    assert "after full" not in source


def test_a_matrix_of_equal_or_absent_cells_is_drawn() -> None:
    assert accuracy_matrix("m", "test", of(["a"], [[0.5], [0.5]], "test")).count(">0.500<") == 2
    assert "<pattern" in accuracy_matrix("m", "test", of(["a"], [[None]], "test"))


def test_confusions_are_counts_with_shares() -> None:
    source = confusion_matrix("c", "full", ["no", "yes"], np.array([[3, 1], [0, 0]]))
    for words in (">3<", "75%", "25%", "3 of 4 test rows"):
        assert words in source


def test_of_many_classes_those_with_the_most_errors_are_shown_and_the_others_together() -> None:
    counts = np.eye(60, dtype=int) * 7
    counts[np.arange(20), 59 - np.arange(20)] = 3  # of the first twenty three rows each are taken for one of the last
    counts[50, 0] = 1
    labels = [f"label {n}" for n in range(60)]
    source = confusion_matrix("c", "full", labels, counts)
    shown = [n for n in range(60) if f">label {n}<" in source]
    assert shown == [*range(19), 50], "50 has four errors, of the others who have three the first"
    assert ">40 others<" in source
    assert ">7<" not in source
    assert "420 of 481 test rows are right; the 20 classes with the most errors, and 40 others together" in source
    more = [*labels, *(f"more {n}" for n in range(200))]
    assert len(confusion_matrix("c", "full", more, np.pad(counts, (0, 200)))) < 1.1 * len(source)


def test_a_metric_up_to_100_has_its_own_decimals_and_scale() -> None:
    small = accuracy_matrix("m", "gate", of(["a"], [[50.0], [51.5625]], "gate", metric="chrf"))
    assert ">51.56<" in small
    assert ">chrF on the gate rows of<" in small
    # What is little of a hundred is much of one.
    assert _faces(small)[0] != _faces(small)[1]
    assert _faces(small) != _faces(accuracy_matrix("m", "gate", of(["a"], [[0.5], [0.75]], "gate")))
    same = accuracy_matrix("m", "gate", of(["a"], [[0.5], [0.515625]], "gate"))
    assert _faces(small) == _faces(same)


def _faces(source: str) -> list[str]:
    return re.findall(r"fill: (#[0-9a-f]{6})", source)
