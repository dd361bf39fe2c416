"""What the stages of a plan would train, without training them, and how much work remembering was to a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.catalogue import adapt, merge_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, NamedWeight, State, named_weights
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.plan.label_changes import place_of
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Stage
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.block_table import BlockRow, StageBlocks
from progressive_tf.retention.replay import replayed_per_epoch
from progressive_tf.training import hardware
from progressive_tf.training.answers import ANSWERING
from progressive_tf.training.fitting.fit import phase_optimizer
from progressive_tf.training.fitting.phases import Phase, phases_of
from progressive_tf.training.prefix.identity import storing_pays
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.network import (
    build_network,
    load_start,
    prepare_for_stage,
    start_statistics,
    take_untrained_classes,
)
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run.start import find_start
from progressive_tf.training.stage.mixture import mixture_facts

ROWS_MEASURED = 500


def stage_blocks(loaded: LoadedPlan, registry: Path, data: PlanData | None = None) -> Iterator[StageBlocks]:
    """Yields the blocks of each stage, on top of what the stages before it leave; writes no run and no version.

    Args:
        loaded: the plan.
        registry: the registry's folder, which has the version that the plan may start from.
        data: the plan's rows, where `look` has been made already.

    Raises:
        InputError: anything wrong with data, weights, or what a stage asks of the network.
    """
    plan = loaded.plan
    data = data or look(loaded, registry)
    hardware.prepare()
    start = find_start(plan, Registry(registry).model(plan.name))
    network = build_network(loaded, data.at(0), start_statistics(data, start))
    if start is not None:
        load_start(start, network, data.at(0), plan.seed)
    for index, stage in enumerate(plan.stages):
        source, there = data.sources[data.stage_sources[index]], data.at(index)
        if index and there is not data.at(index - 1):
            take_untrained_classes(network, there.labels, place_of(index))
        prepare_for_stage(network, plan, there, index)
        rows = data.stages[index].train
        if not len(rows):  # of a stream none is known
            rows = data.slices[data.slice_of[index]].gate
        positions, target = mean_lengths(network, source, rows[:ROWS_MEASURED])
        try:
            moved = adapt(network, stage.adaptation, plan.seed)
            phases = phases_of(network, stage, moved)
        except InputError as error:
            raise InputError(f"stages[{index}].{error}") from None
        method = stage.adaptation.method if stage.objective is None else f"contrastive, {stage.adaptation.method}"
        example = network.preprocess.described(positions)
        if target:
            example += f" and a target of {network.preprocess.described(target)}"
        operations = forward_flops(network, positions, target)
        yield StageBlocks(stage.name, method, example, len(phases), _rows(network, stage, moved, phases, operations))
        merge_additions(network)


def _rows(
    network: BlockModel, stage: Stage, moved: list[MovedWeights], phases: list[Phase], operations: dict[str, int]
) -> list[BlockRow]:
    # The phases of gradual share the optimizers of the last.
    separate = phases if stage.objective is not None else phases[-1:]
    separate = separate if stage.adaptation.takes_steps else []
    optimizers = {block: named for phase in separate for block, named in _optimizers(network, stage, moved, phase)}
    groups = {group.block: group.trained for group in moved[-1].groups}
    rows = []
    for index, layer in enumerate([*network.blocks, network.head]):
        name, moving = layer.name, groups.get(layer.name, ())
        optimizer, rate = optimizers.get(name, ("", None))
        rows.append(
            BlockRow(
                name=name,
                number=network.own_blocks.index(layer) if layer in network.own_blocks else None,
                weights=_count(named_weights(layer)),
                trainable=_count(moving),
                phase=_first_phase(name, [phase.moved for phase in phases]),
                optimizer=optimizer,
                rate=rate,
                flops=operations[name],
                prefix=_prefix(network, stage, index, phases[0].moved.frozen_depth),
            )
        )
    return rows


def _optimizers(
    network: BlockModel, stage: Stage, moved: list[MovedWeights], phase: Phase
) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yields each block that moves in a phase with the name of its optimizer and the rate it starts with."""
    optimizer = phase_optimizer(network, stage, moved, phase)
    for number, group in enumerate(optimizer.groups, start=1):
        name = f"{stage.optimizer.name} {number}" if len(optimizer.groups) > 1 else stage.optimizer.name
        for block in group.blocks:
            yield block, (name, optimizer.settings.learning_rate * group.rate_scale)


def mean_lengths(network: BlockModel, source: Source, rows: np.ndarray) -> tuple[int, int]:
    """Returns the mean positions of rows, and those of the texts that are expected for them, 0 where none are."""
    positions = [len(encoded) for encoded in network.preprocess.encode(source.inputs(rows))]
    return round(float(np.mean(positions))), ANSWERING[network.answers].target_positions(network, source, rows)


