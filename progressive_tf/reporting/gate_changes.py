"""What would let a gate decide otherwise: more gate rows, or rules that the rows can show."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from progressive_tf.evaluation.bootstrap import RESAMPLES
from progressive_tf.evaluation.decision import RuleResult
from progressive_tf.evaluation.gate import FEWEST_GROUPS
from progressive_tf.evaluation.looks import are_used_up
from progressive_tf.evaluation.records import Measure
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.methods import EXPLANATION_CORRELATION
from progressive_tf.plan.metric_names import find_metric
from progressive_tf.reporting.records import RunRecord, SavedStage

FAILED = ("hold", "reject")
NOT_TEXT = ("true", "false", "null")  # what YAML 1.2 reads as something else than words


@dataclass(frozen=True)
class MoreRows:
    """How many gate rows a decision needs, and where the plan says it.

    Attributes:
        key: of the plan, as `--set` takes it.
        value: for it, a count or a share as it is in the plan; None where the source has no more rows to give.
        now: gate rows of the source.
        needed: that it would need.
        source: its name.
        divided: its rows for gates and for training together.
        column: of the source, that says which rows are for the gate; None where the key does.
    """

    key: str
    value: int | float | None
    now: int
    needed: int
    source: str
    divided: int
    column: str | None = None


def failed_rules(stage: SavedStage) -> list[RuleResult]:
    """Returns the comparisons that stood in the way of a stage."""
    return [rule for rule in stage.decision.rules if rule.outcome in FAILED] if stage.decision else []


def times_rows(rule: RuleResult) -> float | None:
    """Returns how many times as many rows a comparison needs to pass four times in five, if the truth is the estimate.

    Where rows are in groups, of as many more groups. None where no number of rows would do, or it is not known how
    many: of a class that has too few, say.
    """
    least = rule.rule.min_samples
    if not rule.n or rule.outcome != "hold" or rule.rule.metric == EXPLANATION_CORRELATION:
        return None
    if rule.rows_needed is None and rule.n >= least:
        return None
    times = max(rule.rows_needed or 0, least) / rule.n
    if rule.groups:
        times = max(times, min(least, FEWEST_GROUPS) / rule.groups)
    return times if times > 1 else None


def more_rows(run: RunRecord, stage: SavedStage) -> list[MoreRows] | None:
    """Returns the parts of the data that would have to grow; None where growing them is not known to be enough."""
    asked: dict[str, tuple[float, SavedStage, Mapping[str, Any]]] = {}
    for rule in failed_rules(stage):
        times = times_rows(rule)
        of_slice = list(_stages_of(run, stage, rule.slice))
        if times is None or not of_slice:
            return None
        for owner in of_slice:
            planned = _planned(run, owner)
            own = _mapping(planned.get("data")).get("split")
            key = f"stages.{stage_key(owner)}.data.split" if own else "data.split"
            split = _mapping(own or _mapping(run.plan.get("data")).get("split"))
            if times > asked.get(key, (0.0,))[0]:
                asked[key] = times, owner, split
    return [
        _grown(run, f"{key}.gate", times, owner, split) for key, (times, owner, split) in asked.items() if owner.data
    ]


def other_gate(run: RunRecord, stage: SavedStage) -> list[dict[str, Any]] | None:
    """Returns the rules of a stage changed to what its rows show, so that it would pass; None where they show nothing.

    A rule that has no value here is left out; where none is left that applies, the stage's own metric is asked for.
    """
    if stage.decision is None:
        return None
    try:
        rules = [GateRule.model_validate(GateRule.known_keys(rule)) for rule in _planned(run, stage).get("gate") or []]
    except ValidationError:  # of another release, whose rules say something else
        return None
    kept, applies = [], False
    for rule in rules:
        outcomes = [result for result in stage.decision.rules if result.rule == rule]
        changed = _shown(rule, [result for result in outcomes if result.outcome in FAILED])
        if changed is not None:
            kept.append(changed)
            applies |= any(result.outcome != "not-applicable" for result in outcomes)
    if not applies:
        shown = _threshold_on(run.metric, _gate_measure(run, stage))
        if shown is None:
            return None
        kept.append(shown)
    return [rule.model_dump(mode="json", exclude_defaults=True) for rule in kept]


def flow(value: Any) -> str:
    """Returns rules as YAML on one line, as `--set` takes them."""
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return value if _is_plain(value) else "'" + value.replace("'", "''") + "'"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _is_plain(value: str) -> bool:
    """Returns whether YAML reads a value without quotes as itself."""
    return re.fullmatch(r"[A-Za-z][\w/-]*", value, re.ASCII) is not None and value.lower() not in NOT_TEXT


def stage_key(stage: SavedStage) -> str:
    """Returns a stage's name as `--set` takes it, its number where the name has a dot."""
    return str(stage.number) if "." in stage.name else stage.name


