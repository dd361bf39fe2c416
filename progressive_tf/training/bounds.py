"""What a plan lies between: training on without retention, and training on the rows of all stages at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from progressive_tf.data.plan_data import PlanData
from progressive_tf.display import Display
from progressive_tf.evaluation.records import Bound, Bounds, Matrix, record_of
from progressive_tf.files import read_json, write_json
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.plan.retention_methods import Retention
from progressive_tf.plan.schema import Plan
from progressive_tf.training.answers import ANSWERING
from progressive_tf.training.answers.predictions_file import load_predictions
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run_plan import Options, run_plan

BOUNDS_FILE = "bounds.json"
JOINT = "joint"
NO_CHECKS = Quality.model_validate(dict.fromkeys(Quality.model_fields))


def no_gate(plan: Plan) -> tuple[GateRule, ...]:
    """Returns a gate that every stage of a plan passes."""
    return (GateRule(metric=plan.kind.answers.matrix_metric, at_least=0.0, min_samples=1),)


def measure_bounds(loaded: LoadedPlan, run: Path, registry: Path, display: Display) -> None:
    """Runs both bounds of a finished run in its folder and writes `bounds.json`; makes no version.

    Bounds cover the stages that were trained. They are continued where they were interrupted.

    Args:
        loaded: the plan.
        run: the run's folder.
        registry: holds the version that the plan may start from.
        display: where progress is shown.
    """
    folder = RunFolder(run)
    planned = folder.with_tuned_stages(folder.plan()).stages  # a smaller --stages only looks
    stages = [
        StageRecord(i, planned_stage.name, folder.stage(i, planned_stage.name))
        for i, planned_stage in enumerate(planned)
    ]
    trained = [stage for stage in stages if stage.decision is not None]
    names = [stage.name for stage in trained]
    path = run / BOUNDS_FILE
    if path.exists() and read_json(path)["stages"] == names:
        return
    if len(trained) < 2:
        display.line("no bounds, because a single stage was trained")
        return
    started = read_json(run / "environment.json")["start"]["version"]  # stable has moved since
    update = {"stages": planned[: len(trained)]} | ({} if started is None else {"start": started})
    loaded = replace(loaded, plan=loaded.plan.model_copy(update=update))
    data = look(loaded, registry, run=folder)
    bounds_folder = run / "bounds"
    display.line("naive: every stage again, without retention")
    naive = run_plan(_naive(loaded), bounds_folder / "naive", registry, False, display, Options(releases=False)).run
    display.line(f"{JOINT}: the rows of all {len(trained)} stages at once")
    joint = run_plan(
        _joint(loaded),
        bounds_folder / f"{JOINT}-{len(trained):02d}",
        registry,
        False,
        display,
        Options(releases=False, data=_joined(data, trained)),
    ).run
    last = RunFolder(joint).stage(0, JOINT)
    kind = loaded.plan.kind.answers
    bounds = Bounds(tuple(names), _from_matrix(naive), _from_matrix(run), _from_predictions(last, data, kind))
    position = position_between(bounds.naive.acc, bounds.plan.acc, bounds.joint.acc)
    write_json(path, asdict(replace(bounds, position=position)))


def position_between(naive: float | None, plan: float | None, joint: float | None) -> float | None:
    """Returns where a plan lies on the way from naive (0) to joint (1); None where joint is not the better one."""
    if naive is None or plan is None or joint is None:
        return None
    return (plan - naive) / (joint - naive) if joint > naive else None


def _naive(loaded: LoadedPlan) -> LoadedPlan:
    stages = tuple(
        stage.model_copy(update={"retention": Retention(), "gate": no_gate(loaded.plan), "tune": None})
        for stage in loaded.plan.stages
    )
    return _with_plan(loaded, loaded.plan.model_copy(update={"stages": stages}))


def _joint(loaded: LoadedPlan) -> LoadedPlan:
    plan = loaded.plan
    optimizer = plan.stages[-1].optimizer.model_copy(update={"carry_state": False})
    update = {
        "name": JOINT,
        "retention": Retention(),
        "gate": no_gate(loaded.plan),
        "optimizer": optimizer,
        "tune": None,
    }
    stage = plan.stages[-1].model_copy(update=update)
    data = plan.data.model_copy(update={"quality": NO_CHECKS})  # its rows are those that the stages have kept
    return _with_plan(loaded, plan.model_copy(update={"stages": (stage,), "data": data}))


def _with_plan(loaded: LoadedPlan, plan: Plan) -> LoadedPlan:
    return replace(loaded, plan=plan, whole=plan)


def _joined(data: PlanData, trained: Sequence[StageRecord]) -> PlanData:
    """Returns the data of a plan whose only stage has the rows that all stages settled on."""
    together: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for stage in trained:
        rows = stage.rows()
        if rows is not None:
            together.setdefault(data.stage_sources[stage.index], []).append(rows)
    return data.joined(
        {
            source: (np.unique(np.concatenate(train)), np.unique(np.concatenate(validation)))
            for source, parts in together.items()
            for train, validation in [tuple(zip(*parts, strict=True))]
        }
    )


def _from_matrix(run: Path) -> Bound:
    place = run / "matrix.json"
    matrix = record_of(read_json(place), Matrix, str(place))
    return Bound(matrix.acc, matrix.forgetting, matrix.test_measures["acc"], matrix.test_measures["forgetting"])


def _from_predictions(stage: Path, data: PlanData, kind: AnswerKind) -> Bound:
    """Returns the same for a network that has seen everything at once, and thus forgot nothing."""
    scored = load_predictions(stage / "predictions.parquet", ANSWERING[kind.name], data).predictions

    def acc(part: str) -> float | None:
        values = [scored[part, name].measure(kind.matrix_metric) for name in data.slice_of if (part, name) in scored]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Bound(acc=acc("gate"), test_acc=acc("test"))
