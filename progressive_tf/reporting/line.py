"""How candidates, released versions and the best so far stand to one another over the stages of a run."""

from __future__ import annotations

from markupsafe import Markup

from progressive_tf.evaluation.decision import RuleResult
from progressive_tf.plan.metric_names import find_metric
from progressive_tf.reporting.figures.line import line_figure
from progressive_tf.reporting.records import RunRecord, SavedStage
from progressive_tf.reporting.wording import metric_words

CANDIDATE, RELEASED, BEST = "candidate", "released", "best"


def line_view(run: RunRecord) -> Markup | None:
    """Returns the figure, on the rows of each stage's first rule about a drop; None where fewer than two have one."""
    dropping = [(stage, found) for stage in run.stages if (found := _drops(stage))]
    if len(dropping) < 2:
        return None
    metric = dropping[0][1][0].rule.metric
    points = [(stage, _values(stage, found)) for stage, found in dropping if found[0].rule.metric == metric]
    points = [(stage, values) for stage, values in points if values]
    if len(points) < 2:
        return None
    lines = {key: [values.get(key) for _, values in points] for key in (BEST, RELEASED, CANDIDATE)}
    decisions = [stage.decision.decision for stage, _ in points if stage.decision is not None]
    return line_figure("line", metric_words(metric), [stage.name for stage, _ in points], lines, decisions)


def _drops(stage: SavedStage) -> list[RuleResult]:
    """Returns the comparisons of a stage's first rule about a drop, on one slice."""
    rules = stage.decision.rules if stage.decision else ()
    found = [rule for rule in rules if rule.rule.drop_at_most is not None and rule.estimate is not None]
    return [rule for rule in found if (rule.rule, rule.slice) == (found[0].rule, found[0].slice)]


def _values(stage: SavedStage, found: list[RuleResult]) -> dict[str, float]:
    """Returns each model's metric on the slice; empty where the candidate's own is not recorded, as on `all`."""
    rule, gate = found[0].rule, stage.metrics.gate if stage.metrics else {}
    measure = gate.get(stage.slice if found[0].slice == "current" else found[0].slice, {}).get(rule.metric)
    known = find_metric(rule.metric)
    if measure is None or measure.value is None or known is None:
        return {}
    sign = 1 if known.maximize else -1
    others = {result.against: measure.value + sign * (result.estimate or 0.0) for result in found}
    values = {CANDIDATE: measure.value, BEST: sign * max(sign * other for other in others.values())}
    return values | ({RELEASED: others[None]} if None in others else {})
