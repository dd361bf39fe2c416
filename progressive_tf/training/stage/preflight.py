"""What comes before a stage trains: a release is tried out, so that what would fail later fails now; and its sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from progressive_tf.adaptation.catalogue import merge_additions, restore_additions
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import sha256_json, write_json
from progressive_tf.plan.loading import with_change
from progressive_tf.plan.retention_methods import EnsembleAverage
from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.scratch import scratch_registry
from progressive_tf.registry.staged import StagedVersion
from progressive_tf.training.answers.base import load_exported
from progressive_tf.training.answers.exported import export_saved_model
from progressive_tf.training.fitting.unknown_scores import UnknownScore
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.run_folder import TUNED_FILE
from progressive_tf.training.run.stage_record import StageRecord

TRIED = "releases_tried"
# In this process, by whichever run: forms are independent of runs.
_tried_here: set[str] = set()


def check_release(run: Run) -> None:
    """Releases the untrained network into a registry that is thrown away, loads it and asks it one row.

    It is done for each form in which a stage that is not finished would be released: what adaptation adds to the
    network, the size of images, an ensemble. A form that the run, or this process, has tried with the same code and
    packages is not tried again. No weight and no random state is different afterwards.

    Args:
        run: the run; its network is put at the run's start.

    Raises:
        InputError: a stage could not be released.
    """
    waiting = [stage for stage in run.stages if stage.decision is None]
    if not waiting or not run.releases:
        return
    recorded = run.folder.environment or {}
    known = set(recorded.get(TRIED, []))
    needed: set[str] = set()
    announced = False
    root = run.versions.files.path.parent
    try:
        run.versions.check_writable()
        with scratch_registry(root) as scratch:
            for release in _releases(run, waiting):
                form = release.form
                needed.add(form)
                if form in known or form in _tried_here:
                    continue
                if not announced:
                    announced = True
                    run.display.line("trying out a release of the untrained network")
                version = scratch.model(run.plan.name).publish(release.staged())
                release.ask(version.folder)
                _tried_here.add(form)
    except RegistryError as error:
        raise InputError(f"--registry {root}: no version could be released, so nothing is trained: {error}") from error
    if not needed <= known:
        write_json(run.folder.environment_file, recorded | {TRIED: sorted(known | needed)})


@dataclass(frozen=True)
class _Release:
    """What a stage would release, with the weights that it would start from.

    Attributes:
        run: the run; its network is at the stage.
        stage: the stage.
        averages: whether networks of earlier stages answer with it.
    """

    run: Run
    stage: StageRecord
    averages: bool

    @property
    def form(self) -> str:
        """What decides whether it can be released, as a hash."""
        run, settings = self.run, self.run.settings(self.stage)
        now = run.environment
        network = run.network
        shapes = [
            [weight.name, list(weight.variable.shape)] for weight in network.weights_of_blocks(len(network.blocks))
        ]
        asked = [network.settings, shapes, list(network.preprocess.columns), bool(network.tasks), settings.image_size]
        beside = [self.averages, run.plan.unknown_inputs is not None]
        return sha256_json([now["code"], now["packages"], run.data.outputs, asked, *beside])

    def staged(self) -> StagedVersion:
        """Returns it as a version that can be published."""
        run = self.run
        return StagedVersion(
            model=run.plan.name,
            run=run.folder.name,
            stage=f"{self.stage.name} {self.form}",
            weights_sha256="",
            parent=None,
            task=run.plan.task,
            input_kind=run.plan.kind.input_kind(run.data.input_width),
            labels=run.network.labels,
            plan_sha256="",
            data_sha256="",
            code_sha256="",
            environment={},
            metrics={},
            decision={},
            export=self._export,
            additions=run.network.additions(),
            preprocessing=run.network.preprocess.learnt(),
        )

    def _export(self, folder: Path) -> None:
        # Itself in place of an earlier stage's network: building another one would draw random numbers.
        others = [(self.run.network, 0.5)] if self.averages else []
        with self._explained("exported"):
            export_saved_model(self.run.network, folder, others, unknown=self._unknown)

    @property
    def _unknown(self) -> UnknownScore | None:
        width = None if self.run.plan.unknown_inputs is None else int(self.run.network.head.dense.kernel.shape[0])
        return None if width is None else UnknownScore.untried(width)

    def ask(self, folder: Path) -> None:
        """Loads it and asks it about a row."""
        run, raw = self.run, self.run.network.preprocess.raw
        part = run.data.slices[run.data.slice_of[self.stage.index]]
        source, rows = run.data.sources[part.source], part.gate[:1]
        with self._explained("asked for an answer"):
            signatures = load_exported(folder).signatures.values()
            given = {raw.name: run.network.preprocess.tensor(source.inputs(rows))}
            tasks = run.data.row_tasks(part.source, rows)
            if tasks is not None:
                given["task"] = tf.constant(tasks)
            next(signature for signature in signatures if _takes(signature, given))(**given)

    @contextlib.contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        """Says of which stage an error is; a full disk is the registry's to explain."""
        try:
            yield
        except (ProgressiveError, OSError):
            raise
        except Exception as error:  # of TensorFlow, or of a builder of one's own
            lines = str(error).strip().splitlines() or [""]
            raise InputError(
                f"stages[{self.stage.index}]: the network that {self.stage.name} would release cannot be {done} "
                f"({type(error).__name__}: {lines[0]:.300}); nothing is trained. For a builder of your own, "
                f"`python -m progressive_tf.models check` says more"
            ) from error


def _releases(run: Run, waiting: list[StageRecord]) -> Iterator[_Release]:
    """Yields what each waiting stage would release, the network at it, merged as a release is; then at the run's start.

    Of stages that differ in nothing but their weights and classes, the first is enough: see `_Release.form`.
    """
    run = run.at(None)
    run.load(None)
    names = {stage.name for stage in waiting}
    for stage in run.stages:
        if stage.decision is not None and not run.is_released(stage):
            continue  # later stages do not start from it
        run = run.with_list_of(stage)
        run.adapt(stage.index)
        merge_additions(run.network)
        if stage.name in names:
            separate = run.network.additions()
            merge_additions(run.network, everything=True)
            average = run.settings(stage).retention.average
            yield _Release(run, stage, stage.index > 0 and isinstance(average, EnsembleAverage))
            restore_additions(run.network, separate)
    run.at(None).load(None)


def _takes(signature: Any, given: dict[str, tf.Tensor]) -> bool:
    specs = signature.structured_input_signature[1]
    return specs.keys() == given.keys() and all(specs[name].shape.rank == given[name].shape.rank for name in given)


# Sweeps a stage that is about to begin; returns the change to the plan's section that did best.
SweepStage = Callable[[Run, StageRecord], dict[str, Any]]


def tuned(run: Run, stage: StageRecord, sweep: SweepStage | None) -> Run:
    """Returns the run with what a sweep has found for a stage that asks for one and has not begun.

    Raises:
        InputError: there is nothing to sweep with.
    """
    if run.settings(stage).tune is None or stage.rows() is not None:
        return run
    if sweep is None:
        raise InputError(f"stages[{stage.index}].tune: a sweep is needed before this stage; run it with `train`")
    change = sweep(run.at(stage), stage)
    write_json(stage.folder / TUNED_FILE, change)
    run = run.with_plan(with_change(run.plan, stage.index, change))
    check_release(run)  # it may add to the network what no stage had before
    return run
