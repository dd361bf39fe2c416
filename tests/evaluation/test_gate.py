from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule

RESAMPLES = 1_999
FLOOR = GateRule(metric="accuracy", at_least=0.7, confidence=0.95)
DROP = GateRule(metric="accuracy", drop_at_most=0.02, confidence=0.95)
PREVIOUS = GateRule(metric="accuracy", slice="every-previous", drop_at_most=0.02, confidence=0.95)


def model(right: Any, rows: int = 400, confidence: float = 0.9) -> ClassAnswers:
    """Answers `rows` rows of two classes; `right`: how many of the first are right, or which."""
    truth = np.arange(rows) % 2
    chosen = np.arange(rows) < right if isinstance(right, int) else np.asarray(right)
    predicted = np.where(chosen, truth, 1 - truth)
    probabilities = np.where(np.eye(2)[predicted] > 0, confidence, 1 - confidence)
    return ClassAnswers(("no", "yes"), truth, probabilities)


def current(
    rules: list[GateRule], candidate: ClassAnswers, baseline: ClassAnswers | None = None, **more: Any
) -> Decision:
    released = None if baseline is None else {"current": baseline}
    return judge(rules, Compared({"current": candidate}, released), seed=1, resamples=RESAMPLES, **more)


def outcomes(result: Decision) -> list[str]:
    return [rule.outcome for rule in result.rules]


@pytest.mark.parametrize(
    ("right", "decision"), [(360, "promote"), (292, "hold"), (280, "hold"), (268, "hold"), (200, "reject")]
)
def test_a_floor_promotes_holds_and_rejects(right: int, decision: str) -> None:
    result = current([FLOOR], model(right))
    assert result.decision == decision
    (rule,) = result.rules
    assert (rule.estimate, rule.threshold, rule.n) == (right / 400, 0.7, 400)
    assert rule.low is not None
    assert rule.high is not None
    assert rule.low < right / 400 < rule.high
    assert (rule.low >= 0.7) == (decision == "promote")
    assert (rule.high < 0.7) == (decision == "reject")


def test_a_ceiling_is_met_from_below() -> None:
    rule = GateRule(metric="log_loss", at_most=0.5, confidence=0.95)
    assert current([rule], model(380)).decision == "promote"
    assert current([rule], model(100)).decision == "reject"


@pytest.mark.parametrize(("rows", "decision"), [(30, "hold"), (100, "hold"), (400, "promote")])
def test_the_same_model_passes_with_enough_rows_only(rows: int, decision: str) -> None:
    same = model(rows * 9 // 10, rows)
    assert current([DROP], same, same).decision == decision


def test_a_much_worse_model_is_rejected_and_a_much_better_one_promoted() -> None:
    worse = current([DROP], model(300), model(380))
    assert worse.decision == "reject"
    assert worse.rules[0].estimate == pytest.approx(0.2)
    assert "accuracy on current" in worse.reason
    assert current([DROP], model(380), model(300)).decision == "promote"


def test_a_drop_follows_the_metrics_direction() -> None:
    rule = GateRule(metric="log_loss", drop_at_most=0.02, confidence=0.95)
    sharper, duller = model(390, confidence=0.95), model(390, confidence=0.6)
    assert current([rule], duller, sharper).decision == "reject"
    better = current([rule], sharper, duller)
    assert better.decision == "promote"
    assert better.rules[0].estimate is not None
    assert better.rules[0].estimate < 0


@pytest.mark.parametrize(("right", "decision"), [(372, "promote"), (371, "reject")])
def test_without_confidence_the_estimate_decides(right: int, decision: str) -> None:
    rule = GateRule(metric="accuracy", drop_at_most=0.02)
    assert current([rule], model(right), model(380)).decision == decision
    rule = GateRule(metric="accuracy", at_least=0.93)
    assert current([rule], model(right)).decision == decision


def test_fewer_rows_than_asked_hold_even_when_the_estimate_is_clear() -> None:
    for rule in (GateRule(metric="accuracy", at_least=0.5), FLOOR):
        result = current([rule], model(29, 29))
        assert outcomes(result) == ["hold"]
        assert "29 rows" in result.rules[0].reason
        assert result.rules[0].estimate == 1.0
        assert current([rule], model(30, 30)).decision == "promote"


def test_a_class_is_judged_by_its_own_rows() -> None:
    truth = (np.arange(500) < 20).astype(int)
    few = ClassAnswers(("no", "yes"), truth, np.eye(2)[truth])
    result = current([GateRule(metric="recall/yes", at_least=0.5, confidence=0.95)], few)
    assert (result.decision, result.rules[0].n) == ("hold", 20)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (GateRule(metric="accuracy", at_least=0.5, slice="long-texts"), "long-texts"),
        (GateRule(metric="accuracy", drop_at_most=0.5, slice="all"), "'all'"),
        (GateRule(metric="recall/maybe", at_least=0.5), "no such label; known are no, yes"),
        (GateRule(metric="f1/other", drop_at_most=0.5), "no such label"),
    ],
)
def test_what_is_missing_holds_and_says_so(rule: GateRule, reason: str) -> None:
    result = current([GateRule(metric="accuracy", at_least=0.5), rule], model(400), model(400))
    assert result.decision == "hold"
    assert outcomes(result) == ["pass", "hold"]
    assert reason in result.rules[1].reason
    assert result.rules[1].estimate is None


