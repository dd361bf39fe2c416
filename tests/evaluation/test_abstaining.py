from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.evaluation.abstaining import (
    FIRST_SHARE,
    THRESHOLDS,
    Abstention,
    abstaining_keys,
    abstaining_metric,
    fewest_rows,
    p_values,
    risk_coverage,
    smoothed_abstaining_metric,
)
from progressive_tf.evaluation.answer_rule import ALWAYS, NOTHING, AnswerRule
from progressive_tf.evaluation.answers.classes import ClassAnswers


def tail(wrong: int, rows: int, error: float) -> float:
    """P(Binomial(rows, error) ≤ wrong), with exact fractions."""
    e = Fraction(error)
    return float(sum(math.comb(rows, k) * e**k * (1 - e) ** (rows - k) for k in range(wrong + 1)))


def p_value(wrong: int, rows: int, error: float) -> float:
    """The smaller one of Hoeffding's bound, by logarithms, and Bentkus' by exact fractions; 1 without rows."""
    share = min(wrong / rows, error) if rows else error
    apart = (1 - share) * math.log((1 - share) / (1 - error)) + (share * math.log(share / error) if share else 0.0)
    return min(math.exp(-rows * apart), math.e * tail(wrong, rows, error))


def chosen_by_hand(probability: np.ndarray, right: np.ndarray, error: float, confidence: float) -> float | None:
    """Goes down threshold by threshold until one cannot be shown."""

    def count(threshold: float) -> tuple[int, int]:
        given = probability >= threshold
        return int(given.sum()), int((given & ~right).sum())

    enough = next(rows for rows in range(1, 10_000) if tail(0, rows, error) <= 1 - confidence)
    enough = max(enough, math.ceil(FIRST_SHARE * len(right)))
    shown = None
    for threshold in THRESHOLDS.tolist():
        answered, wrong = count(threshold)
        if answered < enough:
            continue
        if p_value(wrong, answered, error) > 1 - confidence:
            break
        shown = threshold
    return shown


