"""What the evidence says of a canary: widen it, wait, leave it to a person, or take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from progressive_tf.evaluation.sequential import share_difference
from progressive_tf.evaluation.tally import together
from progressive_tf.plan.release_schedule import HARM_ONLY, ReleaseSchedule
from progressive_tf.registry.history import SERVER
from progressive_tf.registry.traffic import WHOLE
from progressive_tf.serving.canary_rates import (
    FEWEST_CALLERS,
    TYPICAL_DIFFERENCE,
    beyond,
    compared,
    more_often,
    sides_by_size,
    sides_of,
)
from progressive_tf.serving.proof import Proof
from progressive_tf.serving.step_counts import StepCounts, VersionCounts

OUTCOMES = WIDEN, WAIT, HOLD, ROLLBACK = "widen", "wait", "hold", "rollback"
# Who acts on an outcome.
PERSON = "a person"
# Of the answers that a step needs, one caller counts for at most this part.
MOST_OF_ONE_CALLER = 0.1
# A share of slow requests that no version had before the step: the limit is a multiple of this quantile's complement.
USUALLY_SLOW = 0.05
# So large a part of the callers at a step has to be answered in batches of sizes that stable had too.
FEWEST_MEASURED = 0.5


@dataclass(frozen=True)
class MetricEvidence:
    """What one metric says of a canary.

    Args:
        metric: its name.
        says: the evidence in words.
        is_harm: True where the canary is surely worse than it may be.
    """

    metric: str
    says: str
    is_harm: bool


@dataclass(frozen=True)
class CanaryDecision:
    """What to do, and why.

    Args:
        outcome: widen, wait, hold (a person decides) or rollback.
        reason: the evidence in words.
        findings: of each metric.
        decides: the server, or a person, to whom the outcome is advice.
    """

    outcome: str
    reason: str
    findings: tuple[MetricEvidence, ...]
    decides: str = SERVER


def compares_with_stable(schedule: ReleaseSchedule | None) -> bool:
    """Whether stable is asked about the canary's answers too: where the plan limits how often the two may disagree,
    and where a person decides, who has nothing but the evidence.

    Args:
        schedule: of the canary's plan; None for a plan without steps.
    """
    return schedule is None or not schedule.automatic or schedule.max_disagreement is not None


def advise(steps: Sequence[StepCounts], percent: float, proof: Proof | None = None) -> CanaryDecision:
    """Returns what the evidence says of a canary whose plan has no steps: a person decides in any case.

    Args:
        steps: counts of each step of the rollout, the present one last.
        percent: of the callers that it answers.
        proof: what is shown of it; None where nothing is known.
    """
    schedule = ReleaseSchedule(steps=(percent, WHOLE), automatic=False, proof=HARM_ONLY)
    decision = decide(steps, 0.0, schedule, proof)
    if decision.outcome == ROLLBACK:
        return decision
    present = _present(steps)
    reason = (
        f"{present.answers} answers to {present.callers} callers, {present.judged} of them judged, and no sign that it "
        "is worse than stable; its plan has no release.steps, so that the server decides nothing"
    )
    return replace(decision, outcome=HOLD, reason=reason)


def counted_of_step(present: VersionCounts, schedule: ReleaseSchedule) -> tuple[int, int]:
    """Returns how many answers and judged answers count for a step, see `_lacks_of_step`."""
    answers = present.said.tally().counted(_most_of_one(schedule.min_samples))
    return answers, present.right.counted(_most_of_one(schedule.min_judged))


def _most_of_one(needed: int) -> int:
    return max(1, int(needed * MOST_OF_ONE_CALLER))


def _lacks_of_step(present: VersionCounts, schedule: ReleaseSchedule) -> list[str]:
    """Returns in words what a canary still needs at its step. One caller counts for at most a tenth of it."""
    lacks = []
    answers, judged = counted_of_step(present, schedule)
    for tally, counted, needed, what in (
        (present.said.tally(), answers, schedule.min_samples, "answers"),
        (present.right, judged, schedule.min_judged, "judged answers"),
    ):
        most = _most_of_one(needed)
        if counted < needed:
            all_of_them = int(tally.total.sum())
            capped = f", of {all_of_them} by {len(tally.callers)} callers, of whom each counts for at most {most}"
            lacks.append(f"{counted} of {needed} {what}{capped if all_of_them > counted else ''}")
    return lacks


def decide(
    steps: Sequence[StepCounts], minutes: float, schedule: ReleaseSchedule, proof: Proof | None = None
) -> CanaryDecision:
    """Returns what to do with a canary; it may be asked after every request.

    Each metric that is looked at gets an equal part of the schedule's alpha, so that a canary as good as stable is ever
    taken back with at most that probability, over all metrics and looks (Bonferroni, of tests that are valid at any
    time). A proof has an alpha of its own, as it errs in the other direction.

    Args:
        steps: counts of each step of the rollout, the present one last.
        minutes: since it came to the present step; >= 0.
        schedule: of its plan; where that asks for a proof, nothing is widened without one.
        proof: what is shown of it; None where nothing is known.
    """
    findings = _findings(steps, schedule, proof)
    decides = SERVER if schedule.automatic else PERSON
    harm = next((finding.says for finding in findings if finding.is_harm), None)
    if harm is not None:
        return CanaryDecision(ROLLBACK, harm, findings, decides)
    present = _present(steps)
    missing = _lacks_of_step(present, schedule)
    if minutes < schedule.min_minutes:
        missing.append(f"{minutes:.0f} of {schedule.min_minutes:g} minutes at this step")
    missing += _unlike_before(steps, schedule)
    is_proved = proof is not None and proof.is_shown
    if schedule.needs_proof and not is_proved:
        missing.append("no proof yet: nothing is known of it" if proof is None else proof.lacks)
    if not missing:
        reason = f"{present.answers} answers to {present.callers} callers, and no sign that it is worse than stable"
        if schedule.needs_proof and proof is not None:
            reason = f"{present.answers} answers to {present.callers} callers, and {proof.says}"
        return CanaryDecision(WIDEN, reason, findings, decides)
    reason = " and ".join(missing)
    if schedule.max_minutes is not None and minutes > schedule.max_minutes:
        reason += f" after {minutes:.0f} of {schedule.max_minutes:g} minutes; a person decides"
        return CanaryDecision(HOLD, reason, findings, decides)
    return CanaryDecision(WAIT, reason, findings, decides)


def decide_shadow(proof: Proof, minutes: float, schedule: ReleaseSchedule) -> CanaryDecision:
    """Returns what to do with a shadow whose plan has `shadow_first`: give it callers, end it, wait, or leave it to a
    person.

    Args:
        proof: what is shown of it.
        minutes: since it answers in the background; >= 0.
        schedule: of its plan.
    """
    findings = (_proof(proof, schedule.alpha),)
    decides = SERVER if schedule.automatic else PERSON
    if findings[0].is_harm:
        return CanaryDecision(ROLLBACK, findings[0].says, findings, decides)
    if proof.is_shown and minutes >= schedule.min_minutes:
        return CanaryDecision(WIDEN, proof.says, findings, decides)
    if proof.is_shown:
        reason = f"{minutes:.0f} of {schedule.min_minutes:g} minutes as a shadow; {proof.says}"
        return CanaryDecision(WAIT, reason, findings, decides)
    if schedule.max_minutes is not None and minutes > schedule.max_minutes:
        reason = f"{proof.lacks} after {minutes:.0f} of {schedule.max_minutes:g} minutes; a person decides"
        return CanaryDecision(HOLD, reason, findings, decides)
    return CanaryDecision(WAIT, proof.lacks, findings, decides)


def _present(steps: Sequence[StepCounts]) -> VersionCounts:
    return steps[-1].canary if steps else VersionCounts()


def _findings(
    steps: Sequence[StepCounts], schedule: ReleaseSchedule, proof: Proof | None
) -> tuple[MetricEvidence, ...]:
    metrics = [_error_rate, _failures, _latency, _accuracy]
    metrics += [_disagreement] if schedule.max_disagreement is not None else []
    metrics += [_prediction_drift] if schedule.max_drift is not None else []
    part = schedule.alpha / (len(metrics) + (proof is not None))
    findings = [metric(steps, schedule, part) for metric in metrics]
    if schedule.max_disagreement is None and compares_with_stable(schedule):
        findings.append(_disagreement_to_read(steps))
    return (*findings, *([] if proof is None else [_proof(proof, part)]))


def _proof(proof: Proof, alpha: float) -> MetricEvidence:
    """Returns what the labels that were asked for say; they show harm too, and soonest."""
    enough = 1 / alpha
    if proof.harm < enough:
        return MetricEvidence("proof", proof.says, False)
    says = f"where they disagree stable is right too often, by a likelihood ratio of {proof.harm:.2g}"
    return MetricEvidence("proof", f"{says} ({enough:.0f} is enough): {proof.says}", True)


def _error_rate(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    # Of the present step alone, so that a long good past does not hide what begins to fail now. However many steps
    # there are, such as after pauses, the parts of alpha that they get, 1 / (k (k + 1)), add up to less than all.
    of_step = alpha / (max(len(steps), 1) * (len(steps) + 1))
    says, is_harm = beyond(_present(steps).failures, schedule.max_error_rate, of_step)
    return MetricEvidence("error rate", f"it fails on {says} of its requests, on average over callers", is_harm)


def _failures(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    sides = sides_of(steps, lambda counts: counts.failures)
    return MetricEvidence("failures", *more_often("fails", sides, sides, alpha))


def _latency(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    if not any(step.slow_beyond for step in steps):
        return MetricEvidence("latency", f"not measured: {_NOT_MEASURED}", False)
    callers = sides_by_size(steps, lambda counts: counts.first_slow)
    requests = sides_by_size(steps, lambda counts: counts.slow)
    return MetricEvidence("latency", *more_often("is slow", callers, requests, alpha))


_NOT_MEASURED = (
    "stable gave too few answers before this step to say what is slow (`release pause` and `release widen` begin the "
    "step anew)"
)


def _measured(step: StepCounts) -> float:
    """Returns for which part of the canary's callers it is known how long stable takes in batches as large."""
    beside = sides_by_size([step], lambda counts: counts.first_slow)
    known = sum(len(canary.callers) for canary, stable in beside if len(stable.callers) >= FEWEST_CALLERS)
    return known / step.canary.callers if step.canary.callers else 1.0


