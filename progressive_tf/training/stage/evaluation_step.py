"""Scoring a trained stage: predictions on every slice, metrics with intervals, the R matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.evaluation.bootstrap import intervals
from progressive_tf.evaluation.label_map import LabelMap, not_told_apart
from progressive_tf.evaluation.metrics import measures
from progressive_tf.evaluation.records import FurtherMatrix, Matrix
from progressive_tf.files import write_json
from progressive_tf.plan.metric_names import ABSTAINING_METRICS
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.predictions_file import (
    Scored,
    Wanted,
    load_predictions,
    missing_keys,
    predict_rows,
    save_predictions,
    wanted_rows,
)
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.abstention import answer_rule
from progressive_tf.training.stage.asking import asked
from progressive_tf.training.stage.mixture import answers


def untrained_file(run: Run) -> Path:
    """Returns where the predictions of the weights that the run started from stand."""
    return run.folder.path / "untrained.parquet"


def score(run: Run, stage: StageRecord | None, loaded: bool = False) -> Scored:
    """Returns a stage's predictions on every slice, computing and saving what is missing.

    Args:
        run: the run.
        stage: None for the weights that the run started from.
        loaded: whether the network already is at these weights.
    """
    path, wanted = _file(run, stage), wanted_rows(run.data)
    is_own = run.list_of(stage) == run.number
    rows = stage.rows() if stage is not None and is_own else None
    if stage is not None and rows is not None and len(rows[1]):
        wanted["validation", stage.name] = (run.source_of(stage), rows[1])
    if missing_keys(path, wanted):
        # Nothing keeps these answers, so that they and those that are read again are not in memory together.
        save_predictions(path, _given(run, stage, wanted, loaded), run.features)
    return load_predictions(path, type(run.features.answering), run.data)


def _file(run: Run, stage: StageRecord | None) -> Path:
    """Returns where the answers of a stage, or of what the run started from, stand in the words that the run is in."""
    own = untrained_file(run) if stage is None else stage.predictions
    if run.views is None or run.list_of(stage) == run.number:
        return own
    begins = run.views.lists.lists[run.number].begins
    name = own.stem if stage is None else stage.folder.name
    return run.stages[begins].folder / "answers_before" / f"{name}.parquet"


def _given(run: Run, stage: StageRecord | None, wanted: Wanted, loaded: bool) -> Scored:
    """Returns the answers of a stage, or of what the run started from, to the rows that are wanted."""
    changed = run.data.classes.changed
    if stage is None and changed is not None and run.start.version is not None:
        # What the version itself says: one column of a head cannot give what several gave together.
        return asked(run, run.versions.version(run.start.version), wanted, changed)
    since = run.changed_since(stage)
    if since is None:
        return answers(run, stage, wanted, loaded).by_rule(answer_rule(run, stage))
    run.at(stage).load(stage)
    settings = run.plan.stages[0 if stage is None else stage.index]
    read = answer_rule(run, stage), since
    return predict_rows(run.features, wanted, run.frozen_depth(stage), settings.cache, read)


def stage_metrics(run: Run, stage: StageRecord, scored: Scored) -> dict[str, Any]:
    """Returns the gate, test and validation parts of metrics.json."""

    def measured(part: str, name: str) -> dict[str, dict[str, float | int | None]]:
        seed = derive_seed(run.plan.seed, "bootstrap", stage.name, part, name)
        return intervals(scored.predictions[part, name], seed=seed)

    gate = {name: measured("gate", name) for part, name in scored.predictions if part == "gate"}
    tested = {name: measured("test", name) for part, name in scored.predictions if part == "test"}
    test = {
        record.name: tested[name] for record, name in zip(run.stages, run.data.slice_of, strict=True) if name in tested
    }
    newest = _recency(run, stage, scored)
    validation = measured("validation", stage.name) if ("validation", stage.name) in scored.predictions else {}
    return {"gate": gate, "test": test, "validation": validation} | ({"recency": newest} if newest else {})


def _recency(run: Run, stage: StageRecord, scored: Scored) -> dict[str, float]:
    """Returns the share of gate rows of classes known by now that are predicted as, and are, of the newest classes.

    A model that has seen the newest classes last tends to predict them too often (Wu et al. 2019).
    """
    known, before = run.known(stage), run.known(run.parent(stage))
    if known == before:
        return {}
    slices = [name for name in dict.fromkeys(run.data.slice_of[: stage.index + 1]) if name in run.data.slices]
    newest = [scored.predictions["gate", name].of_classes_from(before) for name in slices]
    predicted, true = (np.concatenate(rows) for rows in zip(*newest, strict=True))
    return {"predicted": float(predicted.mean()), "true": float(true.mean())}


def write_matrix(run: Run, trained: list[StageRecord]) -> None:
    """Writes matrix.json from the predictions of every trained stage, filling columns of new stages.

    Columns are the trained stages: row i, column j is the metric on stage j's slice after stage i; row 0 is untrained.
    Where a task has further metrics of that kind, there is one for each, under `further`. All cells are of the rows
    that have a class in the words that the run is in, and of classes that every row of the matrix tells apart.
    """
    columns = run.data.slice_of[: len(trained)]
    first, *others = run.plan.kind.answers.of_matrices
    others += ABSTAINING_METRICS if any(stage.abstain is not None for stage in run.plan.stages) else ()

    def row(stage: StageRecord | None) -> dict[tuple[str, str], tuple[float | None, ...]]:
        predictions = {key: answers.in_wholes(wholes) for key, answers in score(run, stage).predictions.items()}
        found = {part: [predictions.get((part, name)) for name in columns] for part in ("gate", "test")}
        return {
            (part, metric): tuple(None if answers is None else answers.measure(metric) for answers in found[part])
            for part in found
            for metric in (first, *others)
        }

    since = _lists_before(run, trained)
    wholes = not_told_apart(list(since.values()))
    # One after the other, for the answers of fifty stages need not fit into memory.
    rows = [row(stage) for stage in (None, *trained)]

    def matrix(metric: str) -> FurtherMatrix:
        gate, test = (tuple(measured[part, metric] for measured in rows) for part in ("gate", "test"))
        of_gate, of_test = (
            vars(measures(part, run.plan.kind.answers.metrics[metric].maximize)) for part in (gate, test)
        )
        return FurtherMatrix(gate=gate, test=test, **of_gate, test_measures=of_test)

    further = {metric: matrix(metric) for metric in others}
    names = tuple(stage.name for stage in trained)
    whole = Matrix(metric=first, stages=names, labels=_in_words(run, since), **vars(matrix(first)), further=further)
    write_json(run.folder.path / "matrix.json", whole.to_json())


def _lists_before(run: Run, trained: list[StageRecord]) -> dict[str, LabelMap]:
    """Returns each list of labels of before that some row of the matrix has, by its stages, with the map from it to
    that which the run is in the words of; none where no stage of the run changes them.
    """
    if run.views is None:
        return {}
    found: dict[int, tuple[list[str], LabelMap]] = {}
    for stage in trained:
        since = run.changed_since(stage)
        if since is not None:
            found.setdefault(run.list_of(stage), ([], since))[0].append(stage.name)
    maps = {", ".join(names): since for names, since in found.values()}
    start = run.data.classes.changed
    return maps if start is None else {f"version {run.start.version}": start} | maps


def _in_words(run: Run, since: dict[str, LabelMap]) -> str | None:
    """Returns in whose words a matrix is, and how answers in others were read; None where all are in the same."""
    if run.views is None or not since:
        return None
    of = [f"{names}: {words}" for names, one in since.items() if (words := one.of_known().compared_in_words())]
    stage = run.plan.stages[run.views.lists.lists[run.number].begins].name
    read = f"; as answers of before are read, {'; and '.join(of)}" if of else ""
    return f"in the words of {stage}, on rows that have a class in these{read}"