def test_a_slice_only_the_candidate_answered_holds() -> None:
    rule = GateRule(metric="accuracy", drop_at_most=0.5, slice="all")
    result = judge([rule], Compared({"all": model(400)}, {}), seed=1, resamples=RESAMPLES)
    assert result.decision == "hold"
    assert "released version" in result.rules[0].reason


def test_an_undefined_metric_and_an_empty_slice_hold() -> None:
    one_class = ClassAnswers(("no", "yes"), np.zeros(50, int), np.tile([0.9, 0.1], (50, 1)))
    result = current([GateRule(metric="recall/yes", at_least=0.5)], one_class)
    assert result.decision == "hold"
    assert "undefined" in result.rules[0].reason
    empty = current([GateRule(metric="accuracy", at_least=0.5)], one_class.take([]))
    assert empty.decision == "hold"
    assert "no rows" in empty.rules[0].reason
    compared = current([DROP], one_class.take([]), one_class.take([]))
    assert outcomes(compared) == ["hold"]
    assert "no rows" in compared.rules[0].reason


def test_rules_that_do_not_apply_are_ignored() -> None:
    result = current([FLOOR, DROP, PREVIOUS], model(390))
    assert outcomes(result) == ["pass", "not-applicable", "not-applicable"]
    assert result.decision == "promote"
    result = current([FLOOR, PREVIOUS], model(390), model(390))
    assert outcomes(result) == ["pass", "not-applicable"]
    assert result.decision == "promote"


def test_nothing_applicable_holds() -> None:
    assert current([DROP, PREVIOUS], model(400)).decision == "hold"
    without_baseline = judge([PREVIOUS], Compared({"pilot": model(400)}, None, ["pilot"]), 1, RESAMPLES)
    assert outcomes(without_baseline) == ["not-applicable"]
    assert without_baseline.decision == "hold"


def test_no_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        current([], model(400))


def test_every_previous_is_one_comparison_per_earlier_slice() -> None:
    candidate = {"current": model(390), "pilot": model(390), "beta": model(200)}
    baseline = {"current": model(390), "pilot": model(390), "beta": model(390)}
    result = judge([FLOOR, PREVIOUS], Compared(candidate, baseline, ["pilot", "beta"]), seed=1, resamples=RESAMPLES)
    assert [(rule.slice, rule.outcome) for rule in result.rules] == [
        ("current", "pass"),
        ("pilot", "pass"),
        ("beta", "reject"),
    ]
    assert result.decision == "reject"
    del candidate["pilot"]
    held = judge([PREVIOUS], Compared(candidate | {"beta": model(390)}, baseline, ["pilot", "beta"]), 1, RESAMPLES)
    assert outcomes(held) == ["hold", "pass"]


