from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from progressive_tf.evaluation.sequential import Events, evidence_of_more_events
from progressive_tf.evaluation.tally import Tally
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.serving.canary_decision import HOLD, ROLLBACK, WAIT, WIDEN, advise, decide, decide_shadow
from progressive_tf.serving.canary_rates import more_often
from progressive_tf.serving.proof import Proof
from progressive_tf.serving.step_counts import Said, StepCounts, VersionCounts

SCHEDULE = ReleaseSchedule(steps=(5, 50, 100), min_samples=200, max_minutes=60, min_minutes=0, proof="harm-only")
OTHERS = 10**6  # callers of stable are numbered from here on


def by_size(slow: Tally) -> dict[int, Tally]:
    """Returns what is slow where every batch is of one size."""
    return {1: slow}


def asked(requests: int, first: int = 0, **counts: Any) -> VersionCounts:
    """Returns the counts of a version that so many callers asked once each, and answered so many of them."""
    failures, slow = (Tally.of_one_row_each(counts.get(name, 0), requests, first) for name in ("failures", "slow"))
    right = Tally.of_one_row_each(counts.get("right", 0), counts.get("judged", 0), first)
    labels = [label for label, count in counts.get("labels", {}).items() for _ in range(count)]
    said = Said.of([(first + place, label, 1) for place, label in enumerate(labels)])
    return VersionCounts(failures, by_size(slow), by_size(slow), right, said)


def stable_asked(requests: int, **counts: Any) -> VersionCounts:
    return asked(requests, OTHERS, **counts)


def step(canary: VersionCounts | None = None, stable: VersionCounts | None = None, **changes: Any) -> StepCounts:
    measured = {"slow_beyond": {1: 1.0}} | changes
    return StepCounts(canary or asked(100), stable or stable_asked(1000), **measured)


def answered(count: int, **changes: int) -> StepCounts:
    return step(asked(100, labels={"a": count}, **changes))


def outcome(*steps: StepCounts, minutes: float = 0.0, **changes: float) -> tuple[str, str]:
    found = decide(steps, minutes, SCHEDULE.model_copy(update=changes))
    return found.outcome, found.reason


@pytest.mark.parametrize(
    ("answers", "minutes", "expected", "reason"),
    [
        (0, 0.0, WAIT, "0 of 200 answers"),
        (199, 60.0, WAIT, "199 of 200 answers"),
        (199, 61.0, HOLD, "199 of 200 answers after 61 of 60 minutes; a person decides"),
        (200, 61.0, WIDEN, "200 answers to 100 callers, and no sign that it is worse than stable"),
    ],
)
def test_without_a_sign_of_harm_it_waits_for_answers_and_never_passes_without(
    answers: int, minutes: float, expected: str, reason: str
) -> None:
    assert outcome(answered(answers), minutes=minutes) == (expected, reason)
    assert outcome(answered(10_000), answered(answers), minutes=minutes) == (expected, reason)


def test_it_waits_for_judged_answers_where_the_plan_asks_for_them() -> None:
    assert outcome(answered(200, judged=9, right=9), min_judged=10) == (WAIT, "9 of 10 judged answers")
    assert outcome(answered(20, judged=9, right=9), min_judged=10) == (
        WAIT,
        "20 of 200 answers and 9 of 10 judged answers",
    )
    assert outcome(answered(200, judged=10, right=10), min_judged=10)[0] == WIDEN


def test_nothing_known_waits() -> None:
    assert outcome() == (WAIT, "0 of 200 answers")


ALL_FAIL = step(asked(10, failures=10), stable_asked(90, failures=90))
FAILS_MORE = step(asked(1000, failures=20), stable_asked(1000, failures=1))
SLOW = step(asked(100, slow=50), stable_asked(900, slow=45))
WRONG = step(asked(500, judged=500, right=300), stable_asked(500, judged=500, right=400))
DISAGREES = step(other=Tally.of_one_row_each(100, 200))
DRIFTS = step(asked(500, labels={"a": 400, "b": 100}), stable_asked(500, labels={"a": 200, "b": 300}))


