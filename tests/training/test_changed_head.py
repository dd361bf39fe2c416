"""Columns of a head for classes that were renamed, merged, split or retired."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.training.run.changed_head import changed_head

GENERATOR = np.random.default_rng(4)
KERNEL = GENERATOR.normal(size=(6, 5)).astype(np.float32)
BIAS = GENERATOR.normal(size=5).astype(np.float32)
ROWS = GENERATOR.normal(size=(200, 6)).astype(np.float32)
BEFORE = ("a", "b", "c", "d", "e")


def head(of: dict[str, tuple[str, ...]]) -> tuple[LabelMap, np.ndarray, np.ndarray]:
    """Returns the map, and what the version said of the rows beside what the new head says, float64 [rows, known]."""
    every = {label: (label,) for label in BEFORE} | of
    changed = LabelMap(BEFORE, tuple(dict.fromkeys(new for news in every.values() for new in news)), every)
    kernel, bias = changed_head(KERNEL, BIAS, changed, lambda merged: ROWS)
    assert kernel.dtype == bias.dtype == np.float32
    old = changed.probabilities(softmax((ROWS @ KERNEL + BIAS).astype(np.float64), axis=1))
    return changed, old, softmax((ROWS @ kernel + bias).astype(np.float64), axis=1)


def not_asked(merged: list[str]) -> np.ndarray:
    raise AssertionError(merged)


def test_a_renamed_class_keeps_its_weights_to_the_bit() -> None:
    changed = LabelMap(BEFORE, ("a", "x", "c", "d", "e"), {label: (label,) for label in BEFORE} | {"b": ("x",)})
    kernel, bias = changed_head(KERNEL, BIAS, changed, not_asked)
    assert np.array_equal(kernel, KERNEL)
    assert np.array_equal(bias, BIAS)


def test_parts_of_a_split_class_share_what_it_said() -> None:
    _, old, new = head({"b": ("p", "q", "r")})
    assert new == pytest.approx(old, abs=1e-6)
    assert new[:, 1:4].sum(axis=1) == pytest.approx(softmax(ROWS @ KERNEL + BIAS, axis=1)[:, 1], abs=1e-6)


def test_a_retired_class_leaves_the_others_as_they_were_beside_one_another() -> None:
    _, old, new = head({"c": ()})
    assert new == pytest.approx(old, abs=1e-6)


def test_a_merged_class_is_said_as_often_as_the_old_ones_together() -> None:
    changed, old, new = head({"b": ("m",), "d": ("m",)})
    place = changed.after.index("m")
    assert new[:, place].mean() == pytest.approx(old[:, place].mean(), abs=1e-6)
    error, of_one = (
        np.abs(new - old)[:, place].mean(),
        np.abs(softmax(ROWS @ KERNEL + BIAS, axis=1)[:, 1] - old[:, place]),
    )
    assert error < 0.5 * of_one.mean(), "it is nearer than either class alone"


def test_what_is_merged_beside_no_other_class_needs_no_rows() -> None:
    changed = LabelMap(BEFORE, ("all", "new"), dict.fromkeys(BEFORE, ("all",)))
    kernel, bias = changed_head(KERNEL, BIAS, changed, not_asked)
    assert kernel.shape == (6, 1)
    assert np.isfinite(bias).all()


def test_several_merged_classes_are_each_said_as_often() -> None:
    changed, old, new = head({"a": ("m",), "b": ("m",), "c": ("n",), "d": ("n",)})
    for label in ("m", "n"):
        place = changed.after.index(label)
        assert new[:, place].mean() == pytest.approx(old[:, place].mean(), abs=1e-6), label


def test_classes_that_go_together_are_merged_nearly_exactly() -> None:
    twice = KERNEL.copy()
    twice[:, 3] = twice[:, 1]
    changed = LabelMap(BEFORE, ("a", "m", "c", "e"), {"a": ("a",), "b": ("m",), "c": ("c",), "d": ("m",), "e": ("e",)})
    kernel, bias = changed_head(twice, BIAS, changed, lambda merged: ROWS)
    old = changed.probabilities(softmax((ROWS @ twice + BIAS).astype(np.float64), axis=1))
    assert softmax(ROWS @ kernel + bias, axis=1) == pytest.approx(old, abs=1e-3)


def test_changes_that_follow_on_one_another_are_made_one_after_the_other() -> None:
    said = softmax((ROWS @ KERNEL + BIAS).astype(np.float64), axis=1).mean(axis=0)
    first = LabelMap(BEFORE, ("a", "b", "c", "d1", "d2", "e"), {one: (one,) for one in BEFORE} | {"d": ("d1", "d2")})
    second = LabelMap(first.after, ("m", "b", "c", "d2", "e"), {one: (one,) for one in first.after})
    second = LabelMap(second.before, second.after, {**second.of, "a": ("m",), "d1": ("m",)})
    kernel, bias = changed_head(KERNEL, BIAS, first, not_asked)
    in_turn = changed_head(kernel, bias, second, lambda merged: ROWS)
    at_once = changed_head(KERNEL, BIAS, first.then(second), lambda merged: ROWS)
    means = [softmax((ROWS @ one + other).astype(np.float64), axis=1)[:, 0].mean() for one, other in (in_turn, at_once)]
    assert means[0] == pytest.approx(said[0] + said[3] / 2, abs=1e-6)
    assert means[1] == pytest.approx(said[0] + said[3], abs=1e-6), "the part that went elsewhere is counted in"