def test_a_rejection_outweighs_a_hold() -> None:
    result = current([GateRule(metric="accuracy", slice="gone", at_least=0.1), FLOOR], model(100))
    assert outcomes(result) == ["hold", "reject"]
    assert result.decision == "reject"


def test_rejections_are_adjusted_for_the_number_of_comparisons() -> None:
    borderline, threshold = model(262), FLOOR
    alone = current([threshold], borderline)
    assert alone.decision == "reject"
    others = [GateRule(metric="accuracy", slice="extra", at_least=0.7, confidence=0.95)] * 9
    slices = {"current": borderline, "extra": model(284)}
    among_ten = judge([threshold, *others], Compared(slices), seed=1, resamples=RESAMPLES)
    assert outcomes(among_ten)[0] == "hold"
    assert among_ten.rules[0].p == alone.rules[0].p
    # Rules that state no confidence are not tests and weaken none.
    estimates = [GateRule(metric="accuracy", at_least=0.1)] * 9
    assert outcomes(current([threshold, *estimates], borderline))[0] == "reject"


def test_baseline_of_other_rows_is_refused() -> None:
    shifted = model(400).take(np.roll(np.arange(400), 1))
    for other in (model(300, 300), shifted, ClassAnswers(("yes", "no"), shifted.truth, shifted.probabilities)):
        with pytest.raises(ValueError, match="same rows"):
            current([DROP], model(400), other)


def test_a_confidence_finer_than_the_resamples_never_passes() -> None:
    rule = GateRule(metric="accuracy", at_least=0.1, confidence=0.9999)
    assert current([rule], model(400)).decision == "hold"


@given(
    st.integers(0, 10**6),
    st.integers(0, 80),
    st.permutations(["one", "two", "three"]),
    st.sampled_from(["accuracy", "f1_macro", "recall/yes", "log_loss", "ece"]),
)
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_rules_and_slices_changes_nothing(
    seed: int, worse: int, names: list[str], metric: str
) -> None:
    generator = np.random.default_rng(seed)
    candidate, baseline = {}, {}
    for name in ("current", *sorted(names)):
        base = generator.random(150) < 0.8
        flips = generator.random(150) < worse / 400
        candidate[name], baseline[name] = model(base & ~flips, 150), model(base, 150)
    highest = 0.5
    rules = [
        GateRule(metric=metric, slice="every-previous", drop_at_most=0.05, confidence=0.9),
        GateRule(metric=metric, at_most=highest, confidence=0.9),
    ]
    straight = judge(rules, Compared(candidate, baseline, sorted(names)), seed=3, resamples=199)
    orders = {name: generator.permutation(150) for name in candidate}
    shuffled = judge(
        rules[::-1],
        Compared(
            {name: candidate[name].take(orders[name]) for name in candidate},
            {name: baseline[name].take(orders[name]) for name in baseline},
            names,
        ),
        seed=3,
        resamples=199,
    )
    assert shuffled.decision == straight.decision
    outcome_of = {(rule.rule, rule.slice): (rule.outcome, rule.p) for rule in straight.rules}
    assert {(rule.rule, rule.slice): (rule.outcome, rule.p) for rule in shuffled.rules} == outcome_of


def test_the_record_is_plain_json() -> None:
    result = current([FLOOR, DROP, PREVIOUS], model(390), model(388))
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(record) == ["decision", "reason", "rules", "version", "baseline", "started_from", "weights_sha256"]
    assert set(record["rules"][0]) == {
        *("rule", "slice", "estimate", "low", "high", "threshold", "n", "p", "power", "rows_needed"),
        *("outcome", "reason", "confidence"),
    }
    assert record["rules"][0]["rule"] == {
        "metric": "accuracy", "slice": "current", "at_least": 0.7, "confidence": 0.95, "min_samples": 30,
    }  # fmt: skip
    assert record["rules"][2]["outcome"] == "not-applicable"
    assert record["rules"][2]["estimate"] is None


