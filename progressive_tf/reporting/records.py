"""A run folder's saved records as values; whatever a run has not written yet is None or empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from progressive_tf.errors import InputError
from progressive_tf.plan.tasks import TASKS, Task
from progressive_tf.reporting.answers import read_answers
from progressive_tf.reporting.answers.base import SavedAnswers
from progressive_tf.reporting.reading import read_events, read_history, read_record, read_text, refuse_no_run

STAGE_FOLDER = re.compile(r"(\d+)-(.+)")


@dataclass(frozen=True)
class Measure:
    """A metric's value with its interval and the number of rows behind it; None where it does not exist."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Weights:
    """Numbers of weights: those that moved and all of them."""

    trainable: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class StageMetrics:
    """`metrics.json`: metrics by slice (gate), by stage (test) and on the stage's validation rows."""

    gate: dict[str, dict[str, Measure]] = field(default_factory=dict)
    test: dict[str, dict[str, Measure]] = field(default_factory=dict)
    validation: dict[str, Measure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stability: dict[str, dict[str, float]] = field(default_factory=dict)
    recency: dict[str, float] = field(default_factory=dict)
    retention: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: Weights = Weights()
    epochs: int | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class RuleOutcome:
    """One gate rule with its evidence: estimate, interval, threshold, rows, p value, power and outcome."""

    rule: dict[str, Any]
    outcome: str
    slice: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n: int | None = None
    p: float | None = None
    power: float | None = None
    rows_needed: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Decision:
    """`decision.json`: promote, hold or reject, with the version it made and the rules it rests on."""

    decision: str
    version: int | None = None
    baseline: str | None = None
    started_from: str | None = None
    stable: str | None = None
    reason: str | None = None
    rules: tuple[RuleOutcome, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether the gate released the stage."""
        return self.decision == "promote"


@dataclass(frozen=True)
class Forced:
    """`forced.json`: the version that a person made of the stage although the gate had not released it."""

    version: int
    reason: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class StageData:
    """`data.json`: how many rows of which source a stage used, and the labels of each part.

    `gate_part` and `pool` count the source's rows for gates and those that stages take from.
    """

    source: str | None = None
    source_sha256: str | None = None
    rows_sha256: str | None = None
    slice: str | None = None
    train: int | None = None
    validation: int | None = None
    gate_part: int | None = None
    pool: int | None = None
    labels: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One kind of quality finding with the rows it was found in."""

    kind: str
    action: str
    count: int
    rows: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()
    message: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quality:
    """`quality.json`."""

    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class FurtherMatrix:
    """Cells and measures of a further metric in `matrix.json`."""

    gate: tuple[tuple[float | None, ...], ...] = ()
    test: tuple[tuple[float | None, ...], ...] = ()
    acc: float | None = None
    bwt: float | None = None
    fwt: float | None = None
    forgetting: float | None = None
    test_measures: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Matrix:
    """`matrix.json`: row i is measured after stage i (row 0: untrained), column j on stage j's rows."""

    stages: tuple[str, ...]
    metric: str = "accuracy"
    gate: tuple[tuple[float | None, ...], ...] = ()
    test: tuple[tuple[float | None, ...], ...] = ()
    acc: float | None = None
    bwt: float | None = None
    fwt: float | None = None
    forgetting: float | None = None
    test_measures: dict[str, float | None] = field(default_factory=dict)
    further: dict[str, FurtherMatrix] = field(default_factory=dict)

    @property
    def of_metrics(self) -> dict[str, Matrix]:
        """The matrix of each metric, its own first."""
        others = {name: replace(self, metric=name, further={}, **vars(each)) for name, each in self.further.items()}
        return {self.metric: replace(self, further={}), **others}


@dataclass(frozen=True)
class Bound:
    """ACC and forgetting of one of the runs in `bounds.json`, on gate and on test rows."""

    acc: float | None = None
    forgetting: float | None = None
    test_acc: float | None = None
    test_forgetting: float | None = None


@dataclass(frozen=True)
class Bounds:
    """`bounds.json`: the plan between its lower and its upper bound; `position` is 0 at naive and 1 at joint."""

    stages: tuple[str, ...] = ()
    naive: Bound = Bound()
    plan: Bound = Bound()
    joint: Bound = Bound()
    position: float | None = None


@dataclass(frozen=True)
class Environment:
    """`environment.json`."""

    python: str | None = None
    platform: str | None = None
    packages: dict[str, str | None] = field(default_factory=dict)
    code: str | None = None
    devices: tuple[str, ...] = ()
    hardware: str | None = None
    command: tuple[str, ...] = ()
    registry: str | None = None


@dataclass(frozen=True)
class Candidate:
    """What a stage had learnt of a stream by so many rows, and what the gate said of it."""

    rows: int
    decision: Decision


@dataclass(frozen=True)
class StageRecord:
    """Everything on disk about one stage; `begun` is False for a stage that is only planned."""

    number: int
    name: str
    begun: bool = False
    data: StageData | None = None
    quality: Quality | None = None
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    metrics: StageMetrics | None = None
    answers: SavedAnswers | None = None
    decision: Decision | None = None
    forced: Forced | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def released_candidate(self) -> Candidate | None:
        """The newest candidate of its stream that the gate released, before its end."""
        released = [candidate for candidate in self.candidates if candidate.decision.promoted]
        return released[-1] if released else None

    @property
    def version(self) -> int | None:
        """The version that came of the stage, by the gate's decision or by force."""
        by_gate = self.decision.version if self.decision else None
        return by_gate if by_gate is not None or self.forced is None else self.forced.version

    @property
    def slice(self) -> str:
        """Name of the stage's slice: of its own, or of an earlier stage with the same rows."""
        return (self.data.slice if self.data else None) or self.name

    @property
    def test(self) -> Mapping[str, Measure]:
        """Metrics on this stage's own test rows; empty where they are not recorded."""
        return self.metrics.test.get(self.name, {}) if self.metrics else {}


@dataclass(frozen=True)
class RunRecord:
    """Everything on disk about one run, stages in the plan's order."""

    path: Path
    plan: Mapping[str, Any]
    plan_text: str
    stages: tuple[StageRecord, ...]
    environment: Environment | None = None
    matrix: Matrix | None = None
    bounds: Bounds | None = None
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> Task:
        """The kind of its task; that of texts with classes where its plan does not say."""
        return TASKS.get(str(self.plan.get("task")), TASKS["text-classification"])

    @property
    def metric(self) -> str:
        """The metric that stages are told apart by at a glance: that of the R matrix."""
        return self.kind.answers.matrix_metric

    @property
    def writes(self) -> bool:
        """Whether its stages write texts, which have no classes."""
        return self.kind.writes


def read_run(run: Path) -> RunRecord:
    """Reads a run folder, finished or not.

    Raises:
        InputError: `run` is not a run folder, or a record in it cannot be read; the message names the file.
    """
    refuse_no_run(run)
    plan_path = run / "plan.yaml"
    plan_text = read_text(plan_path)
    try:
        plan = YAML(typ="safe", pure=True).load(plan_text)
    except YAMLError as error:
        raise InputError(f"{plan_path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(plan, dict):
        raise InputError(f"{plan_path}: expected a mapping with the plan's keys, got {type(plan).__name__}")
    matrix, bounds = read_record(run / "matrix.json", Matrix), read_record(run / "bounds.json", Bounds)
    return RunRecord(
        path=run,
        plan=plan,
        plan_text=plan_text,
        stages=_read_stages(run, plan),
        environment=read_record(run / "environment.json", Environment),
        matrix=matrix,
        # Those of fewer stages than there are now say nothing about these.
        bounds=bounds if bounds and matrix and tuple(bounds.stages) == tuple(matrix.stages) else None,
        events=read_events(run / "events.jsonl"),
    )


def _read_stages(run: Path, plan: Mapping[str, Any]) -> tuple[StageRecord, ...]:
    planned = plan.get("stages")
    names = [str(stage.get("name", "")) for stage in planned or () if isinstance(stage, dict)]
    stages = {(number, name): StageRecord(number, name) for number, name in enumerate(names, start=1)}
    for folder in (run / "stages").glob("*"):
        match = STAGE_FOLDER.fullmatch(folder.name)
        if match and folder.is_dir():
            number, name = int(match[1]), match[2]
            stages[number, name] = _read_stage(folder, number, name)
    return tuple(stages[key] for key in sorted(stages))


def _read_stage(folder: Path, number: int, name: str) -> StageRecord:
    return StageRecord(
        number=number,
        name=name,
        begun=True,
        data=read_record(folder / "data.json", StageData),
        quality=read_record(folder / "quality.json", Quality),
        history=read_history(folder / "history.csv"),
        metrics=read_record(folder / "metrics.json", StageMetrics),
        answers=read_answers(folder / "predictions.parquet"),
        decision=read_record(folder / "decision.json", Decision),
        forced=read_record(folder / "forced.json", Forced),
        candidates=_read_candidates(folder / "candidates"),
    )


def _read_candidates(folder: Path) -> tuple[Candidate, ...]:
    found = [path for path in sorted(folder.glob("*/decision.json")) if path.parent.name.isdecimal()]
    read = [(int(path.parent.name), read_record(path, Decision)) for path in found]
    return tuple(Candidate(rows, decision) for rows, decision in read if decision is not None)