def forward_flops(network: BlockModel, positions: int, target: int = 0) -> dict[str, int]:
    """Returns the floating-point operations of each block and the head for one example, as TensorFlow counts them.

    Args:
        network: whose forward pass is counted; a multiplication and an addition are two operations.
        positions: length of the example.
        target: length of the text that is expected for it; 0 where none is.
    """
    spec = network.preprocess.state_spec(1)
    state: State = {
        key: tf.ones([1, positions, *tensor_spec.shape[2:]], tensor_spec.dtype) for key, tensor_spec in spec.items()
    }
    if target:
        state[TARGET] = tf.ones([1, target], tf.int32)
    counted = {}
    for block in network.blocks:
        counted[block.name] = _operations(block, state)
        state = block(state)
    counted[network.head.name] = _operations(network.run_head, state)
    return counted


def _operations(layer: Callable[[State], Any], state: State) -> int:
    spec = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in state.items()}
    graph = tf.function(layer, autograph=False).get_concrete_function(spec).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    return int(tf.compat.v1.profiler.profile(graph, options=options.build()).total_float_ops)


def _count(weights: list[NamedWeight] | tuple[NamedWeight, ...]) -> int:
    return sum(math.prod(weight.variable.shape) for weight in weights)


def _first_phase(block: str, moved: list[MovedWeights]) -> int | None:
    moving = (number for number, step in enumerate(moved, 1) if any(group.block == block for group in step.groups))
    return next(moving, None)


def _prefix(network: BlockModel, stage: Stage, index: int, frozen_depth: int) -> str:
    if index >= frozen_depth:
        return ""
    if index >= network.deepest_cut:
        return "computed"
    stored = stage.cache.storage == "disk" and stage.augmentation is None and storing_pays(network, frozen_depth)
    return "cached" if stored else "computed"


Facts = dict[str, dict[str, Any]]  # by method
TRAINING_PASS = 3  # forward passes that training on an example costs


def retention_costs(run: Run, stage: StageRecord, facts: Facts, epochs: int | None, depth: int) -> Facts:
    """Returns what each method of retention that a stage used cost, with its operations; none where none was used.

    They are floating-point operations beyond training without the method. A backward pass counts as two forward passes.
    Those that touch every weight or output once, such as the penalties of a loss, are left out: they are few beside a
    pass.

    Args:
        run: the run; its network is put at the stage.
        stage: the stage.
        facts: what is known of each method, without that of mixtures.
        epochs: finished ones; None where operations cannot be counted, as of a stream, whose rows are gone.
        depth: leading blocks that did not move, whose outputs are kept.
    """
    mixed = mixture_facts(stage)
    facts = facts | ({} if mixed is None else {"average": mixed})
    rows, settings = stage.rows(), run.settings(stage)
    if not facts:
        return {}
    run.load(stage)
    if epochs is None or rows is None:
        return {name: of_method | {"flops": None} for name, of_method in facts.items()}
    forward, count = _forward_of_moving_blocks(run, stage, rows[0], depth), len(rows[0])
    return {
        name: of_method | {"flops": _flops(name, of_method, settings, (forward, count, epochs))}
        for name, of_method in facts.items()
    }


def _flops(name: str, facts: dict[str, Any], settings: Stage, work: tuple[int, int, int]) -> int | None:
    retention, (forward, rows, epochs) = settings.retention, work
    if name == "replay" and retention.replay is not None and isinstance(settings.batch_size, int):
        share = retention.replay.share(rows, facts["rows"])
        drawn = replayed_per_epoch(rows, settings.batch_size, share) if facts["rows"] else 0
        return TRAINING_PASS * forward * drawn * epochs
    if name == "ewc":
        return forward * (facts["rows"] + TRAINING_PASS * facts["gradients"])
    if name == "lwf":
        return forward * facts["rows"]
    if name == "average" and facts["kind"] == "ensemble":  # shares are of answers: each network gives its own once
        return forward * facts["rows"] * (len(facts["stages"]) + 1)
    if name == "average":
        return forward * facts["rows"] * len(facts["tried"])
    return None  # a teacher may be any network


def _forward_of_moving_blocks(run: Run, stage: StageRecord, rows: np.ndarray, depth: int) -> int:
    source = run.data.sources[run.source_of(stage)]
    operations = forward_flops(run.network, *mean_lengths(run.network, source, rows))
    kept = {block.name for block in run.network.blocks[:depth]}
    return sum(count for name, count in operations.items() if name not in kept)
