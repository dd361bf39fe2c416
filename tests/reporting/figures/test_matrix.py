from __future__ import annotations

import re

import numpy as np

from progressive_tf.reporting.figures.matrix import accuracy_matrix, confusion_matrix
from progressive_tf.reporting.predictions import Confusions


def test_rows_are_named_and_cells_numbered() -> None:
    source = accuracy_matrix("m", "gate", "accuracy", ["pilot", "full"], [[0.5, 0.51], [0.7, 0.65], [0.71, 0.8]])
    for words in (">untrained<", ">after pilot<", ">after full<", ">0.510<", ">0.800<"):
        assert words in source
    assert "<pattern" not in source


def test_a_cell_that_does_not_exist_is_hatched_and_has_no_number() -> None:
    source = accuracy_matrix("m", "test", "accuracy", ["pilot", "full"], [[0.5, None], [0.7]])
    assert "<pattern" in source
    assert source.count(">0.500<") == 1
    assert "after pilot: 0.700, none" in source
    assert "after full" not in source


def test_a_matrix_of_equal_or_absent_cells_is_drawn() -> None:
    assert accuracy_matrix("m", "test", "accuracy", ["a"], [[0.5], [0.5]]).count(">0.500<") == 2
    assert "<pattern" in accuracy_matrix("m", "test", "accuracy", ["a"], [[None]])


def test_confusions_are_counts_with_shares() -> None:
    source = confusion_matrix("c", "full", Confusions(("no", "yes"), np.array([[3, 1], [0, 0]]), 0, 3, 4))
    for words in (">3<", "75%", "25%", "3 of 4 test rows"):
        assert words in source


def test_many_classes_have_names_and_no_numbers_in_cells() -> None:
    labels = (*(f"label {n}" for n in range(15)), "30 others")
    source = confusion_matrix("c", "full", Confusions(labels, np.eye(16, dtype=int) * 7, 30, 112, 112))
    assert ">7<" not in source
    assert ">label 3<" in source
    assert "the 15 classes with the most errors, and 30 others together" in source


def test_a_metric_up_to_100_has_its_own_decimals_and_scale() -> None:
    small = accuracy_matrix("m", "gate", "chrF", ["a"], [[50.0], [51.5625]], decimals=2, highest=100.0)
    assert ">51.56<" in small
    assert ">chrF on the gate rows of<" in small
    # What is little of a hundred is much of one.
    assert _faces(small)[0] != _faces(small)[1]
    assert _faces(small) != _faces(accuracy_matrix("m", "gate", "accuracy", ["a"], [[0.5], [0.75]]))
    same = accuracy_matrix("m", "gate", "accuracy", ["a"], [[0.5], [0.515625]])
    assert _faces(small) == _faces(same)


def _faces(source: str) -> list[str]:
    return re.findall(r"fill: (#[0-9a-f]{6})", source)
