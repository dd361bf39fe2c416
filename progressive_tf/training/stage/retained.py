"""What a stage does so that earlier ones are not forgotten: prepared when it begins, and kept in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.batching import fixed_batches
from progressive_tf.errors import InputError, ProgressiveError, listed, unknown_name
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import read_json, write_json
from progressive_tf.models.block_model import BlockModel, NamedWeight, read_weights
from progressive_tf.plan.metric_names import CLASSES
from progressive_tf.plan.retention_methods import Distill, Ewc, Replay
from progressive_tf.plan.schema import Stage
from progressive_tf.retention.ewc import Consolidated, EwcPenalty, Measured, fisher_information
from progressive_tf.retention.soft_targets import DISTILL, LWF, distill, logits_of, lwf
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.exported import misfit
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting.checkpoint import Arrays, load_arrays, save_arrays
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.stage_model import Penalty
from progressive_tf.training.run.checks import check_teacher, find_teacher
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.asking import changed_since_version
from progressive_tf.training.stage.replay_buffer import SourceRows, choose_buffer, read_buffer

FOLDER = "retention"

Taught = tuple[np.ndarray, dict[str, Any]]  # a teacher's logits, and what is to be known about them


@dataclass(frozen=True)
class Retained:
    """What a stage trains with beside its own rows.

    Attributes:
        replayed: rows of earlier stages, by source.
        consolidated: the quadratic terms of earlier stages, or None.
        known: how many classes the model before the stage had.
        teachers: logits for the stage's training rows and then the replayed ones, float32 [n, columns], by method.
        teacher_labels: the classes of the logits of method distill.
        teacher_changed: what became of these since; None where they are called alike.
        changed: what became of the labels of the model before the stage inside the run; None: nothing.
        facts: what metrics.json says about each method.
    """

    replayed: tuple[SourceRows, ...] = ()
    consolidated: Consolidated | None = None
    known: int = 0
    teachers: Arrays = field(default_factory=dict)
    teacher_labels: tuple[str, ...] = ()
    teacher_changed: LabelMap | None = None
    changed: LabelMap | None = None
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def penalties(self, stage: Stage, network: BlockModel) -> list[Penalty]:
        """Returns the terms of the loss.

        Args:
            stage: the plan's section.
            network: with the classes and additions of the stage.
        """
        settings = stage.retention
        terms: list[Penalty] = []
        if settings.ewc is not None and self.consolidated is not None:
            terms.append(EwcPenalty(network, self.consolidated, settings.ewc.strength))
        if settings.lwf is not None and LWF in self.teachers:
            terms.append(lwf(settings.lwf, network, self.known, self.changed))
        if settings.distill is not None and DISTILL in self.teachers:
            terms.append(distill(settings.distill, network, self.teacher_labels, self.teacher_changed))
        return terms


def check_taught(run: Run, stage: StageRecord) -> None:
    """Raises InputError where a stage's teacher is not there, before the stage counts as begun."""
    place, settings = f"stages[{stage.index}]", run.settings(stage)
    check_teacher(settings, place, run.versions, run.loaded.folder)
    if settings.retention.distill is None or run.network.answers != CLASSES.name or run.data.classes.grow:
        return
    folder, labels = find_teacher(settings.retention.distill, run.versions, run.loaded.folder)
    strange = [label for label in labels if label not in run.data.labels]
    if strange and misfit(folder, run.network) is None and _teacher_changed(run, settings.retention.distill) is None:
        raise InputError(
            f"{place}.retention.distill.teacher: {settings.retention.distill.teacher} predicts "
            f"{unknown_name('label', strange[0], run.data.labels)}"
        )


def _teacher_changed(run: Run, settings: Distill) -> LabelMap | None:
    """Returns what became of the labels of a teacher; None where nothing is known to have."""
    number = run.versions.aliases().get("stable") if settings.teacher == "stable" else settings.teacher
    return changed_since_version(run, run.versions.version(number)) if isinstance(number, int) else None


def prepare_retention(
    run: Run, stage: StageRecord, parent: StageRecord | None, rows: np.ndarray, moved: MovedWeights
) -> Retained:
    """Returns what a stage retains, from its folder if it has begun; leaves the network at other weights.

    Args:
        run: the run.
        stage: the stage.
        parent: the stage it starts from.
        rows: its training rows.
        moved: what it moves.

    Raises:
        InputError: a teacher that is not there, or rows to replay that are no longer in their source.
    """
    return _Preparation(run, stage, parent, rows, moved).retained()


