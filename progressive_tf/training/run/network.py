"""The network of a run, at what the run starts from: random weights, pretrained ones, a version, descriptions.

What its preprocessing knows of a table's columns is found here too, for the start and for each stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import restore_additions
from progressive_tf.data.plan_data import PlanData
from progressive_tf.errors import InputError, listed
from progressive_tf.models.block_model import BlockModel, replace_classes, set_classes, weights_sha256
from progressive_tf.models.catalogue import build
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics, measure_columns
from progressive_tf.models.request import Request
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.methods import descriptions_of
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.version import Version
from progressive_tf.training.answers.exported import read_exported_weights
from progressive_tf.training.run.changed_head import changed_head


def load_start(version: Version, network: BlockModel, data: PlanData, seed: int) -> None:
    """Puts a network at a version's weights.

    Args:
        version: as `find_start` gives it.
        network: changed in place.
        data: says which classes there are.
        seed: the plan's.

    Raises:
        InputError: the version is another network's.
    """
    number, manifest, changed = version.number, version.manifest(), data.classes.changed
    served = tuple(manifest["labels"]) if manifest else ()
    here = data.outputs if changed is None else changed.before
    other_kind = bool(served) != bool(here)
    if other_kind or served != here[: len(served)] or (served != here and not data.classes.grow):
        theirs, own = (listed(labels) or "texts, no classes" for labels in (served, here))
        apart = next((pair for pair in zip(served, here, strict=False) if pair[0] != pair[1]), None)
        first = f"; the first that differ are {apart[0]!r} and {apart[1]!r}" if apart else ""
        way = "" if other_kind else ". What became of its labels since, stages[0].labels can say"
        raise InputError(f"start: version {number} predicts {theirs}; the plan has {own}{first}{way}")
    if changed is None:
        set_classes(network, served, data.classes.label_tasks[: len(served)], seed)
    elif network.has_linear_head:
        replace_classes(network, served, *_untrained(network, len(served)))
    else:
        raise InputError(
            f"stages[0].labels: changes the columns of one dense layer, and the head of this network is another one "
            f"({type(network.head).__name__}); set start: pretrained, and drop it"
        )
    try:
        restore_additions(network, (manifest or {}).get("additions", []))
    except ValueError as error:
        raise InputError(f"start: version {number} is of another network than this plan's model: {error}") from None
    read_exported_weights(version.folder, network)
    if weights_sha256(network.named_weights()) != version.weights_sha256:
        raise InputError(
            f"start: version {number} was trained with another model section than this plan's; use the same"
        )
    if changed is not None:
        kernel, bias = network.head.dense.get_weights()
        name = data.stage_sources[0]
        read = partial(read_rows, network, data, name, np.sort(data.parts[name].pool))
        columns = changed_head(kernel, bias, changed, read)
        replace_classes(network, changed.after[: changed.known], *columns)


def take_untrained_classes(network: BlockModel, labels: Sequence[str], place: str) -> None:
    """Gives a network other classes in place of those it has, with weights that say nothing.

    Args:
        network: changed in place.
        labels: class names in the order of the logits.
        place: of the plan's section that changes them.

    Raises:
        InputError: the head of the network is not one dense layer.
    """
    if not network.has_linear_head:
        raise InputError(
            f"{place}: changes the columns of one dense layer, and the head of this network is another one "
            f"({type(network.head).__name__}); drop it"
        )
    replace_classes(network, labels, *_untrained(network, len(labels)))


def _untrained(network: BlockModel, classes: int) -> tuple[np.ndarray, np.ndarray]:
    width = network.head.dense.kernel.shape[0]
    return np.zeros((width, classes), np.float32), np.zeros(classes, np.float32)


def read_rows(network: BlockModel, data: PlanData, name: str, pool: np.ndarray, merged: Sequence[str]) -> np.ndarray:
    """Returns what the head reads of some rows of merged classes, and of some others, float32 [rows, width].

    Args:
        network: at the weights that read them.
        data: every row of the plan.
        name: of the source.
        pool: int64, the rows to choose among.
        merged: the classes.
    """
    of_merged = np.isin(data.codes[name][pool], [data.labels.index(label) for label in merged])
    rows = np.concatenate([pool[of_merged][:MOST_TEXTS], pool[~of_merged][:MOST_TEXTS]])
    return embeddings(network, data.sources[name].inputs(rows))


def start_statistics(data: PlanData, version: Version | None) -> ColumnStatistics | None:
    """Returns the statistics that a run starts with: a version's, or those of the first stage's training rows.

    Args:
        data: every row of the plan.
        version: what the run starts from; None for random weights.

    Returns:
        None where the data is no table.

    Raises:
        InputError: the rows say nothing about a column, or the version reads other columns.
    """
    if data.columns is None:
        return None
    if version is None:
        notations = next(iter(data.sources.values())).notations  # of the plan's own source, as callers will write
        try:
            return measure_columns(data.columns, data.training_cells(0), notations=notations)
        except InputError as error:
            raise InputError(f"stages[0].data: {error}") from None
    recorded = (version.manifest() or {}).get("preprocessing")
    statistics = ColumnStatistics.from_json(recorded) if recorded else None
    if statistics is None or statistics.columns != data.columns:
        theirs = listed(statistics.columns.names) if statistics is not None else "none"
        raise InputError(
            f"start: version {version.number} reads other columns ({theirs}), or as something else, than this plan "
            f"({listed(data.columns.names)}); name the version's in data.features, or set start: pretrained"
        )
    return statistics


def recorded_statistics(content: Mapping[str, Any], data: PlanData, folder: Path) -> ColumnStatistics:
    """Returns the statistics that a stage began with.

    Args:
        content: of its preprocessing.json.
        data: every row of the plan.
        folder: the stage's.

    Raises:
        InputError: columns are read otherwise now.
    """
    statistics = ColumnStatistics.from_json(content)
    if statistics.columns != data.columns:
        raise InputError(
            f"{folder}: the stage began with other columns ({listed(statistics.columns.names)}), or as something else, "
            f"than are read now; go on with the release that began the run, or begin a new one with --fresh (name the "
            f"columns in data.features to have it read the same)"
        )
    return statistics


def stage_statistics(inherited: ColumnStatistics, data: PlanData, index: int) -> ColumnStatistics:
    """Returns the statistics of a stage that reads its numbers anew.

    Args:
        inherited: those of the stage that it starts from.
        data: every row of the plan.
        index: the stage's.

    Raises:
        InputError: its rows do not allow it.
    """
    try:
        return inherited.readapted(data.training_cells(index))
    except InputError as error:
        raise InputError(f"stages[{index}].readapt: {error}") from None


def use_statistics(network: BlockModel, statistics: ColumnStatistics | None) -> None:
    """Makes a network read a table's columns by these statistics; None where it reads no table."""
    if statistics is not None:
        network.preprocess.use_statistics(statistics)


