"""What every stage of a run shares: data, network, start weights, features, registry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import moved_weights
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import read_json, write_json
from progressive_tf.models.block_model import BlockModel, assign_weights, read_weights
from progressive_tf.models.catalogue import BUILDERS
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.store import Registry
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.training import hardware
from progressive_tf.training.checkpoint import load_checkpoint, weights_sha256
from progressive_tf.training.display import Display
from progressive_tf.training.environment import describe_environment
from progressive_tf.training.features import Features
from progressive_tf.training.plan_data import PlanData, read_plan_data
from progressive_tf.training.run_folder import RunFolder
from progressive_tf.training.saved_model import read_exported_weights
from progressive_tf.training.stage_record import StageRecord

CACHE_FOLDER = Path("cache")


@dataclass
class Session:
    """A run in progress.

    Attributes:
        run: its folder.
        plan: the plan, cut to the stages that run.
        data: every row of the plan.
        network: the one network of the run; its weights are those of whichever stage is at work.
        base: all weights that the run starts from, by name.
        base_sha256: their hash.
        start_version: the registry version they come from, or None.
        features: prepared examples and outputs.
        versions: the plan's model in the registry.
        environment: content of environment.json.
        display: progress and remarks.
    """

    run: RunFolder
    plan: Plan
    data: PlanData
    network: BlockModel
    base: dict[str, np.ndarray]
    base_sha256: str
    start_version: int | None
    features: Features
    versions: ModelVersions
    environment: dict[str, Any]
    display: Display

    @property
    def stages(self) -> list[StageRecord]:
        """The stages' folders, in order."""
        return [
            StageRecord(index, stage.name, self.run.stage(index, stage.name))
            for index, stage in enumerate(self.plan.stages)
        ]

    def moved(self, index: int) -> MovedWeights:
        """Returns what a stage moves."""
        try:
            return moved_weights(self.network, self.plan.stages[index].adaptation)
        except InputError as error:
            raise InputError(f"stages[{index}].{error}") from None

    def load(self, stage: StageRecord | None) -> None:
        """Puts the network at a trained stage's weights, or at the run's start."""
        assign_weights(self.network.named_weights(), self.base)
        if stage is not None:
            load_checkpoint(stage.folder, self.network, self.base_sha256)

    def is_released(self, stage: StageRecord) -> bool:
        """Whether the gate promoted a stage, or a person did."""
        decision = stage.decision
        if decision is None:
            return False
        forced = self.versions.version_of_stage(self.run.name, stage.name)
        return decision["decision"] == "promote" or forced is not None

    def newest_released(self, before: int) -> StageRecord | None:
        """Returns the last released stage with an index below `before`."""
        released = [stage for stage in self.stages[:before] if self.is_released(stage)]
        return released[-1] if released else None


def open_session(loaded: LoadedPlan, run: RunFolder, registry: Path, display: Display) -> Session:
    """Reads the data, builds the network and puts it at the weights the run starts from.

    Raises:
        InputError: anything wrong with data, weights, or what stages ask of them.
        ProgressiveError: the run began from other weights or other data than those found now.
    """
    plan = loaded.plan
    data = read_plan_data(loaded, CACHE_FOLDER)
    _check_sources(run, plan, data)
    devices = hardware.prepare()
    network = BUILDERS[plan.model.builder](plan.model, data.labels, plan.stages[0].pooling, plan.seed, loaded.folder)
    versions = Registry(registry).model(plan.name)
    recorded = run.path / "environment.json"
    earlier = read_json(recorded) if recorded.exists() else None
    start_version = earlier["start"]["version"] if earlier else _start_version(plan, versions)
    if start_version is not None:
        _check_labels(versions, start_version, data.labels)
        read_exported_weights(versions.version(start_version).folder, network)
    base_sha256 = weights_sha256(network.named_weights())
    if earlier is None:
        environment = describe_environment(devices) | {
            "plan_folder": str(loaded.folder.resolve()),
            "registry": str(registry.resolve()),
            "start": {"weights_sha256": base_sha256, "version": start_version},
        }
        write_json(recorded, environment)
    else:
        environment = earlier
        _check_base(run, earlier, base_sha256, display)
    session = Session(
        run=run,
        plan=plan,
        data=data,
        network=network,
        base=read_weights(network.named_weights()),
        base_sha256=base_sha256,
        start_version=start_version,
        features=Features(network, data.sources, data.codes, display),
        versions=versions,
        environment=environment,
        display=display,
    )
    for index in range(len(plan.stages)):
        session.moved(index)
    return session


def total_weights(network: BlockModel) -> int:
    """Returns how many numbers the network has."""
    return sum(math.prod(weight.variable.shape) for weight in network.named_weights())


def _start_version(plan: Plan, versions: ModelVersions) -> int | None:
    if plan.start == "pretrained":
        return None
    if plan.start == "stable":
        stable = versions.aliases().get("stable")
        if stable is None:
            raise InputError(f"start: stable: {plan.name} has no stable version yet; set start: pretrained")
        return stable
    return versions.version(plan.start).number


def _check_labels(versions: ModelVersions, number: int, labels: tuple[str, ...]) -> None:
    manifest = versions.version(number).manifest()
    served = tuple(manifest["labels"]) if manifest else ()
    if served != labels:
        raise InputError(f"start: version {number} predicts {', '.join(served)}; this plan has {', '.join(labels)}")


def _check_sources(run: RunFolder, plan: Plan, data: PlanData) -> None:
    for index, stage in enumerate(plan.stages):
        record = StageRecord(index, stage.name, run.stage(index, stage.name))
        name = data.stage_sources[index]
        if record.rows() is not None and record.data()["source_sha256"] != data.sources[name].sha256:
            raise InputError(
                f"{run.path}: the content of {name} has changed since stage {stage.name} began; "
                f"restore it, or begin a new run with --fresh"
            )


def _check_base(run: RunFolder, earlier: dict[str, Any], base_sha256: str, display: Display) -> None:
    before = earlier["start"]["weights_sha256"]
    if before != base_sha256:
        raise ProgressiveError(
            f"{run.path}: began from weights {before[:12]}, the plan's model now has {base_sha256[:12]}; "
            f"restore the weights file and the package versions, or begin a new run with --fresh"
        )
    now = describe_environment([])
    changed = [name for name, number in now["packages"].items() if earlier["packages"].get(name) != number]
    if now["code"] != earlier["code"]:
        changed.append("progressive_tf's code")
    if changed:
        display.line(f"note: {', '.join(changed)} changed since this run began; results may differ in the last digits")
