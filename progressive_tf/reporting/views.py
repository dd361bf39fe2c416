"""What the page's template shows of each stage: records put into figures, rows and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from progressive_tf.evaluation.records import Matrix, Measure
from progressive_tf.plan.adaptation_methods import FROM_SUMS
from progressive_tf.plan.methods import PROMPT
from progressive_tf.reporting import wording
from progressive_tf.reporting.answers.base import Summary
from progressive_tf.reporting.figures.bounds import bounds_figure
from progressive_tf.reporting.figures.class_curves import class_curves
from progressive_tf.reporting.figures.curves import learning_curves
from progressive_tf.reporting.figures.gate import gate_rules
from progressive_tf.reporting.figures.matrix import accuracy_matrix
from progressive_tf.reporting.figures.rates import rate_figure
from progressive_tf.reporting.figures.stream import stream_figure
from progressive_tf.reporting.figures.sweep import parallel_figure, parameters_figure, progress_figure
from progressive_tf.reporting.reading import read_history
from progressive_tf.reporting.records import JudgedCandidate, RunRecord, SavedStage
from progressive_tf.reporting.sweeps import RateTest, SweepRecord, Trial, in_order, read_rate_tests, read_sweeps
from progressive_tf.reporting.unknown_inputs import unknown_view

MOST_CLASSES = 100
PARTS = ("train", "validation", "gate", "test")
PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class StageView:
    """One stage as the page shows it; a figure is None where its records are missing.

    `answers` are those on its test rows, None where it has none.
    """

    record: SavedStage
    decided: str
    started_from: str
    curves: Markup | None
    gate: Markup | None
    answers: Summary | None
    per_class: Mapping[str, Mapping[str, Measure]]
    further_classes: int
    part_rows: Mapping[str, int | None]
    unknown: Markup | None = None


def stage_views(run: RunRecord) -> list[StageView]:
    """Returns a view of every stage, in order."""
    return [_stage_view(run, stage) for stage in run.stages]


def matrix_figures(matrix: Matrix, first: str = "untrained", name: str = "matrix") -> Mapping[str, Markup]:
    """Returns the R matrix of each part that is recorded.

    Args:
        matrix: as recorded, of one metric.
        first: what its row before all stages is called.
        name: prefix of the figures' ids.
    """
    return {
        part: accuracy_matrix(f"{name}-{part}", part, matrix, first)
        for part in ("gate", "test")
        if matrix.cells(part) and matrix.stages
    }


@dataclass(frozen=True)
class MatrixView:
    """The R matrix of one metric, with a figure for each part, and how many decimals its numbers have."""

    record: Matrix
    metric: str
    decimals: int
    figures: Mapping[str, Markup]


def matrix_views(run: RunRecord) -> list[MatrixView]:
    """Returns the R matrix of each metric that it is recorded of, the run's own first."""
    matrices = run.matrix.of_metrics if run.matrix else {}
    return [
        MatrixView(
            matrix,
            wording.metric_words(metric),
            wording.decimals(metric),
            matrix_figures(matrix, first_row(run.plan), f"matrix-{number}" if number else "matrix"),
        )
        for number, (metric, matrix) in enumerate(matrices.items())
    ]


def bounds_view(run: RunRecord) -> Markup | None:
    """Returns where the run lies between its bounds, or None where they are not recorded."""
    return None if run.bounds is None else bounds_figure("bounds", run.bounds, wording.decimals(run.metric))


def class_curves_view(run: RunRecord) -> Markup | None:
    """Returns F1 of each class after each measured stage, on the test rows of the last; None for one stage."""
    measured = [stage for stage in run.stages if stage.metrics and stage.metrics.test]
    if len(measured) < 2:
        return None
    rows = [per_class(stage.metrics.test.get(measured[-1].name, {})) for stage in measured if stage.metrics]
    scores = {label: [row.get(label, {}).get("f1", Measure()).value for row in rows] for label in rows[-1]}
    return class_curves("class-curves", [stage.name for stage in measured], scores) if scores else None


