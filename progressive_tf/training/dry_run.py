"""What the stages of a plan would train, without training them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.catalogue import adapt, merge_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, NamedWeight, State, named_weights
from progressive_tf.models.catalogue import BUILDERS
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Stage
from progressive_tf.reporting.block_table import BlockRow, StageBlocks
from progressive_tf.training import hardware
from progressive_tf.training.fit import stage_optimizer
from progressive_tf.training.phases import phases_of
from progressive_tf.training.plan_data import read_plan_data
from progressive_tf.training.prefix.identity import storing_pays
from progressive_tf.training.session import CACHE_FOLDER

TEXTS_MEASURED = 500


def stage_blocks(loaded: LoadedPlan) -> Iterator[StageBlocks]:
    """Yields the blocks of each stage, on top of what the stages before it leave; writes no run and no version.

    Raises:
        InputError: anything wrong with data, weights, or what a stage asks of the network.
    """
    plan = loaded.plan
    data = read_plan_data(loaded, CACHE_FOLDER)
    hardware.prepare()
    network = BUILDERS[plan.model.builder](plan.model, data.labels, plan.stages[0].pooling, plan.seed, loaded.folder)
    for index, stage in enumerate(plan.stages):
        source = data.sources[data.stage_sources[index]]
        texts = source.texts(data.stages[index].train[:TEXTS_MEASURED])
        tokens = round(float(np.mean([len(ids) for ids in network.preprocess.token_ids(texts)])))
        try:
            moved = adapt(network, stage.adaptation, plan.seed)
            phases_of(stage, moved)
        except InputError as error:
            raise InputError(f"stages[{index}].{error}") from None
        rows = _rows(network, stage, moved, tokens)
        yield StageBlocks(stage.name, stage.adaptation.method, tokens, len(moved), rows)
        merge_additions(network)


def _rows(network: BlockModel, stage: Stage, moved: list[MovedWeights], tokens: int) -> list[BlockRow]:
    updates = stage_optimizer(network, stage, moved)
    numbered = len(updates.groups) > 1
    optimizers = {
        block: (f"{stage.optimizer.name} {number}" if numbered else stage.optimizer.name, group.rate_scale)
        for number, group in enumerate(updates.groups, start=1)
        for block in group.blocks
    }
    groups = {group.block: group.weights for group in moved[-1].groups}
    operations = forward_flops(network, tokens)
    rows = []
    for index, layer in enumerate([*network.blocks, network.head]):
        name, moving = layer.name, groups.get(layer.name, ())
        optimizer, scale = optimizers.get(name, ("", None))
        rows.append(
            BlockRow(
                name=name,
                weights=_count(named_weights(layer)),
                trainable=_count(moving),
                phase=_first_phase(name, moved),
                optimizer=optimizer,
                rate=None if scale is None else stage.optimizer.learning_rate * scale,
                flops=operations[name],
                prefix=_prefix(network, stage, index, moved[0].frozen_depth),
            )
        )
    return rows


def forward_flops(network: BlockModel, tokens: int) -> dict[str, int]:
    """Returns the floating-point operations of each block and the head for one example, as TensorFlow counts them.

    Args:
        network: whose forward pass is counted; a multiplication and an addition are two operations.
        tokens: length of the example.
    """
    state: State = {"input_ids": tf.zeros([1, tokens], tf.int32), "mask": tf.ones([1, tokens])}
    counted = {}
    for block in network.blocks:
        counted[block.name] = _operations(lambda given, block=block: block(given), state)
        state = block(state)
    counted[network.head.name] = _operations(network.run_head, state)
    return counted


def _operations(layer: Callable[[State], Any], state: State) -> int:
    spec = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in state.items()}
    graph = tf.function(layer).get_concrete_function(spec).graph
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
    stored = stage.cache.storage == "disk" and storing_pays(network, frozen_depth)
    return "cached" if stored else "computed"
