"""The rows a stage settles on: what the plan selects, less what the quality findings drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from progressive_tf.data.findings import QualityReport
from progressive_tf.data.noise_finding import NoiseSearch
from progressive_tf.data.quality import examine
from progressive_tf.data.remarks import UNUSED_FILES
from progressive_tf.data.source import Source
from progressive_tf.data.stage_rows import StageRows, counted, counted_briefly
from progressive_tf.errors import InputError
from progressive_tf.seeds import derive_seed
from progressive_tf.training.run.cut_texts import find_cut_texts
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import SUSPECTS_FILE, Rows, StageRecord
from progressive_tf.training.stage.learnt import keys_of_stream

MOST_SHOWN = 10


def settle_rows(run: Run, stage: StageRecord, parent: StageRecord | None, frozen_depth: int) -> Rows:
    """Returns a stage's training and validation rows, as settled when it began; settles them if it has not.

    Raises:
        InputError: a finding whose action is `fail`, no validation row, or evaluation rows that were trained on.
    """
    settled = stage.rows()
    if settled is not None:
        return settled
    if run.settings(stage).data.stream is not None:  # its rows are counted as they come
        _check_earlier_training(run, stage)
        return record_no_rows(run, stage, parent)
    report, validation = find_rows(run, stage, frozen_depth)
    statistics = run.network.preprocess.statistics
    if statistics is not None:
        stage.save_statistics(statistics.to_json())
    stage.save_rows(run.data, report.kept, validation, report, parent.name if parent else None, run.environment)
    if report.suspects:
        run.display.line(f"{stage.name}: labels that look wrong are in {stage.folder / SUSPECTS_FILE}")
    run.display.line(f"{stage.name}: {_counts(run, stage)}")
    return report.kept, validation


def _counts(run: Run, stage: StageRecord) -> str:
    """Returns in words how many rows of each class each part has, or how many where there are no classes."""
    classes, recorded = run.data.classes, stage.data()
    part = run.data.slices[recorded.slice or stage.name]
    more = f"{part.repeated:,} more for the gate"
    again = f"; {more} {'repeats' if part.repeated == 1 else 'repeat'} another's text, not counted again"
    again = again if part.repeated else ""
    if all(len(labels) < 2 for labels in recorded.labels.values()):
        sizes = {"train": recorded.train, "validation": recorded.validation}
        sizes |= {"gate": len(part.gate), "test": len(part.test)}
        return "; ".join(f"{name} {size:,}" for name, size in sizes.items()) + again
    counts: list[str] = []
    for name, labels in recorded.labels.items():
        shown = {label: rows for label, rows in labels.items() if rows or not classes.grow}
        counts.append(f"{name} {counted_briefly(shown) if counts else counted(shown)}")
    return "; ".join(counts) + again


def record_no_rows(run: Run, stage: StageRecord, parent: StageRecord | None) -> Rows:
    """Writes data.json of a stage none of whose rows are known yet; returns none to train on and to validate with."""
    none = np.empty(0, np.int64)
    started_from = parent.name if parent is not None else None
    stage.save_rows(run.data, none, none, QualityReport((), none), started_from, run.environment)
    return none, none


def find_rows(run: Run, stage: StageRecord, frozen_depth: int) -> tuple[QualityReport, np.ndarray]:
    """Returns what was found in a stage's training rows, with those that are kept, and its validation rows.

    Args:
        run: the run; its network is at the weights that the stage starts from.
        stage: the stage.
        frozen_depth: how many leading blocks it leaves as they are.

    Raises:
        InputError: a finding whose action is `fail`, no validation row, or evaluation rows that were trained on.
    """
    data, plan = run.data, run.plan
    name = data.stage_sources[stage.index]
    source, rows = data.sources[name], data.stages[stage.index]
    cache = plan.stages[stage.index].cache
    try:
        report = examine(
            data.trained_source(stage.index, name),
            rows.train,
            plan.data.quality,
            data.evaluation_keys,
            NoiseSearch(
                "the network began with random weights, whose outputs say little about a row"
                if plan.model.random_says_little and run.start.version is None
                else lambda wanted: run.features.embeddings(name, wanted, frozen_depth, cache),
                derive_seed(plan.seed, "label-noise", stage.name),
            ),
            expected=_classes_in(source, rows) if data.classes.grow else data.labels if run.number else None,
        )
    except InputError as error:
        raise InputError(f"stage {stage.name}: {error}") from None
    report = _with_cut_texts(run, stage, report)
    wrong = sum(int(np.isin(exchange.rows, report.kept).sum()) for exchange in data.wrong_labels[stage.index])
    if wrong:
        run.display.line(f"{stage.name}: {wrong} of {len(report.kept)} training labels are wrong on purpose")
    for finding in report.findings:
        if finding.kind != UNUSED_FILES:  # told when the source was read
            run.display.line(f"{stage.name}: {finding.message}")
    report = replace(report, findings=(*data.findings.get(name, ()), *report.findings))
    validation = _unleaked_validation(run, stage, source, rows.validation)
    _check_earlier_training(run, stage)
    if not len(validation):
        raise InputError(
            f"stages[{stage.index}].data: no row is left for validation; raise data.split.validation or take more"
        )
    return report, validation


def _with_cut_texts(run: Run, stage: StageRecord, report: QualityReport) -> QualityReport:
    """Returns a report with what is said about texts that are cut, if any are."""
    action = run.plan.data.quality.cut_texts
    name = run.source_of(stage)
    source = run.data.sources[name]
    cut = None if action is None else find_cut_texts(run.network.preprocess, source, report.kept)
    if action is None or cut is None:
        return report
    try:
        finding = cut.finding(source, action, "data.quality")
    except InputError as error:
        raise InputError(f"stage {stage.name}: {error}") from None
    return report if finding is None else replace(report, findings=(*report.findings, finding))


def _classes_in(source: Source, rows: StageRows) -> set[str]:
    """Returns the classes of a stage's rows: where classes come stage by stage, it is not expected to have the rest."""
    codes = source.label_codes[np.concatenate([rows.train, rows.validation])]
    return {source.labels[code] for code in np.unique(codes)}


