"""Giving a network outputs for other classes than it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.classification_head import INITIAL_SPREAD
from progressive_tf.seeds import derive_seed


def set_classes(network: BlockModel, labels: Sequence[str], label_tasks: Sequence[str], seed: int) -> None:
    """Gives a network exactly these classes; those it had before keep the values of their outputs, bit for bit.

    Args:
        network: changed in place; its classes are the first of `labels`, or the other way round.
        labels: class names in the order of the logits.
        label_tasks: the task of each, or none.
        seed: the plan's seed; each new class starts from weights of its own, whatever other classes come with it.

    Raises:
        ValueError: classes that are not the network's with others behind them, or some of the network's first.
    """
    shared = min(len(labels), len(network.labels))
    if tuple(labels[:shared]) != network.labels[:shared]:
        raise ValueError(f"classes {list(labels)} asked; the network has {list(network.labels)}, in this order")
    network.set_label_tasks(label_tasks)
    if len(labels) == len(network.labels):
        return
    kernel, bias = (weight.numpy() for weight in network.head.dense.weights)
    columns = [kernel[:, :shared], *(_initial_column(len(kernel), label, seed) for label in labels[shared:])]
    values = [np.concatenate(columns, axis=1), np.pad(bias[:shared], (0, len(labels) - shared))]
    network.head.resize(len(labels))
    network.head.dense.set_weights(values)
    network.labels = tuple(labels)


def _initial_column(width: int, label: str, seed: int) -> np.ndarray:
    initializer = tf.keras.initializers.TruncatedNormal(
        stddev=INITIAL_SPREAD, seed=derive_seed(seed, "initialisation", "head", label)
    )
    return initializer([width, 1]).numpy()
