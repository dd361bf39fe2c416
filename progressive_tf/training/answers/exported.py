"""Versions as SavedModels, which take raw inputs and need none of this package's code."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.files import read_json
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.tasks import task_of_version
from progressive_tf.registry.folder import MANIFEST_NAME
from progressive_tf.training.answers import ANSWERING
from progressive_tf.training.answers.base import DEFAULT, load_exported
from progressive_tf.training.fitting.unknown_scores import UnknownScore


def export_saved_model(
    network: BlockModel,
    folder: Path,
    others: Sequence[tuple[BlockModel, float]] = (),
    rule: AnswerRule = ALWAYS,
    unknown: UnknownScore | None = None,
) -> None:
    """Writes a SavedModel of what the network's kind of answer serves; see `ServedClassifier`, for one.

    Args:
        network: the one that training goes on from.
        folder: an empty one.
        others: earlier networks of an ensemble, each with its share.
        rule: which answers are given.
        unknown: says which inputs are unknown; None where the version does not say it.
    """
    served = ANSWERING[network.answers].exported(network, others, rule, unknown)
    try:
        tf.saved_model.save(served, str(folder), signatures={DEFAULT: served.serve, **served.alternatives})
    except tf.errors.OpError as error:
        # TensorFlow reports a full disk as an error of its own; the registry knows the system's.
        raise OSError(errno.ENOSPC if "No space" in str(error) else errno.EIO, str(error)) from error


def read_exported_weights(folder: Path, network: BlockModel) -> None:
    """Assigns the weights of an exported version to a network of the same architecture.

    Raises:
        InputError: the version is another architecture's.
    """
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    weights = network.named_weights()
    keys = [f"stored/{index}/.ATTRIBUTES/VARIABLE_VALUE" for index in range(len(weights))]
    shapes = reader.get_variable_to_shape_map()
    here = [tuple(weight.variable.shape) for weight in weights]
    there = [tuple(shapes[key]) for key in keys if key in shapes]
    extra = f"stored/{len(weights)}/.ATTRIBUTES/VARIABLE_VALUE" in shapes
    if here != there or extra:
        raise InputError(
            f"start: version {folder.name} has another architecture than the plan's model; name the model it was "
            f"trained with, or set start: pretrained"
        )
    for key, weight in zip(keys, weights, strict=True):
        weight.variable.assign(reader.get_tensor(key))


def misfit(folder: Path, network: BlockModel) -> str | None:
    """Returns why an exported version cannot answer what a network reads, or None.

    Args:
        folder: the version's.
        network: the other one.
    """
    signatures, manifest = load_exported(folder).signatures, read_json(folder / MANIFEST_NAME)
    inputs, preprocess = signatures[DEFAULT].structured_input_signature[1], network.preprocess
    theirs, own = task_of_version(manifest, inputs).answers, ANSWERING[network.answers].kind
    if theirs is not own:
        return f"answers with {theirs.name}, this plan's network with {own.name}"
    spec = next(given for name, given in inputs.items() if name != "task")
    raw, columns = preprocess.raw, _columns(manifest)
    if (spec.name, spec.shape[1:], columns) != (raw.name, raw.shape[1:], preprocess.columns):
        return f"reads {_in_words(spec, columns)}, this plan's network {_in_words(raw, preprocess.columns)}"
    if ("task" in inputs) != bool(network.tasks):
        return "has tasks, this plan has none" if "task" in inputs else "has no tasks, this plan has some"
    return None


def _columns(manifest: dict[str, Any]) -> tuple[str, ...]:
    recorded = manifest.get("preprocessing")
    return ColumnStatistics.from_json(recorded).columns.names if recorded else ()


def _in_words(raw: tf.TensorSpec, columns: Sequence[str]) -> str:
    if columns:
        return f"the columns {', '.join(columns)}"
    return f"{raw.shape[-1]} numbers" if raw.shape.rank > 1 else f"a string called {raw.name}"
