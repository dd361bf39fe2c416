"""The network as a SavedModel that takes raw inputs and needs none of this package's code."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.files import read_json
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.preprocessing.base import Preprocessing
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.models.preprocessing.words import SentencePreprocessing
from progressive_tf.models.preprocessing.written import TextToTextPreprocessing
from progressive_tf.models.t5.translator import Translator
from progressive_tf.training.answers.exported import load_exported
from progressive_tf.training.answers.served_tags import TOKENS, ServedTagger
from progressive_tf.training.answers.texts import GENERATE, ServedTranslator

DEFAULT = "serving_default"


class Served(tf.Module):
    """Raw inputs → class probabilities and the most probable label, and how much of the input was read.

    Args:
        network: the one that training goes on from.
        others: earlier ones whose probabilities are added, each with its share; the rest is the network's.
    """

    def __init__(self, network: BlockModel, others: Sequence[tuple[BlockModel, float]] = ()) -> None:
        super().__init__()
        # The variables alone are tracked: saving the Keras layers too would trace every one of them.
        self.stored = [weight.variable for weight in network.named_weights()]
        self.others = [weight.variable for other, _ in others for weight in other.named_weights()]
        every = [network, *(other for other, _ in others)]
        self.resources = [resource for each in every for resource in each.preprocess.resources]
        labels, spec = tf.constant(_served_labels(network)), network.preprocess.raw

        # A function of its own, so that all signatures share one graph of the network.
        own = tf.function(lambda state: _probabilities(network, state), autograph=False)

        def answer(raw: Any, form: str = DEFAULT, further: State | None = None) -> dict[str, tf.Tensor]:
            state, read = network.preprocess.read(raw, form)
            probabilities = own(state | (further or {}))
            if others:
                probabilities *= 1 - sum(share for _, share in others)
            for other, share in others:
                same = other.preprocess.settings == network.preprocess.settings
                new = len(network.labels) - len(other.labels)
                theirs = _probabilities(other, state if same else other.preprocess.read(raw, form)[0])
                probabilities += share * tf.pad(theirs, [[0, 0], [0, new]])
            label = tf.gather(labels, tf.argmax(probabilities, axis=1))
            return {"probabilities": probabilities, "label": label, **read}

        @tf.function(input_signature=[spec], autograph=False)
        def serve(raw: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(raw)

        @tf.function(input_signature=[spec, tf.TensorSpec([None], tf.string, name="task")], autograph=False)
        def serve_task(raw: tf.Tensor, task: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(raw, further={"task": _task_index(network.tasks, task)})

        def serving(form: str, spec: Any) -> Any:
            return tf.function(lambda raw: answer(raw, form), input_signature=[spec], autograph=False)

        self.serve = serve_task if network.tasks else serve
        alternatives = {} if network.tasks else network.preprocess.alternatives
        self.alternatives = {form: serving(form, spec) for form, (spec, _) in alternatives.items()}


def _probabilities(network: BlockModel, state: State) -> tf.Tensor:
    return tf.nn.softmax(network.possible(network(state, training=False), state))


def _served_labels(network: BlockModel) -> list[str]:
    """Returns what callers get as `label`: a class without the name of its task, which they have given."""
    if not network.tasks:
        return list(network.labels)
    return [label.removeprefix(f"{task}/") for label, task in zip(network.labels, network.label_tasks, strict=True)]


def _task_index(tasks: Sequence[str], names: tf.Tensor) -> tf.Tensor:
    """Returns the index of each name, int32 [batch]; a name that no task has is an error of the request."""
    same = names[:, tf.newaxis] == tf.constant(tasks)
    known = tf.debugging.Assert(
        tf.reduce_all(tf.reduce_any(same, axis=1)), [f"task: one of {', '.join(tasks)} expected; got", names]
    )
    with tf.control_dependencies([known]):
        return tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32)


def export_saved_model(network: BlockModel, folder: Path, others: Sequence[tuple[BlockModel, float]] = ()) -> None:
    """Writes a SavedModel with the signature raw inputs [batch] → `probabilities`, `label`, counts of what is read.

    A tagger's gives spans, a translator's texts.

    A network with tasks also takes each input's `task`, string [batch].

    Args:
        network: the one that training goes on from.
        folder: an empty one.
        others: earlier networks of an ensemble, each with its share.
    """
    served: ServedTagger | ServedTranslator | Served
    if isinstance(network, Translator):
        served = ServedTranslator(network)
    else:
        served = ServedTagger(network) if network.tags_words else Served(network, others)
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


def misfit(folder: Path, preprocess: Preprocessing, has_tasks: bool) -> str | None:
    """Returns why an exported version cannot answer what another network reads, or None.

    Args:
        folder: the version's.
        preprocess: the network's, which says what it reads.
        has_tasks: whether each row has a task.
    """
    signatures = load_exported(folder).signatures
    if isinstance(preprocess, TextToTextPreprocessing) or GENERATE in signatures:
        same = isinstance(preprocess, TextToTextPreprocessing) and GENERATE in signatures
        return None if same else "writes texts, or this plan's network does; only one of the two does"
    if isinstance(preprocess, SentencePreprocessing) or TOKENS in signatures:
        same = isinstance(preprocess, SentencePreprocessing) and TOKENS in signatures
        return None if same else "tags words, or this plan's network does; only one of the two does"
    inputs = signatures[DEFAULT].structured_input_signature[1]
    spec = next(each for name, each in inputs.items() if name != "task")
    raw, columns = preprocess.raw, _columns(folder)
    if (spec.name, spec.shape[1:], columns) != (raw.name, raw.shape[1:], preprocess.columns):
        return f"reads {_in_words(spec, columns)}, this plan's network {_in_words(raw, preprocess.columns)}"
    if ("task" in inputs) != has_tasks:
        return "has tasks, this plan has none" if "task" in inputs else "has no tasks, this plan has some"
    return None


def _columns(folder: Path) -> tuple[str, ...]:
    recorded = read_json(folder / "manifest.json").get("preprocessing")
    return ColumnStatistics.from_json(recorded).columns.names if recorded else ()


def _in_words(raw: tf.TensorSpec, columns: Sequence[str]) -> str:
    if columns:
        return f"the columns {', '.join(columns)}"
    return f"{raw.shape[-1]} numbers" if raw.shape.rank > 1 else f"a string called {raw.name}"


def predict_exported(
    folder: Path, raw: Sequence[Any] | np.ndarray, tasks: Sequence[str] | None = None, batch_size: int = 64
) -> np.ndarray:
    """Returns the probabilities that an exported version gives, float64 [rows, classes].

    Args:
        folder: the version's.
        raw: inputs as a source gives them.
        tasks: the task of each, where the version has tasks.
        batch_size: how many at once.
    """
    signature = load_exported(folder).signatures[DEFAULT]
    spec = next(each for name, each in signature.structured_input_signature[1].items() if name != "task")
    order = sorted(range(len(raw)), key=lambda index: len(raw[index]))
    parts = []
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        given = {spec.name: tf.constant([raw[index] for index in batch], spec.dtype)}
        if tasks is not None:
            given["task"] = tf.constant([tasks[index] for index in batch])
        parts.append(signature(**given)["probabilities"])
    probabilities = np.concatenate([part.numpy() for part in parts]).astype(np.float64)
    return probabilities[np.argsort(order)]
