"""What every stage of a run shares: data, network, start weights, features, registry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import adapt, merge_additions, restore_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.plan_data import PlanData
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.files import cache_folder, write_json
from progressive_tf.models.block_model import BlockModel, assign_weights, read_weights, set_classes, weights_sha256
from progressive_tf.models.catalogue import build
from progressive_tf.models.precision import FLOAT32, built_for, set_precision
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.models.request import Request
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.store import Registry
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.features import Features
from progressive_tf.training.fitting.checkpoint import checkpoint_facts, load_checkpoint
from progressive_tf.training.fitting.phases import phases_of
from progressive_tf.training.hardware import Hardware, describe_environment, prepare
from progressive_tf.training.run import start as statistics_of
from progressive_tf.training.run.checks import (
    check_base,
    check_registry,
    check_retention,
    check_sources,
    check_targets,
)
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run.start import find_start, load_start, start_from_prompt


@dataclass
class Session:
    """A run in progress.

    Attributes:
        run: its folder.
        plan: the plan, cut to the stages that run.
        data: every row of the plan.
        network: the one network of the run; its weights are those of whichever stage is at work.
        base: all weights that the run starts from, by name.
        base_additions: what methods have added to the network that the run starts from.
        base_sha256: their hash.
        base_labels: the classes that the network has then.
        base_statistics: what is known about a table's columns then; None where the data is no table.
        start_version: the registry version they come from, or None.
        plan_folder: where relative paths in the plan start from.
        features: prepared examples and outputs.
        versions: the plan's model in the registry.
        whole_plan: the plan with all of its stages.
        environment_now: code, packages and devices of this process.
        start_depth: leading blocks that the first stage leaves as they are.
        display: progress and remarks.
        releases: whether promoted stages become versions.
    """

    run: RunFolder
    plan: Plan
    data: PlanData
    network: BlockModel
    base: dict[str, np.ndarray]
    base_additions: list[dict[str, Any]]
    base_sha256: str
    base_labels: tuple[str, ...]
    base_statistics: ColumnStatistics | None
    start_version: int | None
    plan_folder: Path
    features: Features
    versions: ModelVersions
    whole_plan: Plan
    environment_now: dict[str, Any]
    display: Display
    start_depth: int = 0
    releases: bool = True

    @contextmanager
    def shown_by(self, display: Display) -> Iterator[None]:
        """Shows progress and remarks elsewhere while the block runs."""
        before = self.display
        self.display = self.features.display = display
        try:
            yield
        finally:
            self.display = self.features.display = before

    @property
    def stages(self) -> list[StageRecord]:
        """The stages' folders, in order."""
        return [
            StageRecord(index, stage.name, self.run.stage(index, stage.name))
            for index, stage in enumerate(self.plan.stages)
        ]

    def adapt(self, index: int) -> list[MovedWeights]:
        """Gives the network a stage's classes and what its adaptation needs; returns what moves in each phase.

        Raises:
            InputError: what the network cannot do, or the stage's epochs do not allow.
        """
        stage = self.plan.stages[index]
        self._prepare(self.stages[index])
        try:
            moved = adapt(self.network, stage.adaptation, derive_seed(self.plan.seed, "adaptation", stage.name))
            phases_of(self.network, stage, moved)
        except InputError as error:
            raise InputError(f"stages[{index}].{error}") from None
        return moved

    def load(self, stage: StageRecord | None) -> str:
        """Puts the network at a trained stage's weights, or at the run's start; returns the hash of all weights."""
        if stage is None:
            set_classes(
                self.network, self.base_labels, self.data.classes.label_tasks[: len(self.base_labels)], self.plan.seed
            )
            self.network.preprocess.resize(self.plan.stages[0].image_size)
            statistics_of.use_statistics(self.network, self.base_statistics)
            self.network.remove_additions()
            restore_additions(self.network, self.base_additions)
            assign_weights(self.network.named_weights(), self.base)
            return self.base_sha256
        started_here = checkpoint_facts(stage.folder).base_sha256 == self.base_sha256
        base_sha256 = self.load(None if started_here else self.parent(stage))
        self._prepare(stage)
        return load_checkpoint(stage.folder, self.network, base_sha256)

    def statistics(self, stage: StageRecord | None) -> ColumnStatistics | None:
        """Returns what a stage's preprocessing knows about a table's columns; None where the data is no table.

        Raises:
            InputError: the stage is to read them anew from rows that do not allow it.
        """
        if stage is None or self.base_statistics is None:
            return self.base_statistics
        if stage.statistics is not None:
            return statistics_of.recorded_statistics(stage.statistics, self.data, stage.folder)
        inherited = self.statistics(self.parent(stage))
        if inherited is None or not self.plan.stages[stage.index].readapt:
            return inherited
        return statistics_of.stage_statistics(inherited, self.data, stage.index)

    def _prepare(self, stage: StageRecord) -> None:
        prepare_for_stage(self.network, self.plan, self.data, stage.index)
        statistics_of.use_statistics(self.network, self.statistics(stage))

    def known(self, stage: StageRecord | None) -> int:
        """Returns how many of the classes the network has outputs for after a stage; for the run's start, then."""
        return len(self.base_labels) if stage is None else self.data.classes.known[stage.index]

    def frozen_depth(self, stage: StageRecord | None) -> int:
        """Returns how many leading blocks a trained stage left as they were; for the run's start, its first stage."""
        return self.start_depth if stage is None else checkpoint_facts(stage.folder).frozen_depth

    def is_released(self, stage: StageRecord) -> bool:
        """Whether the gate promoted a stage, or a person did; of one that learns from a stream, any candidate of it."""
        return self.is_promoted(stage) or any(map(self.is_promoted, stage.candidates))

    def is_promoted(self, stage: StageRecord) -> bool:
        """Whether the gate promoted a stage, or a candidate, itself, or a person did."""
        decision = stage.decision
        if decision is None:
            return False
        forced = self.versions.version_of_stage(self.run.name, stage.name)
        return decision["decision"] == "promote" or forced is not None

    def parent(self, stage: StageRecord) -> StageRecord | None:
        """Returns the stage, or candidate, whose weights another starts from; None for the run's start.

        It is the newest released one before it, and stays what it was when the stage began.
        """
        earlier = self.with_candidates(self.stages[: stage.index])
        if stage.rows() is not None:
            started_from = stage.data()["started_from"]
            return next((record for record in earlier if record.name == started_from), None)
        released = list(filter(self.is_promoted, earlier))
        return released[-1] if released else None

    def baseline(self, stage: StageRecord) -> StageRecord | None:
        """Returns what the gate compares a stage with: its parent, or the last released candidate of its stream."""
        before = [each for each in (stage.of or stage).candidates if stage.of is None or each.folder < stage.folder]
        released = list(filter(self.is_promoted, before))
        return released[-1] if released else self.parent(stage)

    @staticmethod
    def with_candidates(stages: Sequence[StageRecord]) -> list[StageRecord]:
        """Returns stages, each after the candidates that it has had."""
        return [record for stage in stages for record in (*stage.candidates, stage)]