@pytest.mark.parametrize(
    ("harm", "metric", "limits"),
    [
        (ALL_FAIL, "error rate", {}),
        (FAILS_MORE, "failures", {}),
        (SLOW, "latency", {}),
        (WRONG, "accuracy", {}),
        (DISAGREES, "disagreement", {"max_disagreement": 0.2}),
        (DRIFTS, "prediction drift", {"max_drift": 0.2}),
    ],
)
def test_what_is_surely_worse_is_taken_back_whatever_else_is_so(
    harm: StepCounts, metric: str, limits: dict[str, float]
) -> None:
    schedule = SCHEDULE.model_copy(update=limits)
    for before, minutes in ((answered(0), 0.0), (answered(10_000), 0.0), (answered(0), 1000.0)):
        found = decide([before, harm], minutes, schedule)
        assert found.outcome == ROLLBACK
        assert [finding.metric for finding in found.findings if finding.is_harm] == [metric]
        assert found.reason == next(finding.says for finding in found.findings if finding.is_harm)


def test_without_a_limit_disagreement_and_drift_are_not_looked_at() -> None:
    for harm in (DISAGREES, DRIFTS):
        found = decide([harm], 0.0, SCHEDULE)
        assert found.outcome != ROLLBACK
        assert [finding.metric for finding in found.findings] == ["error rate", "failures", "latency", "accuracy"]


def test_every_further_metric_takes_its_part_of_alpha() -> None:
    # Enough for a quarter of alpha, too little for a sixth.
    close = step(asked(100, failures=4), stable_asked(100))
    alpha = 10 / evidence_of_more_events([Events(4, 4, 0.5)])
    assert outcome(close, alpha=alpha)[0] == ROLLBACK
    assert outcome(close, alpha=alpha, max_disagreement=0.5, max_drift=0.5)[0] == WAIT


def test_a_failure_here_and_there_is_no_sign() -> None:
    seldom = stable_asked(1000, failures=10, judged=500, right=400)
    assert outcome(step(asked(100, failures=1, labels={"a": 200}), seldom))[0] == WIDEN
    assert outcome(step(asked(500, judged=500, right=395, labels={"a": 200}), seldom))[0] == WIDEN


def test_answers_of_few_callers_say_less_than_as_many_of_many() -> None:
    stable = stable_asked(500, judged=500, right=400)
    assert outcome(step(asked(500, judged=500, right=300), stable))[0] == ROLLBACK
    callers = np.arange(12)  # 300 of 480 right, from none to all of a caller's
    few = Tally(callers, np.linspace(10, 40, 12).round().astype(int), np.full(12, 40))
    assert outcome(step(VersionCounts(right=few), stable))[0] == WAIT


def test_below_ten_callers_on_a_side_accuracy_has_no_verdict() -> None:
    stable = stable_asked(500, judged=500, right=400)
    for callers, expected in ((9, WAIT), (10, ROLLBACK)):
        never_right = Tally(np.arange(callers), np.zeros(callers, int), np.full(callers, 1000))
        assert outcome(step(VersionCounts(right=never_right), stable))[0] == expected
        few_of_stable = Tally(np.arange(callers) + OTHERS, np.full(callers, 1000), np.full(callers, 1000))
        assert outcome(step(asked(500, judged=500), VersionCounts(right=few_of_stable)))[0] == expected


def test_how_many_callers_fail_is_told_by_the_canarys_part_of_the_callers() -> None:
    sides = [(asked(100, failures=12).failures, stable_asked(900, failures=9).failures)]
    says, is_harm = more_often("fails", sides, sides, 1e-9)
    evidence = evidence_of_more_events([Events(12, 21, 0.1)])
    assert says == (
        f"it fails for more callers than stable, by a likelihood ratio of {evidence:.2g} (2000000000 is enough)"
    )
    assert not is_harm
    assert more_often("fails", sides, sides, 0.01)[1]


