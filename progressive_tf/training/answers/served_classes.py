"""A classifier as an exported model: raw inputs → probabilities and a label, and what is said beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.training.answers.base import ABSTAINED, DEFAULT, Served, ask_in_batches
from progressive_tf.training.fitting.unknown_scores import UnknownScore


class ServedClassifier(Served):
    """Raw inputs → class probabilities and the most probable label, and how much of the input was read.

    Args:
        network: the one that training goes on from.
        others: earlier ones whose probabilities are added, each with its share; the rest is the network's.
        rule: which answers are given.
        unknown: scores inputs by what the head's dense layer reads; not with others, nor where the network has tasks.

    Attributes:
        serve: raw inputs [batch], and where the network has tasks each one's `task`, string [batch] → `probabilities`
            float32 [batch, classes], `label` string [batch], how much was read, where the network may abstain
            `abstained` bool [batch], and with `unknown` also `unknown_score` float32 and `unknown` bool [batch].
        alternatives: the same for other forms of raw inputs, by signature; none where the network has tasks.
    """

    def __init__(
        self,
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]] = (),
        rule: AnswerRule = ALWAYS,
        unknown: UnknownScore | None = None,
    ) -> None:
        super().__init__(network)
        self.unknown = unknown
        self.others = [weight.variable for other, _ in others for weight in other.named_weights()]
        every = [network, *(other for other, _ in others)]
        self.resources = [resource for model in every for resource in model.preprocess.resources]
        labels, spec = tf.constant(_served_labels(network)), network.preprocess.raw
        costs = None if rule.costs is None else tf.constant(rule.costs.matrix(network.labels), tf.float32)

        def decided(probabilities: tf.Tensor) -> tf.Tensor:
            """Returns the number of the most probable class, or of the one with the least expected cost."""
            if costs is None:
                return tf.argmax(probabilities, axis=1)
            return tf.argmin(tf.matmul(probabilities, costs), axis=1)

        # A function of its own, so that all signatures share one graph of the network.
        own = tf.function(lambda state: _answered(network, state, unknown), autograph=False)

        def answer(raw: Any, form: str = DEFAULT, further: State | None = None) -> dict[str, tf.Tensor]:
            state, read = network.preprocess.read(raw, form)
            probabilities, beside = own(state | (further or {}))
            if others:
                probabilities *= 1 - sum(share for _, share in others)
            for other, share in others:
                same = other.preprocess.settings == network.preprocess.settings
                new = len(network.labels) - len(other.labels)
                theirs = _probabilities(other, state if same else other.preprocess.read(raw, form)[0])
                probabilities += share * tf.pad(theirs, [[0, 0], [0, new]])
            said = decided(probabilities)
            beside |= _abstained(probabilities, said, rule)
            return {"probabilities": probabilities, "label": tf.gather(labels, said), **beside, **read}

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


def _abstained(probabilities: tf.Tensor, said: tf.Tensor, rule: AnswerRule) -> dict[str, tf.Tensor]:
    """Returns which rows are not answered, bool [batch], as an output; none where all are."""
    if rule.abstain_below is None:
        return {}
    # What is no number is not given either.
    return {ABSTAINED: tf.logical_not(tf.gather(probabilities, said, axis=1, batch_dims=1) >= rule.abstain_below)}


def _answered(
    network: BlockModel, state: State, unknown: UnknownScore | None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the probabilities of inputs, and what is said beside them."""
    if unknown is None:
        return _probabilities(network, state), {}
    last = network.run_blocks(state, 0, len(network.blocks))
    probabilities = tf.nn.softmax(network.run_head(last))
    return probabilities, unknown.outputs(network.read_by_head(last), probabilities)


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

    def given(inputs: dict[str, tf.TensorSpec], batch: list[int]) -> dict[str, tf.Tensor]:
        spec = next(spec for name, spec in inputs.items() if name != "task")
        called = {spec.name: tf.constant([raw[index] for index in batch], spec.dtype)}
        return called if tasks is None else called | {"task": tf.constant([tasks[index] for index in batch])}

    order, answers = ask_in_batches(folder, DEFAULT, raw, batch_size, given)
    probabilities = np.concatenate([answer["probabilities"] for answer in answers]).astype(np.float64)
    return probabilities[np.argsort(order)]
