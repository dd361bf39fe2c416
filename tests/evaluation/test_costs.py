from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.bootstrap import resample_drop, resample_metrics
from progressive_tf.evaluation.costs import Costs, mean_cost, smoothed_mean_cost

LABELS = ("fraud", "ok", "unclear")
COSTS = Costs.of_json({"fraud": {"ok": 50}, "ok": {"fraud": 2, "unclear": 0.5}})


def answers(probabilities: np.ndarray, truth: np.ndarray, rule: AnswerRule = ALWAYS, **more: object) -> ClassAnswers:
    return ClassAnswers(LABELS, truth.astype(np.int32), probabilities, rule=rule, costs=COSTS, **more)  # type: ignore[arg-type]


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(3), rows), generator.integers(0, 3, rows)


def test_what_is_not_said_costs_one_and_right_answers_nothing() -> None:
    assert COSTS.matrix(LABELS).tolist() == [[0, 50, 1], [2, 0, 0.5], [1, 1, 0]]
    assert COSTS.matrix(("ok", "fraud")).tolist() == [[0, 2], [50, 0]], "of other classes, in another order"
    assert Costs.of_json(COSTS.to_json()) == COSTS


@given(st.integers(0, 10_000))
def test_the_answer_is_the_cheapest_of_all_that_can_be_given(seed: int) -> None:
    probabilities, truth = drawn(4, seed)
    for row, said in zip(probabilities, answers(probabilities, truth, AnswerRule(costs=COSTS)).predicted, strict=True):
        expected = [sum(row[j] * COSTS.matrix(LABELS)[j, k] for j in range(3)) for k in range(3)]
        assert expected[said] == pytest.approx(min(expected))


def test_costs_that_are_all_alike_change_no_answer() -> None:
    probabilities, truth = drawn(200)
    alike = answers(probabilities, truth, AnswerRule(costs=Costs(())))
    np.testing.assert_array_equal(alike.predicted, probabilities.argmax(axis=1))


def test_the_cost_of_the_answers_given_by_hand() -> None:
    probabilities = np.array([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.0, 1.0, 0.0]])
    truth = np.array([0, 1, 1])
    plain, careful = answers(probabilities, truth), answers(probabilities, truth, AnswerRule(costs=COSTS))
    assert plain.predicted.tolist() == [1, 1, 1]
    assert plain.measure("expected_cost") == pytest.approx(50 / 3)
    # Expected costs of a row of the first kind: 1.7, 5.1 and 0.5.
    assert careful.predicted.tolist() == [2, 2, 1]
    assert careful.measure("expected_cost") == pytest.approx((1 + 0.5 + 0) / 3)
    assert careful.measure("accuracy") == pytest.approx(1 / 3)
    assert careful.confidence.tolist() == [0.1, 0.1, 1.0], "the probability of the answer given"
    assert replace(careful, rule=replace(careful.rule, abstain_below=0.5)).answered.tolist() == [False, False, True]


def test_without_costs_there_is_nothing_to_measure() -> None:
    probabilities, truth = drawn(10)
    silent = replace(answers(probabilities, truth), costs=None)
    assert "expected_cost" not in silent.names
    assert silent.measure("expected_cost") is None
    assert "expected_cost" in answers(probabilities, truth).names


def test_a_class_that_the_model_has_no_output_for_is_not_answered_however_cheap() -> None:
    cheap = Costs.of_json({"fraud": {"ok": 9, "unclear": 0.01}, "ok": {"fraud": 9, "unclear": 0.01}})
    known = answers(np.array([[0.5, 0.5, 0.0]]), np.array([0]), AnswerRule(costs=cheap), known=2)
    assert known.predicted.tolist() == known.as_answered().predicted.tolist() == [0]
    assert known.as_answered().take([0]).join([known.as_answered()]).predicted.tolist() == [0, 0]
    assert replace(known, known=None).predicted.tolist() == [2]


def test_rivals_answer_by_the_same_costs_and_right_or_wrong_by_none() -> None:
    probabilities, truth = drawn(50)
    rule = AnswerRule(0.4, COSTS)
    one = answers(probabilities, truth, rule)
    assert one.with_logits(np.log(probabilities)).rule == AnswerRule(costs=COSTS)
    np.testing.assert_array_equal(one.with_logits(np.log(probabilities)).predicted, one.predicted)
    assert one.as_right_or_wrong().right.tolist() == one.right.tolist()
    assert AnswerRule.of_json(rule.to_json()) == rule
    assert AnswerRule.of_version({"costs": COSTS.to_json(), "abstain": {"threshold": 0.4}}) == rule


def test_pseudo_observations_cost_nothing_and_the_most() -> None:
    sums, one, zero = np.array([4.0, 6.0]), np.array(1.0), np.array(0.0)
    assert mean_cost(sums) == 1.5
    assert smoothed_mean_cost(sums, one, zero, "expected_cost", 50.0) == 6 / 5
    assert smoothed_mean_cost(sums, zero, one, "expected_cost", 50.0) == 56 / 5


def test_resamples_spread_around_the_mean_cost() -> None:
    probabilities, truth = drawn(400)
    one = answers(probabilities, truth, AnswerRule(costs=COSTS))
    drawn_costs = resample_metrics(one, ["expected_cost"], 4_000, seed=1)["expected_cost"]
    each = COSTS.matrix(LABELS)[one.truth, one.predicted]
    with_both = np.append(each, [0.0, 50.0])
    assert drawn_costs.value == pytest.approx(each.mean())
    assert drawn_costs.samples.mean() == pytest.approx(with_both.mean(), rel=0.02)
    assert drawn_costs.samples.std() == pytest.approx(with_both.std() / np.sqrt(402), rel=0.06)
    saved = resample_drop(one, replace(one, rule=ALWAYS), "expected_cost", 500, seed=1)
    assert saved.value > 0, "the most probable answers cost more"
