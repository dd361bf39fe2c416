"""Integrated gradients (Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365).

What a network says of an input is divided among the input's parts: the gradient of a class's logit, averaged on the
straight line from a baseline to the input, times their difference. The parts add up to the difference of the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models.bert.bert import EmbeddingsBlock
from progressive_tf.models.block_model import BlockModel, State

BATCH = 8
# Where the parts add up to something else by more than this share, twice as many points are taken, up to MOST_STEPS.
LARGEST_ERROR, MOST_STEPS = 0.05, 512

Logit = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a network gives a class its logit, on one input.

    Args:
        probability: of the class, in [0, 1].
        values: float32 [parts]: how much each token of a text, or each cell of 16 by 16 of an image, row by row, speaks
            for the class.
        error: of completeness: how far the parts' sum is from the difference of the logits of input and baseline,
            divided by that difference; by 1 where it is smaller than 1.
        steps: points on the line.
    """

    probability: float
    values: np.ndarray
    error: float
    steps: int


def refuse_unexplained(network: BlockModel) -> None:
    """Raises InputError where inputs are neither images nor texts with the embeddings of builder bert."""
    depth = network.preprocess.explained_depth
    if depth is None:
        raise InputError("probes: texts and images are explained; drop it for other inputs")
    if depth > 0 and not isinstance(network.blocks[0], EmbeddingsBlock):
        raise InputError(
            f"probes: block {network.blocks[0].name!r} is no embeddings that gradients can be taken at; texts are "
            "explained with builder bert"
        )


def explanations(network: BlockModel, raw: Sequence[Any], targets: Sequence[int], steps: int) -> list[Explanation]:
    """Returns the explanation of each input.

    A text is explained at the output of the embeddings; its baseline has [PAD] for every token but the first and the
    last. The baseline of an image is black. Raises InputError, see `refuse_unexplained`.

    Args:
        network: a classifier of texts or images.
        raw: texts, or encoded images.
        targets: the class of each that is explained, an index into the network's labels.
        steps: points on the line, >= 1, in the middle of as many equal parts.
    """
    refuse_unexplained(network)
    logit = _logit_of(network)
    explained: list[Explanation] = []
    # One at a time: an explanation then depends on nothing else, not even on the padding.
    for one_raw, target in zip(raw, targets, strict=True):
        one = _explained(network, logit, one_raw, target, steps)
        while one.error > LARGEST_ERROR and one.steps < MOST_STEPS:
            one = _explained(network, logit, one_raw, target, 2 * one.steps)
        explained.append(one)
    return explained


def tokens_of(network: BlockModel, text: str, vocabulary: Sequence[str]) -> list[str]:
    """Returns the tokens that the values of a text's explanation stand for."""
    (ids,) = network.preprocess.encode([text])
    return [vocabulary[index] for index in ids]


def _explained(network: BlockModel, logit: Logit, raw: Any, target: int, steps: int) -> Explanation:
    state = network.preprocess(network.preprocess.tensor([raw]))
    inputs, mask = state["inputs"], state["mask"]
    point = _at_depth(network, state, inputs)
    baseline = _at_depth(network, state, network.preprocess.baseline(inputs))
    total = tf.zeros_like(point)
    fractions = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    for begin in range(0, steps, BATCH):
        share = tf.reshape(fractions[begin : begin + BATCH], [-1] + [1] * (len(point.shape) - 1))
        _, gradient = logit(baseline + share * (point - baseline), mask, tf.constant(target))
        total += tf.reduce_sum(gradient, axis=0, keepdims=True)
    parts = ((point - baseline) * total / steps).numpy()[0]
    logits, _ = logit(tf.concat([point, baseline], axis=0), mask, tf.constant(target))
    difference = float(logits[0] - logits[1])
    error = abs(float(parts.sum()) - difference) / max(abs(difference), 1.0)
    probability = float(tf.nn.softmax(network(state))[0, target])
    values = network.preprocess.attributed(parts).astype(np.float32)
    return Explanation(probability, values, error, steps)


def _at_depth(network: BlockModel, state: State, inputs: tf.Tensor) -> tf.Tensor:
    """Returns what inputs are where gradients are taken, float32 [1, …]."""
    depth = network.preprocess.explained_depth
    if not depth:
        return tf.cast(inputs, tf.float32)
    return network.run_blocks({"inputs": inputs, "mask": state["mask"]}, 0, depth)["hidden"]


def _logit_of(network: BlockModel) -> Logit:
    """Returns points [batch, …], a mask [1, …] and a class → its logit at each point [batch], and its gradients there.

    It is traced for the network as it stands: methods may change its blocks, and stages its classes, afterwards.
    """
    first = network.preprocess.explained_depth
    name = "hidden" if first else "inputs"

    @tf.function(autograph=False, reduce_retracing=True)
    def logit(points: tf.Tensor, mask: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(points)
            state = {name: points, "mask": tf.repeat(mask, tf.shape(points)[0], axis=0)}
            logits = tf.gather(network(state, first_block=first), target, axis=1)
        return logits, tape.gradient(logits, points)

    return logit
