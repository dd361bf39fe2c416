"""How numbers, intervals, rules and decisions read, on the page and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from progressive_tf.evaluation.records import Bounds, Measure
from progressive_tf.plan.gate_rule import EVERY_PREVIOUS, GateRule
from progressive_tf.plan.metric_names import find_metric
from progressive_tf.reporting.records import RunRecord, SavedStage

NOT_RECORDED = "–"
MOST_TESTED = 20  # runs on the same test rows
SPELLED = {"bleu": "BLEU", "chrf": "chrF"}
STAYS, NO_ALIAS = "stable stays at version", "no alias points to it"
DECISIONS = {"promote": "promoted", "hold": "held", "reject": "rejected"}
RIVALS = {"ncm": "nearest class mean", "slda": "linear discriminant", "logistic-regression": "logistic regression"}
MEASURES = {
    "acc": ("ACC", "Mean over all stages' rows after the last stage. Higher is better."),
    "bwt": ("BWT", "How earlier stages' rows changed since they were trained on. Below zero: something was lost."),
    "fwt": ("FWT", "What earlier stages gave to later rows before training on them. Above zero: they helped."),
    "forgetting": ("Forgetting", "Mean fall from the best that earlier stages' rows ever had. Zero or less: none."),
}


def number(value: float | None, digits: int = 3) -> str:
    """Returns `value` with `digits` decimals, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOT_RECORDED
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def signed(value: float | None, digits: int = 3) -> str:
    """Returns `value` with its sign, or a dash where there is none."""
    text = number(value, digits)
    return f"+{text}" if value is not None and math.isfinite(value) and float(f"{value:.{digits}f}") > 0 else text


def decimals(metric: str) -> int:
    """Returns how many decimals a metric's values are shown with: two where they go up to 100, otherwise three."""
    spec = find_metric(metric)
    return 2 if spec is not None and spec.whole > 1 else 3


def highest(metric: str) -> float:
    """Returns the largest value that a metric can have, 1 for those that are not known."""
    spec = find_metric(metric)
    return 1.0 if spec is None else spec.highest


def p_value(value: float | None) -> str:
    """Returns a p value with three decimals, one that would read as zero as `< 0.001`."""
    return "< 0.001" if value is not None and 0 <= value < 0.0005 else number(value)


def count(value: int | None) -> str:
    """Returns an integer with thousands separated, or a dash."""
    return NOT_RECORDED if value is None else f"{value:,}"


def short_count(value: int | None) -> str:
    """Returns an integer in at most five characters, as 950, 12.3k or 22.7M, or a dash."""
    if value is None:
        return NOT_RECORDED
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if value >= size:
            unit = 1_000 if letter == "k" else size
            return f"{value / unit:.3g}{letter}"
    return f"{value:,}"


def interval(measure: Measure | None, digits: int = 3) -> str:
    """Returns `[low–high]`, or nothing where there is no interval."""
    if measure is None or measure.low is None or measure.high is None:
        return ""
    between = " to " if min(measure.low, measure.high) < 0 else "–"
    return f"[{number(measure.low, digits)}{between}{number(measure.high, digits)}]"


def total_seconds(stage: SavedStage) -> float | None:
    """Returns the seconds the stage took, as recorded: its total, or the sum of its parts."""
    seconds = stage.metrics.seconds if stage.metrics else {}
    return seconds.get("total", sum(seconds.values()) if seconds else None)


def duration(seconds: float | None) -> str:
    """Returns seconds as `41.2 s`, `3 min 05 s` or `2 h 10 min`, or a dash."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_RECORDED
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def position_words(bounds: Bounds) -> str:
    """Returns where a plan lies between its bounds: `82 % of the way from naive to joint`."""
    if bounds.position is None:
        return "joint is not above naive, so there is nothing to gain by remembering"
    return f"{bounds.position:.0%} of the way from naive to joint".replace("%", " %")


def metric_words(name: str) -> str:
    """Returns a metric's name as one would say it: `log loss`, `f1 of negative`."""
    kind, separator, label = name.partition("/")
    words = SPELLED.get(kind) or kind.replace("_", " ").replace(" f1", " F1").replace("without o", "without O")
    return f"{words} of {label}" if separator else words