def open_session(
    loaded: LoadedPlan,
    run: RunFolder,
    registry: Path,
    display: Display,
    hardware: Hardware | None = None,
    data: PlanData | None = None,
) -> Session:
    """Reads the data, builds the network and puts it at the weights the run starts from.

    Args:
        loaded: the plan, cut to the stages to run.
        run: the run's folder.
        registry: the registry's folder.
        display: where progress is shown.
        hardware: what to train on, one device in float32 by default; this and all that follows runs in its scope.
        data: the rows, where `look` has been made already.

    Raises:
        InputError: anything wrong with data, weights, or what stages ask of them.
        ProgressiveError: the run began from other weights or other data than those found now.
    """
    data = data or look(loaded, registry, display, run)
    plan = run.with_tuned_stages(loaded.plan)
    loaded = replace(loaded, plan=plan)
    hardware = hardware or prepare()
    environment_now = describe_environment(hardware)
    earlier = run.environment
    versions = Registry(registry).model(plan.name)
    start = find_start(plan, versions, earlier["start"]["version"] if earlier else None)
    statistics = statistics_of.start_statistics(data, start)
    with built_for(hardware.precision):
        network = build_network(loaded, data, statistics)
    set_precision(network, FLOAT32)  # whenever it is not being trained
    if earlier is not None:
        check_registry(run, earlier, registry)
        check_sources(run, earlier, data)
    if start is not None:
        load_start(start, network, data, plan.seed)
    start_from_prompt(network, plan, data)
    base_sha256 = weights_sha256(network.named_weights())
    if earlier is not None:
        check_base(run, earlier, base_sha256, environment_now, display)
    known_sources = earlier["sources"] if earlier else {}
    write_json(
        run.environment_file,
        (earlier or environment_now)
        | {
            "empty_rows_left_out": not run.splits_empty_rows,
            "plan_folder": str(loaded.folder.resolve()),
            "registry": str(registry.resolve()),
            "start": {"weights_sha256": base_sha256, "version": start.number if start is not None else None},
            "sources": known_sources | {name: source.sha256 for name, source in data.sources.items()},
        },
    )
    session = Session(
        run=run,
        plan=plan,
        data=data,
        network=network,
        base=read_weights(network.named_weights()),
        base_additions=network.additions(),
        base_sha256=base_sha256,
        base_labels=network.labels,
        base_statistics=statistics,
        start_version=start.number if start is not None else None,
        plan_folder=loaded.folder,
        features=Features(network, data.sources, data.classes, display, cache_folder() / "prefix"),
        versions=versions,
        whole_plan=loaded.whole,
        environment_now=environment_now,
        display=display,
    )
    check_targets(plan, data, session.features)
    session.start_depth = _check_stages(session)
    return session