SWEEP_FIGURES = {"progress": progress_figure, "parameters": parameters_figure, "parallel": parallel_figure}


@dataclass(frozen=True)
class SweepView:
    """A sweep with its figures."""

    record: SweepRecord
    trials: tuple[Trial, ...]
    progress: Markup
    parameters: Markup
    parallel: Markup


def sweep_view(name: str, sweep: SweepRecord) -> SweepView:
    """Returns a sweep with its figures, whose ids begin with `name`."""
    drawn = (draw(f"{name}-{what}", sweep) for what, draw in SWEEP_FIGURES.items())
    return SweepView(sweep, tuple(in_order(sweep)), *drawn)


def sweep_views(run: RunRecord) -> list[SweepView]:
    """Returns the finished sweeps of a run, in the order of its stages."""
    return [sweep_view(f"sweep-{number}", sweep) for number, sweep in enumerate(read_sweeps(run.path))]


def rate_views(run: RunRecord) -> list[tuple[RateTest, Markup]]:
    """Returns the learning-rate range tests of a run, each with its figure."""
    return [(test, rate_figure(f"rates-{number}", test)) for number, test in enumerate(read_rate_tests(run.path))]


def per_class(measures: Mapping[str, Measure]) -> dict[str, dict[str, Measure]]:
    """Returns precision, recall and F1 by class, or by type of entity.

    Args:
        measures: those named `precision/<label>`, `entity_precision/<type>` and so on.
    """
    classes: dict[str, dict[str, Measure]] = {}
    for name, measure in measures.items():
        kind, separator, label = name.removeprefix("entity_").partition("/")
        if separator and kind in PER_CLASS:
            classes.setdefault(label, {})[kind] = measure
    return classes


def lowest_classes(classes: Mapping[str, Mapping[str, Measure]]) -> Mapping[str, Mapping[str, Measure]]:
    """Returns the classes that a table shows: all, or of very many those with the lowest F1."""
    if len(classes) <= MOST_CLASSES:
        return classes

    def f1(label: str) -> float:
        return classes[label].get("f1", Measure()).value or 0.0

    return {label: classes[label] for label in sorted(classes, key=f1)[:MOST_CLASSES]}