def drawn(rows: int, seed: int, sharpness: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns stated probabilities, and whether answers are right as often as they say."""
    generator = np.random.default_rng(seed)
    probability = generator.beta(sharpness, 1.0, rows)
    return probability, generator.random(rows) < probability


def test_thresholds_are_exact_in_float32_and_end_at_answering_everything() -> None:
    assert (THRESHOLDS.astype(np.float32).astype(np.float64) == THRESHOLDS).all()
    assert (np.diff(THRESHOLDS) < 0).all()
    assert THRESHOLDS[-1] == 0
    assert 0.9999 < THRESHOLDS[0] < 1


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 150),
    seed=st.integers(0, 10_000),
    sharpness=st.sampled_from([2.0, 6.0, 40.0]),
    error=st.sampled_from([0.05, 0.125, 0.3]),
    confidence=st.sampled_from([0.8, 0.9]),
)
def test_the_threshold_is_that_of_a_search_by_hand(
    rows: int, seed: int, sharpness: float, error: float, confidence: float
) -> None:
    probability, right = drawn(rows, seed, sharpness)
    found = Abstention.choose(probability, right, error, confidence)
    assert found.threshold == chosen_by_hand(probability, right, error, confidence)
    if found.threshold is not None:
        given_rows = probability >= found.threshold
        assert (found.answered, found.wrong) == (given_rows.sum(), (given_rows & ~right).sum())


def test_an_error_just_above_the_bound_is_let_through_no_more_often_than_stated() -> None:
    """Every threshold answers everything, and 5.1 % of the answers are wrong."""
    generator = np.random.default_rng(5)
    right = generator.random((2_000, 400)) >= 0.051
    shown = [Abstention.choose(np.full(400, 0.999), row, 0.05, 0.9).threshold is not None for row in right]
    assert 0.01 < np.mean(shown) <= 0.1 + 3 * math.sqrt(0.09 / 2_000)


def test_the_share_of_wrong_answers_is_met_as_often_as_stated_where_it_rises_as_the_threshold_falls() -> None:
    generator = np.random.default_rng(6)
    population = generator.beta(6.0, 1.0, 200_000)
    right = generator.random(200_000) < population
    order = np.argsort(-population)
    errors = np.cumsum(~right[order]) / np.arange(1, 200_001)
    broken = 0
    for _ in range(500):
        rows = generator.integers(0, 200_000, 600)
        found = Abstention.choose(population[rows], right[rows], 0.05, 0.9)
        if found.threshold is not None:
            answered = int((population >= found.threshold).sum())
            broken += bool(errors[answered - 1] > 0.05)
    assert broken / 500 <= 0.1 + 3 * math.sqrt(0.09 / 500)


def test_p_values_by_hand() -> None:
    answered, wrong = np.array([10, 80, 300, 0, 300, 2_000]), np.array([0, 3, 15, 0, 200, 60])
    expected = [p_value(k, n, 0.05) for n, k in zip(answered.tolist(), wrong.tolist(), strict=True)]
    np.testing.assert_allclose(p_values(answered, wrong, 0.05), expected, rtol=1e-10)
    assert p_values(np.array([10]), np.array([0]), 0.05)[0] == pytest.approx(0.95**10)


def test_p_values_are_those_of_mapie() -> None:
    values = json.loads(Path(__file__).with_name("mapie_values.json").read_text(encoding="utf-8"))["p_values"]
    for error, answered, wrong, expected in values:
        found = p_values(np.array([answered]), np.array([wrong]), error)[0]
        assert found == pytest.approx(expected, rel=1e-9), (error, answered, wrong)


@pytest.mark.parametrize(("error", "confidence"), [(0.05, 0.9), (0.01, 0.95), (0.5, 0.75), (0.1, 0.9)])
def test_the_fewest_rows_without_an_error_are_those_of_the_logarithms(error: float, confidence: float) -> None:
    assert fewest_rows(error, confidence) == math.ceil(math.log(1 - confidence) / math.log(1 - error) - 1e-9)


def test_so_few_rows_that_nothing_can_be_shown_are_all_abstained_from() -> None:
    found = Abstention.choose(np.full(44, 0.99), np.ones(44, bool), 0.05, 0.9)
    assert (found.threshold, found.answered, found.rows, found.rows_needed) == (None, 0, 44, 45)
    one_more = Abstention.choose(np.full(45, 0.99), np.ones(45, bool), 0.05, 0.9)
    assert one_more.threshold == 0
    assert Abstention.choose(np.zeros(0), np.zeros(0, bool), 0.05, 0.9).threshold is None


def test_a_threshold_that_keeps_few_rows_is_passed_over_whatever_they_say() -> None:
    """Of the surest ninety-nine ten are wrong, and none of the others: no test is made of them alone."""
    probability = np.where(np.arange(1_000) < 99, 0.999, 0.9)
    right = np.arange(1_000) >= 10
    assert Abstention.choose(probability, right, 0.05, 0.9).threshold == 0


def answers(probability: np.ndarray, right: np.ndarray, rule: AnswerRule = ALWAYS, **more: object) -> ClassAnswers:
    said = np.column_stack([probability, 1 - probability])
    return ClassAnswers(("a", "b"), np.where(right, 0, 1).astype(np.int32), said, rule=rule, **more)  # type: ignore[arg-type]


def test_coverage_and_selective_error_by_hand() -> None:
    given_by = answers(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), AnswerRule(0.7))
    assert given_by.measure("coverage") == 0.75
    assert given_by.measure("selective_error") == pytest.approx(1 / 3)
    assert given_by.measure("accuracy") == 0.5, "labels count as said, answered or not"
    assert given_by.support("selective_error") == 3
    assert {"coverage", "selective_error"} <= set(given_by.names)


def test_a_model_that_always_answers_has_no_metrics_of_its_own_and_can_be_compared_all_the_same() -> None:
    always = answers(np.array([0.9, 0.6]), np.array([True, False]))
    assert not {"coverage", "selective_error"} & set(always.names)
    assert (always.measure("coverage"), always.measure("selective_error")) == (1.0, 0.5)


def test_selective_error_of_no_answer_is_undefined() -> None:
    nothing = answers(np.array([0.9, 0.6]), np.array([True, False]), AnswerRule(NOTHING))
    assert (nothing.measure("coverage"), nothing.measure("selective_error")) == (0.0, None)


def test_the_rule_stays_with_the_answers() -> None:
    rule = AnswerRule(0.75)
    one = answers(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), rule, groups=np.array([1, 1, 2]))
    kept = (one.take([0, 2]), one.join([one]), one.mix(one, 0.5), one.as_answered(), one.in_groups(None))
    assert {each.rule for each in kept} == {rule}
    assert one.take([1, 2]).answered.tolist() == [True, False]
    assert one.with_logits(np.zeros((3, 2))).rule == one.as_right_or_wrong().rule == AnswerRule()
    assert AnswerRule.of_json(rule.to_json()) == rule
    assert AnswerRule.of_json({}) == AnswerRule.of_abstention(None) == AnswerRule()
    assert AnswerRule.of_abstention({"threshold": None}).abstain_below == NOTHING


def test_of_rows_that_are_alike_one_is_counted_and_of_unknown_classes_none() -> None:
    probability, right = drawn(300, 1)
    once = answers(probability, right).abstention(0.2, 0.9)
    groups = np.repeat(np.arange(300), 3)
    alike = answers(np.repeat(probability, 3), np.repeat(right, 3), groups=groups).abstention(0.2, 0.9)
    assert alike == once
    assert answers(probability, right, known=1).abstention(0.2, 0.9).rows == right.sum()


def test_pseudo_observations_are_the_best_and_the_worst_of_each_metric() -> None:
    sums = abstaining_keys(np.array([True, True, False]), np.array([True, False, False])).sum(axis=0)
    assert sums.tolist() == [3, 2, 1]
    one, zero = np.array(1.0), np.array(0.0)
    assert abstaining_metric(sums, "coverage") == pytest.approx(2 / 3)
    assert smoothed_abstaining_metric(sums, one, zero, "coverage") == 3 / 4
    assert smoothed_abstaining_metric(sums, zero, one, "coverage") == 2 / 4
    assert smoothed_abstaining_metric(sums, one, zero, "selective_error") == 1 / 3
    assert smoothed_abstaining_metric(sums, zero, one, "selective_error") == 2 / 3


def test_risk_by_coverage_by_hand() -> None:
    curve = risk_coverage(np.array([0.6, 0.9, 0.6, 0.8]), np.array([False, True, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 1.0]
    assert curve.risk.tolist() == [0.0, 0.5, 0.5]
    assert curve.area == pytest.approx(0.25 * 0 + 0.25 * 0.5 + 0.5 * 0.5)