def test_a_rule_says_how_many_rows_it_needs() -> None:
    (unsure,) = current([GateRule(metric="accuracy", at_least=0.7, confidence=0.95)], model(292)).rules
    assert unsure.outcome == "hold"
    assert unsure.n == 400
    # 0.73 is 0.03 above 0.7, at a standard error of √(0.73 · 0.27 / n), and 2.486 of these are needed.
    assert unsure.rows_needed == pytest.approx(2.486**2 * 0.73 * 0.27 / 0.03**2, rel=0.05)
    (few,) = current([GateRule(metric="accuracy", at_least=0.1, min_samples=800)], model(292)).rules
    assert (few.outcome, few.rows_needed) == ("hold", 800)
    (misses,) = current([GateRule(metric="accuracy", at_least=0.74, confidence=0.95)], model(292)).rules
    assert (misses.outcome, misses.rows_needed) == ("hold", None)


@pytest.mark.slow
def test_candidates_at_the_threshold_pass_about_as_rarely_as_stated() -> None:
    generator = np.random.default_rng(11)
    simulations, promoted, rejected = 600, 0, 0
    for simulation in range(simulations):
        draw = generator.random(300)
        baseline = model(draw >= 0.04, 300)  # 4 % of rows only the candidate gets right, 6 % only the baseline
        candidate = model((draw < 0.94), 300)
        result = judge([DROP], Compared({"current": candidate}, {"current": baseline}), simulation, RESAMPLES)
        promoted += result.decision == "promote"
        rejected += result.decision == "reject"
    # 5 % of 600 is 30 with a standard deviation of 5.3.
    assert 10 <= promoted <= 48
    assert 5 <= rejected <= 48


RIVAL = GateRule(metric="accuracy", at_least_rival=True)
SURE = GateRule(metric="accuracy", at_least_rival=0.02, confidence=0.95)


def beside(rule: GateRule, candidate: ClassAnswers, **rivals: ClassAnswers) -> Decision:
    compared = Compared({"current": candidate}, rivals={name: {"current": answers} for name, answers in rivals.items()})
    return judge([rule], compared, seed=1, resamples=RESAMPLES)


def test_a_stage_must_be_as_good_as_each_of_its_rivals() -> None:
    assert outcomes(beside(RIVAL, model(350), ncm=model(340), slda=model(350))) == ["pass", "pass"]
    result = beside(RIVAL, model(350), ncm=model(340), slda=model(351))
    assert outcomes(result) == ["pass", "reject"]
    assert [rule.against for rule in result.rules] == ["rival ncm", "rival slda"]
    assert "slda has 0.0025" in result.reason


def test_how_far_behind_a_rival_a_stage_may_be_must_be_sure_where_the_rule_asks_for_that() -> None:
    assert outcomes(beside(SURE, model(360, 4000), ncm=model(360, 4000))) == ["pass"]
    assert outcomes(beside(SURE, model(300), ncm=model(306))) == ["hold"]
    assert outcomes(beside(SURE, model(250), ncm=model(340))) == ["reject"]
    assert GateRule(metric="accuracy", at_least_rival=True).drop_allowed == 0.0
    assert SURE.drop_allowed == 0.02


def test_a_rule_on_rivals_holds_where_there_are_none() -> None:
    result = beside(RIVAL, model(350))
    assert (outcomes(result), result.decision) == (["hold"], "hold")
    assert "no rival was fitted" in result.reason
    assert json.loads(json.dumps(result.to_json()))["rules"][0]["against"] == "no rival"
    assert "against" not in current([FLOOR], model(350)).to_json()["rules"][0]