def largest_and_smallest(counts: Mapping[str, int]) -> list[tuple[str, int | None]]:
    """Returns classes with their rows: all, or of very many the largest, a gap without a number, and the smallest."""
    if len(counts) <= MOST_CLASSES:
        return list(counts.items())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    left_out = f"… {len(counts) - MOST_CLASSES:,} more …"
    return [*ordered[: MOST_CLASSES // 2], (left_out, None), *ordered[-(MOST_CLASSES // 2) :]]


def _stage_view(run: RunRecord, stage: SavedStage) -> StageView:
    best = stage.metrics.best_epoch if stage.metrics else None
    rules = stage.decision.rules if stage.decision else ()
    name = f"stage-{stage.number}"
    classes = per_class(stage.test)
    shown = lowest_classes(classes)
    return StageView(
        record=stage,
        decided=wording.decided(stage),
        started_from=_started_from(run, stage),
        curves=learning_curves(f"{name}-curves", stage.name, stage.history, best, run.answers.accuracy)
        if any(stage.history.values())
        else None,
        gate=gate_rules(f"{name}-gate", stage.name, rules),
        answers=_answers(stage, name),
        per_class=shown,
        further_classes=len(classes) - len(shown),
        part_rows=part_rows(run, stage),
        unknown=unknown.figure if (unknown := unknown_view(stage)) else None,
    )


def _answers(stage: SavedStage, name: str) -> Summary | None:
    if stage.answers is None:
        return None
    rows = stage.answers.test_rows(stage.slice)
    ece = stage.test.get("ece", Measure()).value
    return stage.answers.summarize(rows, name, stage.name, ece) if len(rows) else None


def part_rows(run: RunRecord, stage: SavedStage) -> dict[str, int | None]:
    """Returns how many rows each part of a stage has: of all labels, or counted one by one where there are none."""
    data, answers = stage.data, stage.answers
    if data is None:
        return {}
    if run.answers.is_labelled:
        return {part: sum(labels.values()) for part, labels in data.labels.items()}
    counted = {part: answers.count(part, stage.slice) if answers else None for part in ("gate", "test")}
    return {"train": data.train, "validation": data.validation, **counted}


def first_row(plan: Mapping[str, Any]) -> str:
    """Returns what the row of the R matrix before all stages of a recorded plan is called."""
    return "zero examples" if _starts_from_prompt(plan) else "untrained"


def _starts_from_prompt(plan: Mapping[str, Any]) -> bool:
    start = plan.get("start")
    return start == PROMPT or isinstance(start, Mapping)


def _has_weights(plan: Mapping[str, Any]) -> bool:
    model = plan.get("model")
    return isinstance(model, Mapping) and bool(model.get("weights"))


def _started_from(run: RunRecord, stage: SavedStage) -> str:
    """What is recorded; for an undecided stage what the rule says: the newest released stage, or the plan's start."""
    before = {one.name: one for one in run.stages if one.number < stage.number}
    released = [one.name for one in before.values() if one.promoted]
    recorded = stage.decision.started_from if stage.decision else None
    name = recorded or (released[-1] if released else "start")
    parent = before.get(name)
    if parent is None or parent.decision is None:
        start = run.plan.get("start", "pretrained")
        words = f"version {start}" if isinstance(start, int) else f"{start} weights"
        if start == "pretrained" and not _has_weights(run.plan):
            words = "random weights"
        words = "descriptions of the classes" if _starts_from_prompt(run.plan) else words
        return words if name == "start" else name
    return name if parent.version is None else f"{name} (version {parent.version})"


def stages_without_steps(run: RunRecord) -> list[str]:
    """Returns the stages whose head follows from sums, so that they have no learning curve."""
    planned = run.plan.get("stages")
    stages = [stage for stage in planned or () if isinstance(stage, Mapping)]
    methods = {stage.get("name"): stage.get("adaptation") for stage in stages}
    return [
        str(name)
        for name, adaptation in methods.items()
        if isinstance(adaptation, Mapping) and adaptation.get("method") in FROM_SUMS
    ]


MOST_POINTS = 400
MODELS = ("learner", "released", "start")


@dataclass(frozen=True)
class StreamView:
    """A stage that learns from a stream.

    Attributes:
        stage: its name.
        learnt: rows learnt so far.
        window: rows of the sliding window at its end.
        figure: accuracy over it.
        candidates: in order, without the stage's end.
    """

    stage: str
    learnt: int
    window: int
    figure: Markup
    candidates: Sequence[JudgedCandidate]


def stream_views(run: RunRecord) -> list[StreamView]:
    """Returns a view of each stage that has learnt from a stream."""
    views = []
    for stage in run.stages:
        history = read_history(run.path / "stages" / stage.folder / "stream" / "windows.csv")
        if not history or not history["learnt"]:
            continue
        learnt = history["learnt"]
        shown = sorted({*range(0, len(learnt), max(len(learnt) // MOST_POINTS, 1)), len(learnt) - 1})
        views.append(
            StreamView(
                stage.name,
                int(learnt[-1]),
                int(history["rows"][-1]),
                stream_figure(
                    f"stream-{stage.number}",
                    stage.name,
                    [learnt[place] for place in shown],
                    {key: [history[key][place] for place in shown] for key in MODELS},
                    [(candidate.rows, candidate.decision.decision) for candidate in stage.candidates],
                ),
                stage.candidates,
            )
        )
    return views
