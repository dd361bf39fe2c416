"""A release tried out before anything is trained, so that what would fail at the first promotion fails at the start."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from progressive_tf.adaptation.catalogue import merge_additions, restore_additions
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import sha256_json, write_json
from progressive_tf.plan.retention_methods import EnsembleAverage
from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.scratch import scratch_registry
from progressive_tf.registry.staged import StagedVersion
from progressive_tf.training.answers.classes import export_saved_model
from progressive_tf.training.answers.exported import load_exported
from progressive_tf.training.run.session import Session
from progressive_tf.training.run.stage_record import StageRecord

TRIED = "releases_tried"
# In this process, by whichever run: forms are independent of runs.
_tried_here: set[str] = set()


def check_release(session: Session) -> None:
    """Releases the untrained network into a registry that is thrown away, loads it and asks it one row.

    It is done for each form in which a stage that is not finished would be released: what adaptation adds to the
    network, the size of images, an ensemble. A form that the run, or this process, has tried with the same code and
    packages is not tried again. No weight and no random state is different afterwards.

    Args:
        session: the run; its network is put at the run's start.

    Raises:
        InputError: a stage could not be released.
    """
    waiting = [stage for stage in session.stages if stage.decision is None]
    if not waiting or not session.releases:
        return
    recorded = session.run.environment or {}
    known = set(recorded.get(TRIED, []))
    needed: set[str] = set()
    said = False
    root = session.versions.files.path.parent
    try:
        session.versions.check_writable()
        with scratch_registry(root) as scratch:
            for release in _releases(session, waiting):
                form = release.form
                needed.add(form)
                if form in known or form in _tried_here:
                    continue
                if not said:
                    said = True
                    session.display.line("trying out a release of the untrained network")
                version = scratch.model(session.plan.name).publish(release.staged())
                release.ask(version.folder)
                _tried_here.add(form)
    except RegistryError as error:
        raise InputError(f"--registry {root}: no version could be released, so nothing is trained: {error}") from error
    if not needed <= known:
        write_json(session.run.environment_file, recorded | {TRIED: sorted(known | needed)})


@dataclass(frozen=True)
class _Release:
    """What a stage would release, with the weights that it would start from.

    Attributes:
        session: the run; its network is at the stage.
        stage: the stage.
        averages: whether networks of earlier stages answer with it.
    """

    session: Session
    stage: StageRecord
    averages: bool

    @property
    def form(self) -> str:
        """What decides whether it can be released, as a hash."""
        session, settings = self.session, self.session.plan.stages[self.stage.index]
        now = session.environment_now
        network = session.network
        shapes = [
            [weight.name, list(weight.variable.shape)] for weight in network.weights_of_blocks(len(network.blocks))
        ]
        asked = [network.settings, shapes, list(network.preprocess.columns), bool(network.tasks), settings.image_size]
        return sha256_json([now["code"], now["packages"], session.data.outputs, asked, self.averages])

    def staged(self) -> StagedVersion:
        """Returns it as a version that can be published."""
        session = self.session
        return StagedVersion(
            model=session.plan.name,
            run=session.run.name,
            stage=f"{self.stage.name} {self.form}",
            weights_sha256="",
            parent=None,
            task=session.plan.task,
            input_kind=session.plan.kind.input_kind(session.data.input_width),
            labels=session.network.labels,
            plan_sha256="",
            data_sha256="",
            code_sha256="",
            environment={},
            metrics={},
            decision={},
            export=self._export,
            additions=session.network.additions(),
            preprocessing=session.network.preprocess.learnt(),
        )

    def _export(self, folder: Path) -> None:
        # Itself in place of an earlier stage's network: building another one would draw random numbers.
        others = [(self.session.network, 0.5)] if self.averages else []
        with self._explained("exported"):
            export_saved_model(self.session.network, folder, others)

    def ask(self, folder: Path) -> None:
        """Loads it and asks it about a row."""
        session, raw = self.session, self.session.network.preprocess.raw
        part = session.data.slices[session.data.slice_of[self.stage.index]]
        source, rows = session.data.sources[part.source], part.gate[:1]
        with self._explained("asked for an answer"):
            signatures = load_exported(folder).signatures.values()
            given = {raw.name: session.network.preprocess.tensor(source.inputs(rows))}
            tasks = session.data.row_tasks(part.source, rows)
            if tasks is not None:
                given["task"] = tf.constant(tasks)
            next(each for each in signatures if _takes(each, given))(**given)

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


def _releases(session: Session, waiting: list[StageRecord]) -> Iterator[_Release]:
    """Yields what each waiting stage would release, the network at it, merged as a release is; then at the run's start.

    Of stages that differ in nothing but their weights and classes, the first is enough: see `_Release.form`.
    """
    session.load(None)
    names = {stage.name for stage in waiting}
    for stage in session.stages:
        if stage.decision is not None and not session.is_released(stage):
            continue  # later stages do not start from it
        session.adapt(stage.index)
        merge_additions(session.network)
        if stage.name in names:
            separate = session.network.additions()
            merge_additions(session.network, everything=True)
            average = session.plan.stages[stage.index].retention.average
            yield _Release(session, stage, stage.index > 0 and isinstance(average, EnsembleAverage))
            restore_additions(session.network, separate)
    session.load(None)


def _takes(signature: Any, given: dict[str, tf.Tensor]) -> bool:
    specs = signature.structured_input_signature[1]
    return specs.keys() == given.keys() and all(specs[name].shape.rank == given[name].shape.rank for name in given)