def rule_words(rule: GateRule, slice_name: str, against: str | None = None) -> str:
    """Returns a gate rule as one would say it, e.g. `accuracy on current ≥ 0.55`; a drop is a change for the worse.

    Args:
        rule: any.
        slice_name: the slice of one of its comparisons.
        against: what that comparison is with, in words, where that is not the last released version.
    """
    of_rows = rule.slice
    if rule.slice == EVERY_PREVIOUS:
        of_rows = "every earlier stage" if slice_name == EVERY_PREVIOUS else f"earlier stage {slice_name}"
    key, threshold = rule.threshold
    sign = {
        "at_least": "≥",
        "at_most": "≤",
        "drop_at_most": "drops ≤",
        "at_least_rival": f"behind {against or 'rivals'} ≤",
    }[key]
    beside = f" from {against}" if key == "drop_at_most" and against is not None else ""
    return f"{metric_words(rule.metric)} on {of_rows} {sign} {threshold:g}{beside}"


def decided(stage: SavedStage) -> str:
    """Returns promote, hold or reject, or the state of a stage that is not decided."""
    if stage.decision is not None:
        return stage.decision.decision
    return "unfinished" if stage.begun else "not begun"


def decided_words(stage: SavedStage) -> str:
    """Returns what `decided` does, and `forced` after it where a person overruled the gate: `hold, forced`."""
    return f"{decided(stage)}, forced" if stage.forced else decided(stage)


def forced_words(stage: SavedStage) -> str:
    """Returns which version was made by force, and why; nothing where none was."""
    if stage.forced is None:
        return ""
    reason = f": {stage.forced.reason.strip().rstrip('.')}" if stage.forced.reason else ""
    return f"released by force as version {stage.forced.version}{reason}"


def stays_words(stable: int | None, why: str) -> str:
    """Returns what became of a new version that `stable` did not move to."""
    return f"{STAYS} {stable}: {why}"


def no_alias_words(why: str) -> str:
    """Returns what became of a new version that no alias points to."""
    return f"{NO_ALIAS}: {why}"


def is_beside_aliases(text: str | None) -> bool:
    """Whether what a decision says of a version is that no alias came to point to it."""
    return text is not None and text.startswith((STAYS, NO_ALIAS))


def much_tested(run: RunRecord) -> str:
    """Returns a warning where many runs were measured on the test rows of a stage; nothing where few were."""
    counts = {stage.name: stage.decision.test_runs or 0 for stage in run.stages if stage.decision is not None}
    name = max(counts, key=lambda stage: counts[stage], default="")
    if counts.get(name, 0) <= MOST_TESTED:
        return ""
    return (
        f"{counts[name]} runs, with this one, were measured on the test rows of {name}. The best of so many is in part "
        "the luckiest, and its test figures lie too high: measure the one that you choose on rows that no run has seen."
    )


def moment(stamp: str) -> str:
    """Returns an ISO 8601 time in UTC as `2026-05-04 09:10:07 UTC`."""
    day, separator, clock = stamp.partition("T")
    return f"{day} {clock[:8]} UTC" if separator else stamp


def summary(run: RunRecord) -> str:
    """Returns what came of the run in one sentence."""
    decisions = [(stage, stage.decision) for stage in run.stages if stage.decision is not None]
    promoted = [stage for stage, decision in decisions if decision.promoted]
    parts = []
    if promoted:
        every = len(promoted) == len(run.stages)
        who = f"All {len(promoted)} stages were" if every and len(promoted) > 1 else f"{_listed(promoted)}"
        versions = [stage.version for stage in promoted]
        versions += [candidate.decision.version for stage in run.stages for candidate in stage.candidates]
        last = max((version for version in versions if version is not None), default=None)
        version = f" (latest: version {last})" if last is not None else ""
        parts.append(f"{who} promoted{version}")
    for stage, decision in decisions:
        if not decision.promoted:
            reason = f": {decision.reason.rstrip('.')}" if decision.reason else ""
            forced = f", but {forced_words(stage)}" if stage.forced else ""
            released = stage.released_candidate
            after = f", after {stage.name}.{released.rows} had been promoted" if released is not None else ""
            outcome = DECISIONS.get(decision.decision, decision.decision)
            parts.append(f"{stage.name} was {outcome}{reason}{forced}{after}")
    waiting = [stage for stage in run.stages if stage.decision is None]
    if waiting:
        begun = [stage.name for stage in waiting if stage.begun]
        state = f"{begun[0]} is not finished" if begun else f"{waiting[0].name} has not begun"
        parts.append(f"{len(decisions)} of {len(run.stages)} stages decided, {state}")
    return "; ".join(parts) + "." if parts else "No stage is recorded."


def _listed(stages: Sequence[SavedStage]) -> str:
    names = [stage.name for stage in stages]
    if len(names) == 1:
        return f"{names[0]} was"
    return f"{', '.join(names[:-1])} and {names[-1]} were"
