"""What the evidence says of a canary: widen it, wait, leave it to a person, or take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from progressive_tf.evaluation.sequential import Events, Shares, evidence_of_more_events, rate, share_difference
from progressive_tf.plan.release_schedule import HARM_ONLY, ReleaseSchedule
from progressive_tf.registry.history import SERVER
from progressive_tf.registry.traffic import WHOLE
from progressive_tf.serving.proof import Proof
from progressive_tf.serving.step_counts import StepCounts, VersionCounts

OUTCOMES = WIDEN, WAIT, HOLD, ROLLBACK = "widen", "wait", "hold", "rollback"
# Who acts on an outcome.
PERSON = "a person"
# The difference that is found soonest, and how many answers of each version a difference needs at least.
TYPICAL_DIFFERENCE, FEWEST = 0.05, 30


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
        f"{present.answers} answers, {present.judged} of them judged, and no sign that it is worse than stable; its "
        "plan has no release.steps, so that the server decides nothing"
    )
    return replace(decision, outcome=HOLD, reason=reason)


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
    findings = _findings(steps, schedule)
    findings += () if proof is None else (MetricEvidence("proof", proof.says, False),)
    decides = SERVER if schedule.automatic else PERSON
    harm = next((finding.says for finding in findings if finding.is_harm), None)
    if harm is not None:
        return CanaryDecision(ROLLBACK, harm, findings, decides)
    present = _present(steps)
    missing = [
        f"{count} of {needed} {what}"
        for count, needed, what in (
            (present.answers, schedule.min_samples, "answers"),
            (present.judged, schedule.min_judged, "judged answers"),
        )
        if count < needed
    ]
    is_proved = proof is not None and proof.is_shown
    if schedule.needs_proof and not is_proved:
        missing.append("no proof yet: nothing is known of it" if proof is None else proof.lacks)
    if not missing:
        reason = f"{present.answers} answers, and no sign that it is worse than stable"
        if schedule.needs_proof and proof is not None:
            reason = f"{present.answers} answers, and {proof.says}"
        return CanaryDecision(WIDEN, reason, findings, decides)
    reason = " and ".join(missing)
    if schedule.max_minutes is not None and minutes > schedule.max_minutes:
        reason += f" after {minutes:.0f} of {schedule.max_minutes:g} minutes; a person decides"
        return CanaryDecision(HOLD, reason, findings, decides)
    return CanaryDecision(WAIT, reason, findings, decides)


def decide_shadow(proof: Proof, minutes: float, schedule: ReleaseSchedule) -> CanaryDecision:
    """Returns what to do with a shadow whose plan has `shadow_first`: give it callers, wait, or leave it to a person.

    Args:
        proof: what is shown of it.
        minutes: since it answers in the background; >= 0.
        schedule: of its plan.
    """
    findings = (MetricEvidence("proof", proof.says, False),)
    decides = SERVER if schedule.automatic else PERSON
    if proof.is_shown:
        return CanaryDecision(WIDEN, proof.says, findings, decides)
    if schedule.max_minutes is not None and minutes > schedule.max_minutes:
        reason = f"{proof.lacks} after {minutes:.0f} of {schedule.max_minutes:g} minutes; a person decides"
        return CanaryDecision(HOLD, reason, findings, decides)
    return CanaryDecision(WAIT, proof.lacks, findings, decides)


def _present(steps: Sequence[StepCounts]) -> VersionCounts:
    return steps[-1].canary if steps else VersionCounts()


def _findings(steps: Sequence[StepCounts], schedule: ReleaseSchedule) -> tuple[MetricEvidence, ...]:
    metrics = [_error_rate, _failures, _latency, _accuracy]
    metrics += [_disagreement] if schedule.max_disagreement is not None else []
    metrics += [_prediction_drift] if schedule.max_drift is not None else []
    findings = [metric(steps, schedule, schedule.alpha / len(metrics)) for metric in metrics]
    if schedule.max_disagreement is None and compares_with_stable(schedule):
        findings.append(_disagreement_to_read(steps))
    return tuple(findings)


def _error_rate(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    # Of the present step alone, so that a long good past does not hide what begins to fail now.
    present = _present(steps)
    says, is_harm = _beyond(present.failures, present.requests, schedule.max_error_rate, alpha / len(schedule.steps))
    return MetricEvidence("error rate", f"it fails on {says} of its requests", is_harm)


def _failures(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    evidence = _evidence([(step.canary.failed_callers, step.stable.failed_callers, step) for step in steps])
    return MetricEvidence("failures", *_more_often("fails for", evidence, alpha))


def _latency(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    evidence = _evidence([(step.canary.slow_callers, step.stable.slow_callers, step) for step in steps])
    return MetricEvidence("latency", *_more_often("is slow for", evidence, alpha))


def _accuracy(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    shares = [
        Shares(
            step.canary.right,
            step.canary.judged,
            step.stable.right,
            step.stable.judged,
            step.canary.right_variance + step.stable.right_variance,
        )
        for step in steps
    ]
    interval = share_difference(shares, alpha, TYPICAL_DIFFERENCE, FEWEST)
    between = f"from {interval.low:+.3f} to {interval.high:+.3f}"
    says = f"its accuracy differs from stable's by {interval.estimate:+.3f}, {between}"
    return MetricEvidence("accuracy", says, interval.high < 0)


def _disagreement(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    assert schedule.max_disagreement is not None
    compared, other = _compared(steps)
    says, is_harm = _beyond(other, compared, schedule.max_disagreement, alpha)
    return MetricEvidence("disagreement", f"stable says something else to {says} of its instances", is_harm)


def _disagreement_to_read(steps: Sequence[StepCounts]) -> MetricEvidence:
    """Returns the disagreement where the plan sets no limit to it, and it decides nothing."""
    compared, other = _compared(steps)
    if not compared:
        return MetricEvidence("disagreement", "stable has not answered any of its instances yet", False)
    share = f"{other} of {compared} of its instances, {other / compared:.1%}"
    return MetricEvidence("disagreement", f"stable says something else to {share} (no limit is set)", False)


def _compared(steps: Sequence[StepCounts]) -> tuple[int, int]:
    return sum(step.compared for step in steps), sum(step.other for step in steps)


def _prediction_drift(steps: Sequence[StepCounts], schedule: ReleaseSchedule, alpha: float) -> MetricEvidence:
    assert schedule.max_drift is not None
    labels = sorted({label for step in steps for counts in (step.canary, step.stable) for label in counts.labels})
    intervals = {}
    for label in labels:
        shares = [
            Shares(
                step.canary.labels.get(label, 0),
                step.canary.answers,
                step.stable.labels.get(label, 0),
                step.stable.answers,
            )
            for step in steps
        ]
        intervals[label] = share_difference(shares, alpha / len(labels), TYPICAL_DIFFERENCE, FEWEST)
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


def _beyond(events: int, total: int, limit: float, alpha: float) -> tuple[str, bool]:
    """Returns a rate in words beside its limit, and whether it is surely higher."""
    if events <= limit * total:
        return f"{events / total if total else 0:.1%} (at most {limit:.1%} is allowed)", False
    share = rate(events, total, alpha)
    return f"{share.estimate:.1%}, surely {share.low:.1%} (at most {limit:.1%} is allowed)", share.low > limit


def _evidence(counts: Sequence[tuple[int, int, StepCounts]]) -> float:
    """Returns the evidence of callers of canary and stable, over the steps in which both have some."""
    return evidence_of_more_events(
        Events(canary, canary + stable, step.canary.callers / (step.canary.callers + step.stable.callers))
        for canary, stable, step in counts
        if step.canary.callers and step.stable.callers
    )


def _more_often(does: str, evidence: float, alpha: float) -> tuple[str, bool]:
    enough = 1 / alpha
    says = f"it {does} more callers than stable, by a likelihood ratio of {evidence:.2g} ({enough:.0f} is enough)"
    return says, evidence >= enough