def build_network(loaded: LoadedPlan, data: PlanData, statistics: ColumnStatistics | None = None) -> BlockModel:
    """Returns a plan's network, untrained or at its pretrained weights, with the classes of the first stage.

    Args:
        loaded: the plan.
        data: every row of it.
        statistics: what is known about a table's columns; None where the data is no table.
    """
    plan, known = loaded.plan, data.classes.known[0]
    first = plan.stages[0]
    request = Request(
        model=plan.model,
        labels=data.outputs[:known],
        seed=plan.seed,
        folder=loaded.folder,
        pooling=first.pooling,
        input_width=data.input_width,
        image_size=first.image_size,
        crf=first.crf,
        statistics=statistics,
    )
    network = build(request)
    network.label_tasks = tuple(data.classes.label_tasks[:known])
    return network


def prepare_for_stage(network: BlockModel, plan: Plan, data: PlanData, index: int) -> None:
    """Gives a network the classes of a stage, and the size of its images."""
    known = data.classes.known[index]
    set_classes(network, data.outputs[:known], data.classes.label_tasks[:known], plan.seed)
    network.preprocess.resize(plan.stages[index].image_size)


def _check_stages(session: Session) -> int:
    """Adapts the untrained network to one stage after the other; returns how many blocks the first leaves as they are.

    Raises:
        InputError: what a stage asks of the network or of what the stages before it leave, or a cache that cannot be
            written.
    """
    start_depth = session.adapt(0)[-1].frozen_depth
    session.load(None)
    for record in session.stages:
        if record.decision is not None and not session.is_released(record):
            continue  # later stages do not start from it
        stage = session.plan.stages[record.index]
        inherited = {weight.name for weight in session.network.named_weights()}
        moved = session.adapt(record.index)
        for phase in phases_of(session.network, stage, moved):
            session.features.check_storage(phase.moved.frozen_depth, stage.cache)
        place = f"stages[{record.index}]"
        if record.index:
            check_retention(stage, place, inherited, moved[-1])
        merge_additions(session.network)
    session.load(None)
    return start_depth


def total_weights(network: BlockModel) -> int:
    """Returns how many numbers the network has."""
    return sum(math.prod(weight.variable.shape) for weight in network.named_weights())