class _Preparation:
    def __init__(
        self, run: Run, stage: StageRecord, parent: StageRecord | None, rows: np.ndarray, moved: MovedWeights
    ) -> None:
        self.run = run
        self.stage = stage
        self.parent = parent
        self.rows = rows
        self.moved = moved
        self.settings = run.settings(stage)
        self.source = run.source_of(stage)
        self.ancestors = run.released_until(parent)

    def retained(self) -> Retained:
        retention = self.settings.retention
        has_model = self.parent is not None or self.run.start.version is not None
        facts: dict[str, dict[str, Any]] = {}
        replayed: tuple[SourceRows, ...] = ()
        consolidated, teacher_labels, teacher_changed = None, (), None
        teachers: Arrays = {}
        if retention.replay is not None and (self.ancestors or self.run.data.earlier.trained):
            with self._timed("replay", facts) as entry:
                replayed = self._replayed(retention.replay)
                entry["rows"] = sum(len(part.rows) for part in replayed)
                entry["bytes"] = self._file("replay.parquet").stat().st_size
        if retention.ewc is not None and self.ancestors:
            with self._timed("ewc", facts) as entry:
                consolidated = self._consolidated(retention.ewc)
                entry["bytes"] = self._file("ewc.safetensors").stat().st_size
                entry["rows"], entry["gradients"] = self._passes_of_fisher(retention.ewc)
        everything = (SourceRows(self.source, self.rows), *replayed)
        if retention.lwf is not None and has_model:
            with self._timed("lwf", facts) as entry:
                teachers[LWF] = self._kept(LWF, lambda: (self._own_logits(everything), {}))[0]
                entry["rows"], entry["bytes"] = len(teachers[LWF]), teachers[LWF].nbytes
        if retention.distill is not None:
            settings = retention.distill
            with self._timed("distill", facts) as entry:
                teachers[DISTILL], metadata = self._kept(DISTILL, lambda: self._taught(settings, everything))
                teacher_labels = tuple(metadata["labels"])
                became = metadata.get("became")
                teacher_changed = None if became is None else LabelMap.of_json(became, self.run.data.labels)
                entry["rows"], entry["bytes"] = len(teachers[DISTILL]), teachers[DISTILL].nbytes
                entry["teacher"] = metadata["teacher"]
        known = self.run.known(self.parent)
        changed = None if self.parent is None else self.run.changed_since(self.parent)
        return Retained(
            replayed, consolidated, known, teachers, teacher_labels, teacher_changed, changed=changed, facts=facts
        )

    @contextmanager
    def _timed(self, name: str, facts: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yields where a method's facts go, and adds its seconds: those of the first time, where it is kept."""
        path, started = self._file("seconds.json"), time.perf_counter()
        known = read_json(path) if path.exists() else {}
        facts[name] = {}
        yield facts[name]
        if name not in known:
            known[name] = round(time.perf_counter() - started, 3)
            write_json(path, known)
        facts[name]["seconds"] = known[name]

    def _passes_of_fisher(self, settings: Ewc) -> tuple[int, int]:
        """Returns on how many rows the Fisher information was measured, and how many gradients that took."""
        rows = [min(settings.samples, len(_training_rows(record))) for record in self.ancestors]
        classes = [self.run.known(record) if settings.fisher == "exact" else 1 for record in self.ancestors]
        return sum(rows), sum(count * gradients for count, gradients in zip(rows, classes, strict=True))

    def _file(self, name: str) -> Path:
        return self.stage.folder / FOLDER / name

    def _replayed(self, settings: Replay) -> tuple[SourceRows, ...]:
        path, data = self._file("replay.parquet"), self.run.data
        learnt_before = 0
        if not path.exists():
            own = data.sources[self.source].keys[self.rows]
            earlier = {
                name: rows[~np.isin(data.sources[name].keys[rows], own)] for name, rows in data.earlier.trained.items()
            }
            for record in self.ancestors:
                name = data.stage_sources[record.index]
                earlier[name] = np.union1d(earlier.get(name, self.rows[:0]), self._readable(record))
            if self.source in earlier:
                earlier[self.source] = np.setdiff1d(earlier[self.source], self.rows)
            known = sum(map(len, earlier.values()))
            if not known:
                self.run.display.line(
                    f"{self.stage.name}: no replay, because its rows have all those that were learnt before"
                )
            choose_buffer(path, settings, data, earlier, derive_seed(self.run.plan.seed, "replay"))
            learnt_before = known if data.earlier.trained else 0
        replayed = read_buffer(path, data.sources)
        if learnt_before:
            kept = sum(len(part.rows) for part in replayed)
            self.run.display.line(
                f"{self.stage.name}: replays {kept:,} of {learnt_before:,} rows that were learnt before"
            )
        return replayed

    def _readable(self, record: StageRecord) -> np.ndarray:
        """Returns the training rows of an earlier stage that are of a class of this one; says how many are not."""
        trained, settled = _training_rows(record), self.run.rows(record)
        kept = trained if settled is None else settled[0]
        if len(kept) < len(trained):
            self.run.display.line(
                f"{self.stage.name}: {len(trained) - len(kept):,} of {len(trained):,} rows of {record.name} are not "
                f"replayed: their classes were split or retired since"
            )
        return kept

    def _consolidated(self, settings: Ewc) -> Consolidated:
        path = self._file("ewc.safetensors")
        if not path.exists():
            consolidated = Consolidated()
            for record in self.ancestors:
                importance, values = self._fisher(settings, record)
                consolidated = (
                    consolidated.online(importance, values, settings.decay)
                    if settings.online
                    else consolidated.plus(importance, values)
                )
            arrays = {f"importance/{name}": array for name, array in consolidated.importance.items()}
            save_arrays(path, arrays | {f"weighted/{name}": array for name, array in consolidated.weighted.items()}, {})
        arrays, _ = load_arrays(path)
        groups: dict[str, Arrays] = {"importance": {}, "weighted": {}}
        for key, value in arrays.items():
            group, _, name = key.partition("/")
            groups[group][name] = value
        return Consolidated(**groups)

    def _fisher(self, settings: Ewc, record: StageRecord) -> tuple[Arrays, Arrays]:
        run, data = self.run, self.run.data
        run.load(record)
        names = {weight.name for weight in self.moved.trained}
        weights: list[NamedWeight] = [weight for weight in run.network.named_weights() if weight.name in names]
        seed = derive_seed(run.plan.seed, "fisher", record.name)
        trained = _training_rows(record)
        count = min(settings.samples, len(trained))
        rows = np.sort(np.random.default_rng(seed).choice(trained, count, replace=False))
        name = data.stage_sources[record.index]
        examples = run.features.examples(name, rows, self.moved.frozen_depth, self.settings.cache)
        answering = run.features.answering
        if not answering.learns_from_states:
            examples = replace(examples, labels=data.trained_codes(record.index, name, rows))
        first_block = examples.first_block
        likelihood = answering.log_likelihood(first_block)
        measured = Measured(_labelled_batches(examples), examples.state_spec, first_block, likelihood)
        importance = fisher_information(run.network, weights, measured, settings.fisher, seed)
        return importance, read_weights(weights)

    def _kept(
        self, name: str, compute: Callable[[], tuple[np.ndarray, dict[str, Any]]]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        path = self._file(f"{name}.safetensors")
        if not path.exists():
            logits, metadata = compute()
            save_arrays(path, {"logits": logits}, metadata)
        arrays, metadata = load_arrays(path)
        return arrays["logits"], metadata

    def _own_logits(self, parts: Sequence[SourceRows]) -> np.ndarray:
        run = self.run
        run.load(self.parent)
        return np.concatenate(
            [
                run.features.logits(
                    run.features.examples(part.source, part.rows, self.moved.frozen_depth, self.settings.cache)
                )
                for part in parts
            ]
        )

    def _taught(self, settings: Distill, parts: Sequence[SourceRows]) -> Taught:
        data = self.run.data
        folder, labels = find_teacher(settings, self.run.versions, self.run.loaded.folder)
        reason = misfit(folder, self.run.network)
        if reason is not None:
            raise InputError(
                f"stages[{self.stage.index}].retention.distill.teacher: {settings.teacher} {reason}; name another"
            )
        tasks = {task for part in parts for task in data.row_tasks(part.source, part.rows) or ()}
        unknown = sorted(task for task in tasks if not any(label.startswith(f"{task}/") for label in labels))
        if unknown:
            raise InputError(
                f"stages[{self.stage.index}].retention.distill.teacher: {settings.teacher} does not know task "
                f"{listed(unknown)}, which rows of this stage are of; use lwf, or a teacher that knows it"
            )
        probabilities = [
            predict_exported(
                folder, data.sources[part.source].inputs(part.rows), data.row_tasks(part.source, part.rows)
            )
            for part in parts
        ]
        facts: dict[str, Any] = {"labels": labels, "teacher": str(settings.teacher)}
        changed = _teacher_changed(self.run, settings)
        if changed is not None:
            facts["became"] = {old: list(news) for old, news in changed.of.items()}
        return logits_of(np.concatenate(probabilities)), facts


def _training_rows(record: StageRecord) -> np.ndarray:
    settled = record.rows()
    if settled is None:
        raise ProgressiveError(f"{record.folder}: data.json is missing; restore it, or begin a new run with --fresh")
    return settled[0]


def _labelled_batches(examples: Examples) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    batches = fixed_batches(examples.lengths, examples.bucket_width)
    positions = [part for part, _ in batches]
    for part, state in zip(positions, examples.states(positions, [length for _, length in batches]), strict=True):
        yield state, examples.labels[part]