def _stages_of(run: RunRecord, stage: SavedStage, name: str) -> Iterator[SavedStage]:
    """Yields the stages whose sources have a slice's rows; none for a source that is not divided."""
    data = _mapping(run.plan.get("data"))
    if name == "all":
        yield from (other for other in run.stages if other.number <= stage.number)
    elif name == "current" or name in _mapping(data.get("slices")):
        yield stage
    else:
        yield from (other for other in run.stages if other.name == name)


def _grown(run: RunRecord, key: str, times: float, owner: SavedStage, split: Mapping[str, Any]) -> MoreRows:
    data = owner.data
    asked = split.get("gate", 0.2)
    now = (data.gate_part if data else None) or 0
    divided = now + ((data.pool if data else None) or 0)
    source = (data.source if data else None) or ""
    needed = _rounded_up(now * times)
    room = divided - _taken(run, source)
    if split.get("column") is not None:
        return MoreRows(key, None, now, needed, source, divided, split["column"])
    fits = not now or needed <= room
    if isinstance(asked, float):
        value: int | float = math.ceil(asked * times * 100 - 1e-9) / 100
        fits = fits and value < 1
    else:
        value = _rounded_up(asked * times)
    return MoreRows(key, value if fits else None, now, needed, source, divided)


def _taken(run: RunRecord, source: str) -> int:
    """Returns how many rows of a source stages must be able to take."""
    most, new = 1, 0
    for stage in run.stages:
        data = _mapping(_planned(run, stage).get("data"))
        if (data.get("source") or _mapping(run.plan.get("data")).get("source")) == source:
            most, new = max(most, data.get("take") or 0), new + (data.get("take_new") or 0)
    return most + new


def _shown(rule: GateRule, failed: Sequence[RuleResult]) -> GateRule | None:
    """Returns a rule that the rows pass, or None where it has no value on them."""
    key, threshold = rule.threshold
    fewest = rule.min_samples
    for result in failed:
        if result.estimate is None or are_used_up(rule, result.look, RESAMPLES):
            return None
        bound = result.low if key == "at_least" else result.high
        shown = result.estimate if rule.confidence is None or bound is None else bound
        value = _rounded(rule.metric, key, shown)
        threshold = min(threshold, value) if key == "at_least" else max(threshold, value)
        if result.n is not None and result.n < fewest:
            fewest = max(1, result.n)
        if result.groups is not None and result.groups < min(fewest, FEWEST_GROUPS):
            fewest = max(1, result.groups)
    return rule.model_copy(update={key: threshold, "min_samples": fewest})


def _threshold_on(metric: str, measure: Measure | None) -> GateRule | None:
    known = find_metric(metric)
    bound = None if measure is None or known is None else measure.low if known.maximize else measure.high
    if bound is None or known is None:
        return None
    key = "at_least" if known.maximize else "at_most"
    return GateRule.model_validate({"metric": metric, key: _rounded(metric, key, bound), "confidence": 0.95})


def _rounded(metric: str, key: str, value: float) -> float:
    """Returns a threshold with two figures behind the point, on the side on which it is met."""
    known = find_metric(metric)
    lowest, highest, whole = (0.0, 1.0, 1.0) if known is None else (known.lowest, known.highest, known.whole)
    scale = 10 if whole > 1 else 100
    rounded = math.floor(value * scale + 1e-9) if key == "at_least" else math.ceil(value * scale - 1e-9)
    return float(min(max(rounded / scale, lowest), highest))


def _gate_measure(run: RunRecord, stage: SavedStage) -> Measure | None:
    gate = stage.metrics.gate if stage.metrics else {}
    return gate.get(stage.slice, gate.get("current", {})).get(run.metric)


def _rounded_up(value: float) -> int:
    """Returns a count with two figures that are not zero, not below `value`."""
    whole = max(1, math.ceil(value - 1e-9))
    step = 10 ** max(0, len(str(whole)) - 2)
    return math.ceil(whole / step) * step


def _planned(run: RunRecord, stage: SavedStage) -> Mapping[str, Any]:
    stages = run.plan.get("stages") or []
    return _mapping(stages[stage.number - 1]) if stage.number <= len(stages) else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
