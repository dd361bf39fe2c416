"""The gate: promote, hold or reject a candidate by the rules of its stage. Missing evidence means hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from progressive_tf.errors import listed
from progressive_tf.evaluation.answers.base import Answers, told_apart_by_both
from progressive_tf.evaluation.baselines import BEST, Baseline, Line, best_now, opponents
from progressive_tf.evaluation.bootstrap import RESAMPLES, resample_metrics
from progressive_tf.evaluation.comparison import Evidence, holm, is_sure, weigh, weigh_drop
from progressive_tf.evaluation.decision import Decision, Outcome, RuleResult
from progressive_tf.evaluation.looks import USED_UP, are_used_up, confidence_at, looks_words
from progressive_tf.plan.gate_rule import EVERY_PREVIOUS, GateRule
from progressive_tf.plan.methods import EXPLANATION_CORRELATION
from progressive_tf.plan.split import FEWEST_PER_CLASS

# Of fewer groups a bootstrap knows too little; see docs/decisions/0013-groups-are-drawn.md.
FEWEST_GROUPS = 20
ALONE = Line()


@dataclass(frozen=True)
class ReasonsKept:
    """How a candidate's explanations agree with the released version's.

    Args:
        correlation: mean rank correlation, in [−1, 1]; None where there is nothing to compare with.
        probes: that it rests on.
    """

    correlation: float | None
    probes: int


@dataclass(frozen=True)
class Compared:
    """What a gate compares.

    Args:
        candidate: answers by slice: `current`, `all`, the earlier stages' and the named ones.
        baseline: the last released version on the same slices, row by row; None: there is none.
        previous_slices: keys of the slices of earlier promoted stages, and of runs before, each set of rows once.
        reasons: how the candidate's reasons agree with the released version's; None where that was not measured.
        classes: of slices, the classes that their rows should have; macro averages over fewer hold.
        line: the released versions before the last one, as far as rules compare with them.
        looks: by slice, how many candidates with this one were judged on its rows; see `looks`. Empty: not counted.
        rivals: answers of simple classifiers on the same slices, by name.
        unasked: why rows of runs before cannot be asked, though there were some; empty where they can.
    """

    candidate: Mapping[str, Answers]
    baseline: Mapping[str, Answers] | None = None
    previous_slices: Sequence[str] = ()
    reasons: ReasonsKept | None = None
    classes: Mapping[str, Collection[str]] = field(default_factory=dict)
    line: Line = ALONE
    looks: Mapping[str, int] = field(default_factory=dict)
    rivals: Mapping[str, Mapping[str, Answers]] = field(default_factory=dict)
    unasked: str = ""


@dataclass(frozen=True)
class _Comparison:
    """A result with the evidence its outcome is still to be read from; without evidence it is settled."""

    result: RuleResult
    evidence: Evidence | None = None


def judge(rules: Sequence[GateRule], compared: Compared, seed: int, resamples: int = RESAMPLES) -> Decision:
    """Decides whether a candidate is released.

    A rule with a confidence passes when its one-sided bound meets the threshold, and rejects when the opposite bound,
    Holm-adjusted over all comparisons of the decision that are tested so, misses it; otherwise it holds. Without a
    confidence the estimate decides. Promotion needs every applicable comparison to pass, which needs no adjustment
    (intersection–union, Berger 1982); one rejection rejects. A drop without a baseline, or over earlier slices where
    there never were any or whose classes are all new, is not applicable and ignored; of some new classes, the released
    version counts as wrong; a class that it does not divide is compared as a whole; with nothing applicable the
    candidate is held. A slice that is not there, an undefined metric, fewer rows than `min_samples`, fewer groups than
    20, for a class or a macro average fewer rows of a class than 5, a version that cannot be asked, and a rule on
    rivals where there are none hold. Such a rule is one comparison for each rival: as good as each of them is as good
    as the best, whichever that is. Where looks are
    counted, a rule's confidence becomes that of its slice's look.

    Args:
        rules: at least one.
        compared: the candidate beside the released version.
        seed: the plan's seed, or one derived from it.
        resamples: of each bootstrap; 1 / (resamples + 1) is the smallest p-value.

    Returns:
        The decision with its evidence. The order of rules, slices and rows does not change it.

    Raises:
        ValueError: no rules, or a baseline that answered other rows than the candidate.
    """
    if not rules:
        raise ValueError("rules: at least one expected, got none; a gate without rules would let everything through")
    comparisons = [
        _beside(rule, name, other, compared, seed, resamples)
        if rule.metric != EXPLANATION_CORRELATION
        else _Comparison(_of_reasons(rule, compared.reasons))
        for rule in rules
        for name in _slices(rule, compared)
        for other in opponents(rule, name, compared.line, compared.rivals)
    ]
    tested = [
        index
        for index, item in enumerate(comparisons)
        if item.evidence is not None and item.result.rule.confidence is not None
    ]
    rejections = holm([evidence.p_reject for index in tested if (evidence := comparisons[index].evidence)])
    adjusted = dict(zip(tested, rejections, strict=True))
    decision = _decide(tuple(_settle(item, adjusted.get(index, 1.0)) for index, item in enumerate(comparisons)))
    by_best = [(rule, name) for rule in rules if rule.against == BEST for name in _slices(rule, compared)]
    if compared.baseline is None or not by_best:
        return decision
    return replace(decision, best=best_now(by_best, compared.baseline, compared.line, seed, resamples))


def _slices(rule: GateRule, compared: Compared) -> Iterator[str]:
    of_each = rule.slice == EVERY_PREVIOUS and compared.baseline is not None
    previous = compared.previous_slices if of_each else ()
    yield from previous
    if not previous or compared.unasked:
        yield rule.slice


def _beside(
    rule: GateRule, name: str, other: Baseline | None, compared: Compared, seed: int, resamples: int
) -> _Comparison:
    """Returns a rule's comparison with the last released version, or with another one, at its slice's look."""
    look = compared.looks.get(name)
    confidence, against = confidence_at(rule, look), None if other is None else other.name
    if other is not None and other.problem is not None:
        result = RuleResult(rule, name, threshold=rule.threshold[1], against=against, look=look, confidence=confidence)
        return _without_evidence(result, "hold", f"{other.name} {other.problem}")
    if other is not None:
        compared = replace(compared, baseline=other.answers)
    sure = rule.model_copy(update={"confidence": confidence})
    item = _compare(sure, name, compared, seed, resamples, against or "the released version")
    result = replace(item.result, rule=rule, against=against, look=look, confidence=confidence)
    if item.evidence is not None and are_used_up(rule, look, resamples):
        return _without_evidence(result, "hold", USED_UP.format(look=look))
    return _Comparison(result, item.evidence)


def _compare(rule: GateRule, name: str, compared: Compared, seed: int, resamples: int, other: str) -> _Comparison:
    result, baseline = RuleResult(rule, name, threshold=rule.threshold[1]), compared.baseline
    is_drop = rule.drop_allowed is not None
    if is_drop and baseline is None:
        return _without_evidence(result, "not-applicable", "no released version to compare with")
    if name == EVERY_PREVIOUS and compared.unasked:
        return _without_evidence(result, "hold", compared.unasked)
    if name == EVERY_PREVIOUS:
        return _without_evidence(result, "not-applicable", "no earlier slice")
    models = [("the candidate", compared.candidate)]
    if is_drop and baseline is not None:
        models.append((other, baseline))
    all_answers: list[Answers] = []
    for who, of_slices in models:
        if name not in of_slices:
            return _without_evidence(result, "hold", f"{who} has no predictions for slice {name!r}")
        all_answers.append(of_slices[name])
    _same_rows(name, all_answers)
    if is_drop:
        if len(all_answers[1]) and not all_answers[1].knowable.any():
            return _without_evidence(result, "not-applicable", f"{other} knows none of these classes")
        all_answers = list(told_apart_by_both(*all_answers))
        all_answers[1] = all_answers[1].as_answered()
    for (who, _), answers in zip(models, all_answers, strict=True):
        reason = _why_undefined(rule.metric, who, answers)
        if reason:
            return _without_evidence(replace(result, n=answers.support(rule.metric)), "hold", reason)
    evidence = _weigh(rule, all_answers, resamples, seed)
    fewest = min(all_answers, key=lambda answers: answers.support(rule.metric))
    rows = fewest.support(rule.metric)
    result = replace(
        result,
        n=rows,
        groups=fewest.group_count(rule.metric),
        estimate=evidence.estimate,
        low=evidence.low,
        high=evidence.high,
        p=evidence.p_pass,
        power=evidence.power,
        rows_needed=None
        if evidence.times_rows is None
        else max(rule.min_samples, math.ceil(rows * evidence.times_rows)),
    )
    few = _why_too_few(rule, result) or _why_rare(rule, all_answers[0], compared.classes.get(name, ()))
    return _without_evidence(result, "hold", few) if few else _Comparison(result, evidence)


def _why_too_few(rule: GateRule, result: RuleResult) -> str | None:
    """Returns why rows do not suffice, whatever they say; None where they may."""
    if result.n is not None and result.n < rule.min_samples:
        return f"rests on {result.n} rows, at least {rule.min_samples} are needed"
    least = min(rule.min_samples, FEWEST_GROUPS)
    if result.groups is not None and result.groups < least:
        return f"rests on {result.rows_in_words}, at least {least} groups are needed"
    return None


def _why_rare(rule: GateRule, answers: Answers, meant: Collection[str]) -> str | None:
    """Returns which class a metric rests on that has too few rows; None where there is none.

    Args:
        rule: the rule.
        answers: to the slice's rows.
        meant: the classes that these rows should have.
    """
    metric, _, label = rule.metric.partition("/")
    least = min(rule.min_samples, FEWEST_PER_CLASS)
    concerned = [label] if label else []
    if metric.endswith("_macro"):
        concerned = [one for one in answers.metric_labels if one in meant or answers.true_rows(one)]
    rare = {one: rows for one in concerned if (rows := answers.true_rows(one)) < least}
    if not rare:
        return None
    word, (first, rows) = answers.kind.label_word, next(iter(rare.items()))
    more = f" (and {len(rare) - 1} more)" if len(rare) > 1 else ""
    return (
        f"{word} {first} has {rows} of these rows{more}, at least {least} are needed; give more rows of it, or a "
        f"larger part of them to the gate (data.split)"
    )


def _of_reasons(rule: GateRule, reasons: ReasonsKept | None) -> RuleResult:
    """Returns the outcome of a rule on the rank correlation of explanations; the estimate decides."""
    result = RuleResult(rule, rule.slice, threshold=rule.threshold[1])
    if reasons is None:
        return replace(result, reason="the explanations were not compared")
    if reasons.correlation is None and reasons.probes == 0:
        return replace(result, outcome="not-applicable", reason="no released version to compare with")
    if reasons.correlation is None:
        return replace(result, n=0, reason="none of the probes has reasons that can be ranked")
    result = replace(result, n=reasons.probes, estimate=reasons.correlation)
    if reasons.probes < rule.min_samples:
        return replace(result, reason=f"rests on {reasons.probes} probes, at least {rule.min_samples} are needed")
    measured = f"{reasons.correlation:.3f}, at least {result.threshold:g} asked"
    if reasons.correlation >= result.threshold:
        return replace(result, outcome="pass", reason=f"{measured}: within the threshold")
    return replace(result, outcome="reject", reason=f"{measured}: beyond the threshold")


def _weigh(rule: GateRule, all_answers: Sequence[Answers], resamples: int, seed: int) -> Evidence:
    if rule.drop_allowed is None:
        resampled = resample_metrics(all_answers[0], [rule.metric], resamples, seed)[rule.metric]
        return weigh(resampled, rule.threshold[1], at_least=rule.at_least is not None, confidence=rule.confidence)
    return weigh_drop(all_answers, rule, rule.drop_allowed, seed, resamples)


def _settle(item: _Comparison, p_reject: float) -> RuleResult:
    """Reads the outcome from the evidence; `p_reject` is Holm-adjusted."""
    evidence, result = item.evidence, item.result
    if evidence is None:
        return result
    measured = _found(result, evidence)
    if evidence.meets and is_sure(evidence.p_pass, result.confidence):
        return replace(result, outcome="pass", reason=f"{measured}: within the threshold")
    if not evidence.meets and is_sure(p_reject, result.confidence):
        return replace(result, outcome="reject", reason=f"{measured}: beyond the threshold")
    case = "nothing changed" if result.rule.drop_allowed is not None else "the truth is the estimate"
    case = case if result.rule.at_least_rival is None else "it is as good as the rival"
    doubt = f"not sure enough at {result.rows_in_words} (passes {evidence.power:.0%} of the time if {case})"
    return replace(result, outcome="hold", reason=f"{measured}: {doubt}")


def _decide(results: tuple[RuleResult, ...]) -> Decision:
    applicable = [result for result in results if result.outcome != "not-applicable"]
    if not applicable:
        return Decision("hold", "no rule applies: nothing was shown", results)
    for outcome in ("reject", "hold"):
        failing = [result for result in applicable if result.outcome == outcome]
        if failing:
            first = failing[0]
            more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
            reason = f"{first.rule.metric} on {first.slice}: {first.reason}{more}"
            return Decision("reject" if outcome == "reject" else "hold", reason, results)
    return Decision(
        "promote", "every comparison passed" if len(applicable) > 1 else "the one comparison passed", results
    )


def _without_evidence(result: RuleResult, outcome: Outcome, reason: str) -> _Comparison:
    return _Comparison(replace(result, outcome=outcome, reason=reason))


def _same_rows(name: str, all_answers: Sequence[Answers]) -> None:
    first = all_answers[0]
    for other in all_answers[1:]:
        if not first.same_rows(other):
            raise ValueError(
                f"slice {name!r}: candidate and released version must answer the same rows with the same labels; got"
                f" {first.in_words} and {other.in_words}, or another order"
            )


def _why_undefined(metric: str, who: str, answers: Answers) -> str | None:
    if not answers.has_label(metric):
        known = answers.metric_labels or answers.labels
        return f"{metric}: no such {answers.kind.label_word}; known are {listed(known)}"
    if len(answers) == 0:
        return f"{who} has no rows here"
    if not answers.knowable.all():
        return f"{who} has no output for the class of {np.count_nonzero(~answers.knowable)} rows"
    return f"{metric} of {who} is undefined on these rows" if answers.measure(metric) is None else None


def _found(result: RuleResult, evidence: Evidence) -> str:
    rule = result.rule
    interval = f"{evidence.estimate:.4f} ({evidence.low:.4f} to {evidence.high:.4f})"
    words = looks_words(rule, result.look)
    look = f" ({words})" if words else ""
    if rule.at_least_rival is not None:
        return f"{result.against} has {interval} more, at most {rule.drop_allowed:g} allowed{look}"
    if rule.drop_at_most is not None:
        beside = "" if result.against is None else f" from {result.against}"
        return f"drop {interval}{beside}, at most {rule.drop_at_most:g} allowed{look}"
    side = "at least" if rule.at_least is not None else "at most"
    return f"{interval}, {side} {rule.threshold[1]:g} asked{look}"
