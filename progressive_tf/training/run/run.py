"""A run: what all of its stages share, and the weights that its network is at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import adapt, merge_additions, restore_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.class_space import UNKNOWN
from progressive_tf.data.plan_data import PlanData
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import cache_folder, write_json
from progressive_tf.models.block_model import BlockModel, assign_weights, read_weights, set_classes, weights_sha256
from progressive_tf.models.precision import FLOAT32, built_for, set_precision
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.label_changes import PLACE, place_of
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.registry.store import Registry
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.features import Features
from progressive_tf.training.environment import describe_environment
from progressive_tf.training.fitting.checkpoint import checkpoint_facts, load_checkpoint
from progressive_tf.training.fitting.phases import phases_of
from progressive_tf.training.hardware import Hardware, prepare
from progressive_tf.training.run.checks import (
    check_base,
    check_head,
    check_registry,
    check_retention,
    check_sources,
    check_unknown_inputs,
)
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.label_views import LabelViews, take_changed_head
from progressive_tf.training.run.network import (
    build_network,
    load_start,
    prepare_for_stage,
    recorded_statistics,
    stage_statistics,
    start_from_prompt,
    start_statistics,
    take_untrained_classes,
    use_statistics,
)
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.run.start import find_start


@dataclass(frozen=True)
class Start:
    """What a run's first stage starts from.

    Attributes:
        weights: all of the network's, by name.
        additions: what methods have added to the network then.
        sha256: the hash of the weights.
        labels: the classes that the network has then.
        statistics: what is known about a table's columns then; None where the data is no table.
        version: the registry version they come from, or None.
        depth: leading blocks that the first stage leaves as they are.
    """

    weights: dict[str, np.ndarray] = field(repr=False)
    additions: list[dict[str, Any]]
    sha256: str
    labels: tuple[str, ...]
    statistics: ColumnStatistics | None
    version: int | None
    depth: int = 0


@dataclass(frozen=True)
class Run:
    """A run: what all of its stages share.

    Its network has the weights of whichever stage is at work: `load` and `adapt` are what changes them, besides what
    an `Attempt` trains.

    Attributes:
        folder: where it stands.
        loaded: the plan, cut to the stages that run.
        data: every row of the plan.
        start: what the first stage starts from.
        features: prepared examples and outputs of the one network of the run.
        versions: the plan's model in the registry.
        environment: code, packages and devices of this process.
        display: progress and remarks.
        releases: whether promoted stages become versions.
        views: the rows in the words of each list of labels; None where all stages have one list.
        number: in the words of which of them the run is.
    """

    folder: RunFolder
    loaded: LoadedPlan
    data: PlanData
    start: Start
    features: Features
    versions: ModelVersions
    environment: dict[str, Any]
    display: Display
    releases: bool = True
    views: LabelViews | None = None
    number: int = 0

    def at(self, stage: StageRecord | None) -> Run:
        """Returns the run in the words of a stage; of the run's start, in those of the first stage.

        Its rows and features are in these words, and `load` puts its network, whichever stage it loads, at classes of
        that list.
        """
        if self.views is None:
            return self
        number = self.list_of(stage)
        return replace(self, data=self.views.data[number], features=self.views.features[number], number=number)

    def list_of(self, stage: StageRecord | None) -> int:
        """Returns the number of the list of labels that a stage has, or the run's start."""
        return 0 if self.views is None or stage is None else self.views.lists.number_of(stage.index)

    def with_list_of(self, stage: StageRecord) -> Run:
        """Returns the run in the words of a stage; where these are others its network has their classes, untrained.

        Raises:
            InputError: the head of the network is not one dense layer.
        """
        there = self.at(stage)
        if there.number != self.number:
            place = place_of(there.views.lists.lists[there.number].begins) if there.views is not None else PLACE
            take_untrained_classes(self.network, there.data.labels, place)
        return there

    def changed_since(self, stage: StageRecord | None) -> LabelMap | None:
        """Returns the map from the labels of a stage, or of the run's start, to those that the run is in the words of;
        None where both have one list.
        """
        number = self.list_of(stage)
        if self.views is None or number == self.number:
            return None
        changed = self.views.lists.between(number, self.number)
        return changed.of_first(len(self.start.labels)) if stage is None else changed

    def rows(self, stage: StageRecord) -> Rows | None:
        """Returns the rows that a stage settled on, without those of classes that are no more in the run's words; None
        before it has.
        """
        settled = stage.rows()
        if settled is None or self.list_of(stage) == self.number:
            return settled
        codes = self.data.codes[self.source_of(stage)]
        train, validation = (rows[codes[rows] != UNKNOWN] for rows in settled)
        return train, validation

    @property
    def plan(self) -> Plan:
        """The plan, cut to the stages that run."""
        return self.loaded.plan

    @property
    def network(self) -> BlockModel:
        """The one network of the run."""
        return self.features.network

    def settings(self, stage: StageRecord) -> Stage:
        """Returns the plan's section of a stage."""
        return self.plan.stages[stage.index]

    def source_of(self, stage: StageRecord) -> str:
        """Returns the name of the source that a stage's rows stand in."""
        return self.data.stage_sources[stage.index]

    def with_plan(self, plan: Plan) -> Run:
        """Returns the run with other values in its plan, for the same stages."""
        return replace(self, loaded=replace(self.loaded, plan=plan))

    def with_network(self, network: BlockModel) -> Run:
        """Returns the run with another network of the same architecture beside its own."""
        folder = cache_folder() / "prefix"
        return replace(self, features=Features(network, self.data.sources, self.data.classes, self.display, folder))

    @contextmanager
    def shown_by(self, display: Display) -> Iterator[Run]:
        """Yields the run with another place for its progress and remarks, for as long as the block runs."""
        every = (self.features,) if self.views is None else self.views.features
        for features in every:
            features.display = display
        try:
            yield replace(self, display=display)
        finally:
            for features in every:
                features.display = self.display

    @property
    def stages(self) -> list[StageRecord]:
        """The stages' folders, in order."""
        return [
            StageRecord(index, stage.name, self.folder.stage(index, stage.name))
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
            check_head(stage, self.network)
            moved = adapt(self.network, stage.adaptation, derive_seed(self.plan.seed, "adaptation", stage.name))
            phases_of(self.network, stage, moved)
        except InputError as error:
            raise InputError(f"stages[{index}].{error}") from None
        return moved

    def load(self, stage: StageRecord | None) -> str:
        """Puts the network at a trained stage's weights, or at the run's start; returns the hash of all weights.

        Where the labels have changed since, its head is changed to those that the run is in the words of, one list
        after the other; classes that came with one of them have no output yet.
        """
        number = self.list_of(stage)
        if self.views is not None and number != self.number:
            base_sha256 = self.at(stage).load(stage)
            for later in range(number + 1, self.number + 1):
                base_sha256 = self._changed(self.views, later, base_sha256)
            return base_sha256
        if stage is None:
            if self.views is not None and self.network.labels[: len(self.start.labels)] != self.start.labels:
                take_untrained_classes(self.network, self.start.labels, PLACE)
            set_classes(
                self.network, self.start.labels, self.data.classes.label_tasks[: len(self.start.labels)], self.plan.seed
            )
            self.network.preprocess.resize(self.plan.stages[0].image_size)
            use_statistics(self.network, self.start.statistics)
            self.network.remove_additions()
            restore_additions(self.network, self.start.additions)
            assign_weights(self.network.named_weights(), self.start.weights)
            return self.start.sha256
        started_here = checkpoint_facts(stage.folder).base_sha256 == self.start.sha256
        base_sha256 = self.load(None if started_here else self.parent(stage))
        self._prepare(stage)
        return load_checkpoint(stage.folder, self.network, base_sha256)

    def _changed(self, views: LabelViews, number: int, base_sha256: str) -> str:
        """Changes the head of the network from one list to the next; returns the hash of all weights then."""
        one = views.lists.lists[number]
        folder = self.folder.stage(one.begins, self.plan.stages[one.begins].name)
        kept = folder / "heads" / f"{base_sha256[:16]}.safetensors"
        changed = views.lists.between(number - 1, number).of_first(len(self.network.labels))
        take_changed_head(self.network, views.data[number], one.begins, changed, kept)
        return weights_sha256(self.network.named_weights())

    def statistics(self, stage: StageRecord | None) -> ColumnStatistics | None:
        """Returns what a stage's preprocessing knows about a table's columns; None where the data is no table.

        Raises:
            InputError: the stage is to read them anew from rows that do not allow it.
        """
        if stage is None or self.start.statistics is None:
            return self.start.statistics
        if stage.statistics is not None:
            return recorded_statistics(stage.statistics, self.data, stage.folder)
        inherited = self.statistics(self.parent(stage))
        if inherited is None or not self.plan.stages[stage.index].readapt:
            return inherited
        return stage_statistics(inherited, self.data, stage.index)

    def _prepare(self, stage: StageRecord) -> None:
        prepare_for_stage(self.network, self.plan, self.data, stage.index)
        use_statistics(self.network, self.statistics(stage))

    def known(self, stage: StageRecord | None) -> int:
        """Returns how many of the classes the network has outputs for after a stage; for the run's start, then."""
        changed = self.changed_since(stage)
        if changed is not None:
            return changed.known
        return len(self.start.labels) if stage is None else self.data.classes.known[stage.index]

    def frozen_depth(self, stage: StageRecord | None) -> int:
        """Returns how many leading blocks a trained stage left as they were; for the run's start, its first stage."""
        return self.start.depth if stage is None else checkpoint_facts(stage.folder).frozen_depth

    def is_released(self, stage: StageRecord) -> bool:
        """Whether the gate promoted a stage, or a person did; of one that learns from a stream, any candidate of it."""
        return self.is_promoted(stage) or any(map(self.is_promoted, stage.candidates))

    def is_promoted(self, stage: StageRecord) -> bool:
        """Whether the gate promoted a stage, or a candidate, itself, or a person did."""
        decision = stage.decision
        if decision is None:
            return False
        forced = self.versions.version_of_stage(self.folder.name, stage.name)
        return decision.promoted or forced is not None

    def released_until(self, parent: StageRecord | None) -> list[StageRecord]:
        """Returns the released stages up to the one that a stage starts from; none for the run's start."""
        return [] if parent is None else list(filter(self.is_released, self.stages[: parent.index + 1]))

    def parent(self, stage: StageRecord) -> StageRecord | None:
        """Returns the stage, or candidate, whose weights another starts from; None for the run's start.

        It is the newest released one before it, and stays what it was when the stage began.
        """
        earlier = self.with_candidates(self.stages[: stage.index])
        if stage.rows() is not None:
            started_from = stage.data().started_from
            return next((record for record in earlier if record.name == started_from), None)
        released = list(filter(self.is_promoted, earlier))
        return released[-1] if released else None

    def baseline(self, stage: StageRecord) -> StageRecord | None:
        """Returns what the gate compares a stage with: its parent, or the last released candidate of its stream."""
        before = [
            candidate
            for candidate in (stage.of or stage).candidates
            if stage.of is None or candidate.folder < stage.folder
        ]
        released = list(filter(self.is_promoted, before))
        return released[-1] if released else self.parent(stage)

    @staticmethod
    def with_candidates(stages: Sequence[StageRecord]) -> list[StageRecord]:
        """Returns stages, each after the candidates that it has had."""
        return [record for stage in stages for record in (*stage.candidates, stage)]


def load_run(
    loaded: LoadedPlan,
    folder: RunFolder,
    registry: Path,
    display: Display,
    hardware: Hardware | None = None,
    data: PlanData | None = None,
) -> Run:
    """Reads the data, builds the network and puts it at the weights the run starts from.

    Args:
        loaded: the plan, cut to the stages to run.
        folder: the run's.
        registry: the registry's folder.
        display: where progress is shown.
        hardware: what to train on, one device in float32 by default; this and all that follows runs in its scope.
        data: the plan's rows, where `look` has been made already.

    Raises:
        InputError: anything wrong with data, weights, or what stages ask of them.
        ProgressiveError: the run began from other weights or other data than those found now.
    """
    data = data or look(loaded, registry, display, folder)
    plan = folder.with_tuned_stages(loaded.plan)
    loaded = replace(loaded, plan=plan)
    hardware = hardware or prepare()
    environment = describe_environment(hardware)
    earlier = folder.environment
    versions = Registry(registry).model(plan.name)
    version = find_start(plan, versions, earlier["start"]["version"] if earlier else None)
    statistics = start_statistics(data, version)
    with built_for(hardware.precision):
        network = build_network(loaded, data.at(0), statistics)
    set_precision(network, FLOAT32)  # whenever it is not being trained
    check_unknown_inputs(plan, data, network)
    if earlier is not None:
        check_registry(folder, earlier, registry)
        check_sources(folder, earlier, data)
    if version is not None:
        load_start(version, network, data.at(0), plan.seed)
    start_from_prompt(network, plan, data.at(0))
    start = Start(
        weights=read_weights(network.named_weights()),
        additions=network.additions(),
        sha256=weights_sha256(network.named_weights()),
        labels=network.labels,
        statistics=statistics,
        version=version.number if version is not None else None,
    )
    if earlier is not None:
        check_base(folder, earlier, start.sha256, environment, display)
    known_sources = earlier["sources"] if earlier else {}
    write_json(
        folder.environment_file,
        (earlier or environment)
        | {
            "empty_rows_left_out": not folder.splits_empty_rows,
            "gate_rows_of_each_class": folder.as_it_was_split(loaded) == loaded,
            "plan_folder": str(loaded.folder.resolve()),
            "registry": str(registry.resolve()),
            "start": {"weights_sha256": start.sha256, "version": start.version},
            "sources": known_sources | {name: source.sha256 for name, source in data.sources.items()},
        }
        | ({} if data.labels_file is None else {"labels_file": data.labels_file.to_json()}),
    )

    def features_of(rows: PlanData) -> Features:
        return Features(network, rows.sources, rows.classes, display, cache_folder() / "prefix")

    every = tuple(map(features_of, data.views or (data,)))
    views = None if data.lists is None else LabelViews(data.lists, data.views, every)
    number = len(every) - 1
    run = Run(folder, loaded, data, start, every[-1], versions, environment, display, views=views, number=number)
    features = every[-1]
    features.answering.check(plan, data)
    return replace(run, start=replace(start, depth=_check_stages(run)))


def _check_stages(run: Run) -> int:
    """Adapts the untrained network to one stage after the other; returns how many blocks the first leaves as they are.

    Raises:
        InputError: what a stage asks of the network or of what the stages before it leave, or a cache that cannot be
            written.
    """
    run = run.at(None)
    start_depth = run.adapt(0)[-1].frozen_depth
    run.load(None)
    for record in run.stages:
        run = run.with_list_of(record)
        if record.decision is not None and not run.is_released(record):
            continue  # later stages do not start from it
        stage = run.settings(record)
        inherited = {weight.name for weight in run.network.named_weights()}
        moved = run.adapt(record.index)
        for phase in phases_of(run.network, stage, moved):
            run.features.check_storage(phase.moved.frozen_depth, stage.cache)
        place = f"stages[{record.index}]"
        if record.index:
            check_retention(stage, place, inherited, moved[-1])
        merge_additions(run.network)
    run.at(None).load(None)
    return start_depth
