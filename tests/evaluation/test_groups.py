"""Rows that are alike: what is drawn, what a gate says, and how often it is wrong about them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.bootstrap import resample_drop, resample_metrics
from progressive_tf.evaluation.gate import FEWEST_GROUPS, Compared, judge
from progressive_tf.plan.gate_rule import GateRule

DROP = GateRule(metric="accuracy", drop_at_most=0.02, confidence=0.95)
FLOOR = GateRule(metric="accuracy", at_least=0.6, confidence=0.95)


def model(right: np.ndarray, groups: np.ndarray | None = None) -> ClassAnswers:
    truth = np.arange(len(right)) % 2
    predicted = np.where(right, truth, 1 - truth)
    return ClassAnswers(("a", "b"), truth, np.where(np.eye(2)[predicted] > 0, 0.9, 0.1), groups=groups)


def repeated(right: np.ndarray, times: int) -> ClassAnswers:
    """Answers whose groups are right or wrong as a whole."""
    return model(np.repeat(right, times), np.repeat(np.arange(len(right)), times))


@pytest.mark.parametrize("metric", ["accuracy", "recall/a", "f1_macro", "brier"])
def test_a_row_that_stands_ten_times_says_as_much_as_once(metric: str) -> None:
    right = np.arange(200) % 10 < 8
    once = resample_metrics(model(np.repeat(right, 2)[::2]), ["accuracy"], 4_000, seed=1)["accuracy"]
    groups = repeated(right, 10)
    tenfold = resample_metrics(groups, [metric], 4_000, seed=1)[metric]
    apart = resample_metrics(groups.in_groups(None), [metric], 4_000, seed=1)[metric]
    assert tenfold.value == apart.value
    # Ten rows that are one are √10 times less sure than ten rows; half of a group's rows are of class a.
    alike = 5 if metric == "recall/a" else 10
    assert tenfold.samples.std() / apart.samples.std() == pytest.approx(alike**0.5, rel=0.08)
    if metric == "accuracy":
        assert np.quantile(tenfold.samples, [0.05, 0.95]) == pytest.approx(
            np.quantile(once.samples, [0.05, 0.95]), abs=0.006
        )


def test_pseudo_groups_are_as_large_as_a_mean_group() -> None:
    flawless = repeated(np.ones(50, bool), 8)
    once = resample_metrics(model(np.ones(50, bool)), ["accuracy"], 4_000, seed=1)["accuracy"]
    eight = resample_metrics(flawless, ["accuracy"], 4_000, seed=1)["accuracy"]
    assert eight.samples.mean() == pytest.approx(once.samples.mean(), abs=0.002)
    assert eight.samples.std() == pytest.approx(once.samples.std(), rel=0.05)
    both = resample_drop(flawless, flawless, "accuracy", 4_000, seed=1).samples
    plain = resample_drop(model(np.ones(50, bool)), model(np.ones(50, bool)), "accuracy", 4_000, seed=1).samples
    assert both.std() == pytest.approx(plain.std(), rel=0.05)


def test_a_pseudo_group_of_a_class_has_as_many_rows_of_it_as_a_group_that_has_some() -> None:
    truth = np.array([0] * 95 + [1] * 5)
    answers = ClassAnswers(("a", "b"), truth, np.eye(2)[truth], groups=np.arange(100) // 5)
    (drawn,) = resample_metrics(answers, ["recall/b"], 4_000, seed=1).values()
    # One group of five rows, all right, with a right and a wrong one of five: 1 of 3 groups is wrong in the mean.
    assert np.nanmean(drawn.samples) == pytest.approx(2 / 3, abs=0.03)


def test_a_class_that_is_never_predicted_has_a_precision_that_rests_on_no_group() -> None:
    truth = np.arange(60) % 2
    answers = ClassAnswers(("a", "b"), truth, np.tile([0.9, 0.1], (60, 1)), groups=np.arange(60) // 4)
    assert (answers.support("precision/b"), answers.group_count("precision/b")) == (0, 0)
    assert resample_metrics(answers, ["precision/b"], 200, seed=1)["precision/b"].value == 0


def test_rules_say_of_how_many_groups_their_rows_are() -> None:
    held = judge([FLOOR], Compared({"current": repeated(np.arange(60) % 10 < 6, 8)}), 1, 499).rules[0]
    assert (held.outcome, held.n, held.groups) == ("hold", 480, 60)
    assert "not sure enough at 480 rows of 60 groups" in held.reason
    assert held.to_json()["groups"] == 60
    sure = judge([FLOOR], Compared({"current": repeated(np.arange(60) % 10 < 8, 8)}), 1, 499).rules[0]
    assert sure.outcome == "pass"
    own = judge([FLOOR], Compared({"current": model(np.arange(60) % 10 < 8)}), 1, 499).rules[0]
    assert own.groups is None
    assert "groups" not in own.to_json()


def test_too_few_groups_hold_however_many_rows_they_have() -> None:
    for groups, outcome in ((FEWEST_GROUPS - 1, "hold"), (FEWEST_GROUPS, "pass")):
        rule = judge([FLOOR], Compared({"current": repeated(np.ones(groups, bool), 40)}), 1, 499).rules[0]
        assert rule.outcome == outcome
    few = judge([FLOOR], Compared({"current": repeated(np.ones(3, bool), 40)}), 1, 499).rules[0]
    assert few.reason == f"rests on 120 rows of 3 groups, at least {FEWEST_GROUPS} groups are needed"


def test_rows_needed_are_of_as_many_more_groups() -> None:
    right = np.arange(200) % 20 < 13
    rule = judge([FLOOR], Compared({"current": repeated(right, 5)}), 1, 1_999).rules[0]
    # 0.05 above 0.6 at a standard error of √(0.65 · 0.35 / groups), and 2.486 of these are needed.
    assert rule.rows_needed == pytest.approx(5 * 2.486**2 * 0.65 * 0.35 / 0.05**2, rel=0.08)


def test_candidates_two_points_worse_pass_about_as_rarely_as_stated_where_rows_are_alike() -> None:
    generator = np.random.default_rng(11)
    promoted: Counter[str] = Counter()
    groups = np.repeat(np.arange(100), 8)
    for simulation in range(150):
        of_group, own = (generator.choice(4, size, p=[0.69, 0.11, 0.09, 0.11]) for size in (100, 800))
        cell = np.where(generator.random(800) < 0.8, of_group[groups], own)
        pair = model((cell == 0) | (cell == 2), groups), model(cell <= 1, groups)
        for name, (new, old) in (("groups", pair), ("rows", [answers.in_groups(None) for answers in pair])):
            decision = judge([DROP], Compared({"current": new}, {"current": old}), simulation, 399).decision
            promoted[name] += decision == "promote"
    # 5 % of 150 is 7.5 with a standard deviation of 2.7.
    assert promoted["groups"] <= 14
    assert promoted["rows"] >= 22