def build_network(loaded: LoadedPlan, data: PlanData, statistics: ColumnStatistics | None = None) -> BlockModel:
    """Returns a plan's network, untrained or at its pretrained weights, with the classes of the first stage.

    Args:
        loaded: the plan.
        data: every row of it.
        statistics: what is known about a table's columns; None where the data is no table.

    Raises:
        InputError: the network gives another kind of answer than the plan's task asks for.
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
    network, wanted = build(request), plan.kind.answers.name
    if network.answers != wanted:
        raise InputError(
            f"model.builder: {plan.model.builder}: its network answers with {network.answers}; "
            f"{plan.task} asks for {wanted}"
        )
    network.label_tasks = tuple(data.classes.label_tasks[:known])
    return network


def prepare_for_stage(network: BlockModel, plan: Plan, data: PlanData, index: int) -> None:
    """Gives a network the classes of a stage, and the size of its images."""
    known = data.classes.known[index]
    set_classes(network, data.outputs[:known], data.classes.label_tasks[:known], plan.seed)
    network.preprocess.resize(plan.stages[index].image_size)


# Sentence encoders are trained with their cosine similarity times this (Reimers and Gurevych 2019,
# MultipleNegativesRankingLoss of sentence-transformers).
SCALE = 20.0
MOST_TEXTS, BATCH = 256, 32


def start_from_prompt(network: BlockModel, plan: Plan, data: PlanData) -> None:
    """Puts the head of a network where descriptions of the classes say, if the plan starts so.

    Training texts of the first stage's source, without their labels, say where the encoder's outputs lie on average.

    Args:
        network: changed in place.
        plan: says which descriptions.
        data: its texts and classes.

    Raises:
        InputError: descriptions that are not those of the classes, or a network that has no such head.
    """
    try:
        descriptions = descriptions_of(plan.start, data.labels)
    except ValueError as error:
        raise InputError(str(error)) from None
    if descriptions is None:
        return
    if not isinstance(network.head, ClassificationHead):
        raise InputError(f"start: prompt needs the head of builder bert; {plan.model.builder} has another")
    name = data.stage_sources[0]
    texts = data.sources[name].texts(data.parts[name].pool[:MOST_TEXTS])
    of_classes = [embeddings(network, class_texts).mean(axis=0) for class_texts in descriptions.values()]
    kernel, bias = prompt_head(np.stack(of_classes), embeddings(network, texts))
    network.head.dense.kernel.assign(kernel)
    network.head.dense.bias.assign(bias)


def prompt_head(classes: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of a linear head whose logits are cosine similarities times 20.

    Both sides are centred, since the outputs of an encoder lie in a narrow cone (Ethayarajh 2019): a text's embedding h
    on the texts' mean, a class's on the classes'. With unit vectors cᵢ of the classes and r, the mean length of centred
    texts, which stands for each one's own so that the head stays linear,

        logitᵢ = 20 · cᵢ · (h − mean h) / r.

    Args:
        classes: embeddings, float32 [classes, width].
        texts: embeddings, float32 [texts, width].

    Returns:
        float32 [width, classes] and [classes].
    """
    centre = texts.mean(axis=0)
    length = np.linalg.norm(texts - centre, axis=1).mean()
    apart = classes - classes.mean(axis=0)
    units = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)
    kernel = (SCALE / max(float(length), 1e-12)) * units.T
    return kernel.astype(np.float32), -(centre @ kernel).astype(np.float32)


def embeddings(network: BlockModel, raw: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Returns what the dense layer of the head reads of each input, as a source gives it, float32 [inputs, width]."""
    parts = []
    for begin in range(0, len(raw), BATCH):
        state = network.preprocess(network.preprocess.tensor(raw[begin : begin + BATCH]))
        state = network.run_blocks(state, 0, len(network.blocks))
        parts.append(network.head.pooled(network.without_added_positions(state)).numpy())
    return np.concatenate(parts).astype(np.float32)