def test_a_label_that_is_said_less_often_has_drifted_too() -> None:
    labels = [{"a": 100, "b": 200, "c": 200}, {"a": 300, "b": 100, "c": 100}]
    drifts = step(asked(500, labels=labels[0]), stable_asked(500, labels=labels[1]))
    found = decide([drifts], 0.0, SCHEDULE.model_copy(update={"max_drift": 0.25}))
    assert found.outcome == ROLLBACK
    assert found.reason.startswith("it says a more often than stable by -0.400")


def test_one_caller_who_always_fails_is_no_sign() -> None:
    failing = Tally(np.arange(100), np.array([90] + [0] * 99), np.array([90] + [20] * 99))
    assert outcome(step(VersionCounts(failing), stable_asked(100)))[0] == WAIT


def test_a_caller_who_comes_again_in_every_step_counts_once() -> None:
    again = step(asked(100, failures=4), stable_asked(100))
    assert outcome(*[again] * 20)[0] == WAIT
    assert outcome(*(step(asked(100, 1000 * turn, failures=4), stable_asked(100)) for turn in range(5)))[0] == ROLLBACK
    wrong = Tally(np.arange(20), np.linspace(20, 34, 20).round().astype(int), np.full(20, 40))  # 67 % right
    right = Tally(np.arange(20) + OTHERS, np.linspace(25, 39, 20).round().astype(int), np.full(20, 40))
    by_few = step(VersionCounts(right=wrong), VersionCounts(right=right))
    assert outcome(*[by_few] * 10)[0] == WAIT
    one, ten = (decide([by_few] * steps, 0.0, SCHEDULE).findings[3].says for steps in (1, 10))
    assert one == ten


def test_what_has_happened_to_everybody_once_is_told_apart_by_how_often() -> None:
    def each(callers: int, having: int, first: int = 0) -> Tally:
        return Tally(np.arange(callers) + first, np.full(callers, having), np.full(callers, 400))

    def in_one_size(slow: Tally) -> VersionCounts:
        return VersionCounts(slow=by_size(slow), first_slow=by_size(replace(slow, having=slow.having * 0)))

    for counts, metric in ((in_one_size, "latency"), (VersionCounts, "failures")):
        often, seldom = (counts(each(200, having, first)) for having, first in ((60, 0), (8, OTHERS)))
        found = decide([step(often, seldom)], 0.0, SCHEDULE.model_copy(update={"max_error_rate": 0.5}))
        assert (found.outcome, [each.metric for each in found.findings if each.is_harm]) == (ROLLBACK, [metric])
        assert "on a larger part of its requests than stable, by +13.0%" in found.reason
        assert decide([step(seldom, often)], 0.0, SCHEDULE.model_copy(update={"max_error_rate": 0.5})).outcome == WAIT


def test_one_caller_counts_for_a_tenth_of_what_a_step_needs() -> None:
    flood = Said.of([(1, "a", 100_000), *((caller, "a", 1) for caller in range(2, 12))])
    found = outcome(step(VersionCounts(said=flood)))
    words = "30 of 200 answers, of 100010 by 11 callers, of whom each counts for at most 20"
    assert found == (WAIT, words)
    ten = Said.of([(caller, "a", 20) for caller in range(10)])
    assert outcome(step(VersionCounts(said=ten)))[0] == WIDEN
    judged = Tally(np.arange(2), np.array([500, 1]), np.array([500, 1]))
    assert outcome(step(VersionCounts(said=ten, right=judged)), min_judged=10) == (
        WAIT,
        "2 of 10 judged answers, of 501 by 2 callers, of whom each counts for at most 1",
    )


def test_a_step_takes_its_least_time() -> None:
    assert outcome(answered(200), minutes=9.4, min_minutes=10) == (WAIT, "9 of 10 minutes at this step")
    assert outcome(answered(200), minutes=10.0, min_minutes=10)[0] == WIDEN
    assert decide([ALL_FAIL], 0.0, SCHEDULE.model_copy(update={"min_minutes": 10})).outcome == ROLLBACK