def _unleaked_validation(run: Run, stage: StageRecord, source: Source, rows: np.ndarray) -> np.ndarray:
    """Acts on validation rows that stand in a gate or test part too: training would choose on what decides."""
    leaked = np.isin(source.keys[rows], run.data.decision_keys)
    action = run.plan.data.quality.leakage
    if action is None or not leaked.any():
        return rows
    text = (
        f"stage {stage.name}: {int(leaked.sum())} validation rows of {source.name} "
        f"(rows {_numbers(source.rows[rows[leaked]])}) stand in a gate or test part too"
    )
    if action == "fail":
        raise InputError(f"{text}; take them out of the file, or set data.quality.leakage to drop or warn")
    run.display.line(text)
    return rows[~leaked] if action == "drop" else rows


def _check_earlier_training(run: Run, stage: StageRecord) -> None:
    """Acts on gate and test rows of this stage's source that an earlier stage has trained on."""
    action = run.plan.data.quality.leakage
    data, name = run.data, run.source_of(stage)
    part = data.slices[data.slice_of[stage.index]]
    evaluated = np.concatenate([part.gate, part.test])
    for earlier in run.stages[: stage.index]:
        settled, source_name = earlier.rows(), data.stage_sources[earlier.index]
        learnt = keys_of_stream(earlier)
        if settled is not None and source_name != name:
            learnt = np.concatenate([learnt, data.sources[source_name].keys[settled[0]]])
        trained = np.isin(data.sources[name].keys[evaluated], learnt)
        if action is not None and trained.any():
            rows = _numbers(data.sources[name].rows[evaluated[trained]])
            text = (
                f"stage {stage.name}: {int(trained.sum())} gate or test rows of {data.sources[name].name} "
                f"(rows {rows}) were trained on in stage {earlier.name}"
            )
            if action != "warn":
                raise InputError(f"{text}; take them out of the file, or set data.quality.leakage to warn")
            run.display.line(text)


def _numbers(rows: Sequence[int] | np.ndarray) -> str:
    shown = ", ".join(f"{row:,}" for row in rows[:MOST_SHOWN])
    return shown + (f" and {len(rows) - MOST_SHOWN:,} more" if len(rows) > MOST_SHOWN else "")