def _unlike_before(steps: Sequence[StepCounts], schedule: ReleaseSchedule) -> list[str]:
    """Returns why nothing is known of how slow the canary is: what a slow canary does to the machine slows stable."""
    if not steps or not steps[-1].slow_beyond:
        return [f"latency not measured: {_NOT_MEASURED}"] if steps else []
    says, is_slow = beyond(together(list(steps[-1].stable.slow.values())), USUALLY_SLOW, schedule.alpha)
    if not is_slow:
        part = _measured(steps[-1])
        if part >= FEWEST_MEASURED:
            return []
        return [
            f"latency measured for {part:.0%} of its callers alone: stable has had too few batches of the sizes that "
            "the others were in"
        ]
    return [
        f"stable itself is slow since this step began, on {says} of its requests (if that is not the canary's doing, "
        "`release pause` and `release widen` begin the step anew)"
    ]


def _accuracy(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    shares = compared(sides_of(steps, lambda counts: counts.right))
    interval = share_difference(shares, alpha, TYPICAL_DIFFERENCE, FEWEST_CALLERS)
    between = f"from {interval.low:+.3f} to {interval.high:+.3f}"
    says = f"its accuracy differs from stable's by {interval.estimate:+.3f}, {between}"
    return MetricEvidence("accuracy", says, interval.high < 0)


def _disagreement(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    assert schedule.max_disagreement is not None
    says, is_harm = beyond(together([step.other for step in steps]), schedule.max_disagreement, alpha)
    return MetricEvidence(
        "disagreement", f"stable says something else to {says} of its instances, on average over callers", is_harm
    )


def _disagreement_to_read(steps: Sequence[StepCounts]) -> MetricEvidence:
    """Returns the disagreement where the plan sets no limit to it, and it decides nothing."""
    other, compared = (sum(int(getattr(step.other, name).sum()) for step in steps) for name in ("having", "total"))
    if not compared:
        return MetricEvidence("disagreement", "stable has not answered any of its instances yet", False)
    share = f"{other} of {compared} of its instances, {other / compared:.1%}"
    return MetricEvidence("disagreement", f"stable says something else to {share} (no limit is set)", False)


def _prediction_drift(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    assert schedule.max_drift is not None
    labels = sorted({label for step in steps for counts in (step.canary, step.stable) for label in counts.said.labels})
    intervals = {}
    for label in labels:
        shares = compared(sides_of(steps, lambda counts, label=label: counts.said.tally(label)))  # type: ignore[misc]
        intervals[label] = share_difference(shares, alpha / len(labels), TYPICAL_DIFFERENCE, FEWEST_CALLERS)
    if not intervals:
        return MetricEvidence("prediction drift", "no answers to compare", False)
    # The part of an interval that is nearest to 0 is how far apart the shares surely are.
    surely = {label: max(interval.low, -interval.high, 0.0) for label, interval in intervals.items()}
    label = max(labels, key=lambda name: (surely[name], abs(intervals[name].estimate)))
    interval = intervals[label]
    says = (
        f"it says {label} more often than stable by {interval.estimate:+.3f}, from {interval.low:+.3f} to "
        f"{interval.high:+.3f}; at most {schedule.max_drift:g} either way is allowed"
    )
    return MetricEvidence("prediction drift", says, surely[label] > schedule.max_drift)