def test_where_latency_is_not_measured_nothing_is_widened() -> None:
    found = decide([step(asked(100, labels={"a": 200}), slow_beyond={})], 61.0, SCHEDULE)
    assert found.outcome == HOLD
    assert found.reason.startswith("latency not measured: stable gave too few answers before this step")
    assert found.findings[2].says.startswith("not measured: stable gave")


def test_a_canary_that_slows_stable_too_is_not_widened() -> None:
    found = outcome(step(asked(100, labels={"a": 200}, slow=90), stable_asked(900, slow=800)))
    assert found[0] == WAIT
    assert found[1].startswith("stable itself is slow since this step began, on 88.9%")


def test_however_often_it_is_paused_the_error_rate_gets_no_more_than_its_part_of_alpha() -> None:
    # Enough at the first step, too little at the eleventh, which has a 66th of it.
    close = step(asked(10, failures=5), stable_asked(100, failures=50))
    assert outcome(close)[0] == ROLLBACK
    assert outcome(*[step()] * 10, close)[0] == WAIT


@pytest.mark.slow
def test_an_equal_canary_is_seldom_taken_back_though_it_is_looked_at_after_every_request() -> None:
    generator = np.random.default_rng(5)
    taken_back = 0
    for _ in range(100):
        is_canary = generator.random(1500) < 0.3
        events = [generator.random(1500) < share for share in (0.01, 0.05, 0.8)]
        for look in range(10, 1500, 15):
            sides = []
            for who in (is_canary[:look], ~is_canary[:look]):
                callers = np.flatnonzero(who)
                failures, slow, right = (
                    Tally(callers, event[callers].astype(int), np.ones(len(callers), int)) for event in events
                )
                sides.append(VersionCounts(failures, by_size(slow), by_size(slow), right))
            if decide([step(*sides)], 0.0, SCHEDULE).outcome == ROLLBACK:
                taken_back += 1
                break
    assert taken_back <= 5


def test_without_steps_every_metric_is_said_and_a_person_decides() -> None:
    found = advise([step(asked(100, labels={"a": 100}, judged=40, right=30), other=Tally.of_one_row_each(8, 80))], 5.0)
    assert (found.outcome, found.decides) == (HOLD, "a person")
    assert found.reason.startswith(
        "100 answers to 100 callers, 40 of them judged, and no sign that it is worse than stable; its plan has"
    )
    assert [each.metric for each in found.findings] == ["error rate", "failures", "latency", "accuracy", "disagreement"]
    assert found.findings[-1].says == (
        "stable says something else to 8 of 80 of its instances, 10.0% (no limit is set)"
    )
    assert advise([], 5.0).outcome == HOLD
    failing = advise([step(asked(100, failures=60, labels={"a": 40}))], 5.0)
    assert (failing.outcome, failing.decides) == (ROLLBACK, "a person")


def test_where_the_plan_leaves_it_to_a_person_the_same_is_advice() -> None:
    found = decide([answered(200)], 0.0, SCHEDULE.model_copy(update={"automatic": False}))
    assert (found.outcome, found.decides) == (WIDEN, "a person")
    assert found.findings[-1].metric == "disagreement"
    assert decide([answered(200)], 0.0, SCHEDULE).decides == "the server"


PROVING = SCHEDULE.model_copy(update={"proof": "required"})
OPEN = Proof(False, "it is not shown yet", "no proof yet: about 40 judged disagreements are missing")
SHOWN = Proof(True, "it is shown to be at most 2 points less accurate than stable")


def test_where_a_proof_is_asked_for_silence_widens_nothing() -> None:
    for proof, reason in ((None, "no proof yet: nothing is known of it"), (OPEN, OPEN.lacks)):
        found = decide([answered(10_000)], 60.0, PROVING, proof)
        assert (found.outcome, found.reason) == (WAIT, reason)
        found = decide([answered(10_000)], 61.0, PROVING, proof)
        assert (found.outcome, found.reason) == (HOLD, f"{reason} after 61 of 60 minutes; a person decides")
    assert decide([answered(20)], 0.0, PROVING, OPEN).reason == f"20 of 200 answers and {OPEN.lacks}"


