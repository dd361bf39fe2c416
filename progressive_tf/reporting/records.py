"""A run folder with all of its saved records; whatever a run has not written yet is None or empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from progressive_tf.errors import InputError
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.records import (
    Bounds,
    Environment,
    Forced,
    Matrix,
    Measure,
    Quality,
    StageData,
    StageMetrics,
    read_record,
    read_text,
)
from progressive_tf.plan.tasks import TASKS, Task
from progressive_tf.reporting.answers import read_answers, shown_as
from progressive_tf.reporting.answers.base import SavedAnswers
from progressive_tf.reporting.reading import read_events, read_history, refuse_no_run

PAGE = "report.html"
STAGE_FOLDER = re.compile(r"(\d+)-(.+)")


@dataclass(frozen=True)
class JudgedCandidate:
    """What a stage had learnt of a stream by so many rows, and what the gate said of it."""

    rows: int
    decision: Decision


@dataclass(frozen=True)
class SavedStage:
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
    candidates: tuple[JudgedCandidate, ...] = ()

    @property
    def folder(self) -> str:
        """What its folder is called, below `stages` and `sweeps` of the run."""
        return f"{self.number:02d}-{self.name}"

    @property
    def validation(self) -> Mapping[str, Measure]:
        """Metrics on its validation rows; empty where they are not recorded."""
        return self.metrics.validation if self.metrics else {}

    @property
    def promoted(self) -> bool:
        """Whether it was released, by its gate or by a person."""
        return self.forced is not None or (self.decision is not None and self.decision.promoted)

    @property
    def released_candidate(self) -> JudgedCandidate | None:
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
    """Everything on disk about one run, stages in the plan's order.

    `kind` is its task, that of texts with classes where its plan does not say.
    """

    path: Path
    plan: Mapping[str, Any]
    plan_text: str
    stages: tuple[SavedStage, ...]
    kind: Task = TASKS["text-classification"]
    environment: Environment | None = None
    matrix: Matrix | None = None
    bounds: Bounds | None = None
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def answers(self) -> type[SavedAnswers]:
        """How the answers of its stages are read and shown."""
        return shown_as(self.kind)

    @property
    def metric(self) -> str:
        """The metric that stages are told apart by at a glance: that of the R matrix."""
        return self.kind.answers.matrix_metric


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
    kind = TASKS.get(str(plan.get("task")), RunRecord.kind)
    return RunRecord(
        path=run,
        plan=plan,
        plan_text=plan_text,
        kind=kind,
        stages=_read_stages(run, plan, shown_as(kind)),
        environment=read_record(run / "environment.json", Environment),
        matrix=matrix,
        # Those of fewer stages than there are now say nothing about these.
        bounds=bounds if bounds and matrix and tuple(bounds.stages) == tuple(matrix.stages) else None,
        events=read_events(run / "events.jsonl"),
    )


def _read_stages(run: Path, plan: Mapping[str, Any], answers: type[SavedAnswers]) -> tuple[SavedStage, ...]:
    planned = plan.get("stages")
    names = [str(stage.get("name", "")) for stage in planned or () if isinstance(stage, dict)]
    stages = {(number, name): SavedStage(number, name) for number, name in enumerate(names, start=1)}
    for folder in (run / "stages").glob("*"):
        match = STAGE_FOLDER.fullmatch(folder.name)
        if match and folder.is_dir():
            number, name = int(match[1]), match[2]
            stages[number, name] = _read_stage(folder, number, name, answers)
    return tuple(stages[key] for key in sorted(stages))


def _read_stage(folder: Path, number: int, name: str, answers: type[SavedAnswers]) -> SavedStage:
    return SavedStage(
        number=number,
        name=name,
        begun=True,
        data=read_record(folder / "data.json", StageData),
        quality=read_record(folder / "quality.json", Quality),
        history=read_history(folder / "history.csv"),
        metrics=read_record(folder / "metrics.json", StageMetrics),
        answers=read_answers(folder / "predictions.parquet", answers),
        decision=read_record(folder / "decision.json", Decision),
        forced=read_record(folder / "forced.json", Forced),
        candidates=_read_candidates(folder / "candidates"),
    )


def _read_candidates(folder: Path) -> tuple[JudgedCandidate, ...]:
    paths = [path for path in sorted(folder.glob("*/decision.json")) if path.parent.name.isdecimal()]
    read = [(int(path.parent.name), read_record(path, Decision)) for path in paths]
    return tuple(JudgedCandidate(rows, decision) for rows, decision in read if decision is not None)