def test_what_is_shown_is_widened_with_enough_answers() -> None:
    found = decide([answered(200)], 0.0, PROVING, SHOWN)
    assert (found.outcome, found.reason) == (WIDEN, f"200 answers to 100 callers, and {SHOWN.says}")
    assert found.findings[-1].metric == "proof"
    assert decide([answered(199)], 0.0, PROVING, SHOWN).outcome == WAIT


def test_harm_counts_more_than_a_proof() -> None:
    assert decide([ALL_FAIL], 0.0, PROVING, SHOWN).outcome == ROLLBACK


def test_labels_of_disagreements_take_it_back_too() -> None:
    worse = replace(OPEN, harm=101.0)  # of five metrics each has a fifth of alpha
    found = decide([answered(200)], 0.0, PROVING, worse)
    assert (found.outcome, found.findings[-1].metric) == (ROLLBACK, "proof")
    assert found.reason.startswith("where they disagree stable is right too often, by a likelihood ratio of 1e+02 (100")
    assert decide([answered(200)], 0.0, PROVING, replace(OPEN, harm=99.0)).outcome == WAIT
    assert decide_shadow(replace(OPEN, harm=21.0), 0.0, PROVING).outcome == ROLLBACK
    assert decide_shadow(replace(OPEN, harm=19.0), 0.0, PROVING).outcome == WAIT


def test_harm_only_asks_for_no_proof() -> None:
    assert (
        decide([answered(200)], 0.0, SCHEDULE, OPEN).reason
        == "200 answers to 100 callers, and no sign that it is worse than stable"
    )


def test_a_person_reads_what_is_shown() -> None:
    assert advise([answered(200)], 5.0, OPEN).findings[-1].says == "it is not shown yet"


def without_keys(shares: Sequence[tuple[int, int, int, int]]) -> StepCounts:
    """Returns the counts of callers without keys: failures and requests of the canary, and of stable; 0 for none."""
    numbered = [(-1 - place, each) for place, each in enumerate(shares)]
    sides = (
        VersionCounts(Tally.of({caller: each[first : first + 2] for caller, each in numbered if each[first + 1]}))
        for first in (0, 2)
    )
    return StepCounts(*sides, slow_beyond={1: 1.0})


def test_an_equal_canary_is_not_taken_back_since_it_gets_more_of_each_callers_requests() -> None:
    # Each of 100 callers fails on one of a hundred requests, of which the canary gets 90: that one, too, mostly.
    met = [(1, 90, 0, 10) if place < 90 else (0, 90, 1, 10) for place in range(100)]
    assert decide([without_keys(met)], 0.0, SCHEDULE).outcome == WAIT
    fails = [(30, 90, 0, 10) for _ in range(100)]
    assert decide([without_keys(fails)], 0.0, SCHEDULE.model_copy(update={"max_error_rate": 1.0})).reason.startswith(
        "it fails on a larger part of its requests than stable"
    )


def test_who_asks_seldom_and_without_a_key_is_compared_with_nobody_else() -> None:
    # Those on one side alone ask seldom, and fail often with either version; those with keys never fail.
    lenient = SCHEDULE.model_copy(update={"max_error_rate": 1.0})
    seldom, often = [(1, 1, 0, 0)] * 200, [(0, 9, 0, 1)] * 100
    divided = without_keys(seldom + often)
    assert decide([divided], 0.0, lenient).outcome == WAIT
    keyed = asked(10), stable_asked(1000)
    both = [
        replace(side, failures=joined(side.failures, other.failures))
        for side, other in zip(keyed, (divided.canary, divided.stable), strict=True)
    ]
    assert decide([StepCounts(*both, slow_beyond={1: 1.0})], 0.0, lenient).outcome == WAIT


def joined(one: Tally, other: Tally) -> Tally:
    return Tally(
        *(np.concatenate([getattr(each, name) for each in (one, other)]) for name in ("callers", "having", "total"))
    )
