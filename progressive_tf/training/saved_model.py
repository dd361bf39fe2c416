"""The network as a SavedModel that takes raw inputs and needs none of this package's code."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel


class Served(tf.Module):
    """Raw strings → class probabilities and the most probable label."""

    def __init__(self, network: BlockModel) -> None:
        super().__init__()
        # The variables alone are tracked: saving the Keras layers too would trace every one of them.
        self.stored = [weight.variable for weight in network.named_weights()]
        labels = tf.constant(network.labels)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = tf.nn.softmax(network(network.preprocess(text), training=False))
            return {"probabilities": probabilities, "label": tf.gather(labels, tf.argmax(probabilities, axis=1))}

        self.serve = serve


def export_saved_model(network: BlockModel, folder: Path) -> None:
    """Writes a SavedModel with the signature `text` string [batch] → `probabilities`, `label`."""
    served = Served(network)
    try:
        tf.saved_model.save(served, str(folder), signatures={"serving_default": served.serve})
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


def predict_exported(folder: Path, texts: list[str], batch_size: int = 64) -> np.ndarray:
    """Returns the probabilities that an exported version gives, float64 [texts, classes]."""
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parts = [
        signature(text=tf.constant([texts[index] for index in order[begin : begin + batch_size]]))["probabilities"]
        for begin in range(0, len(order), batch_size)
    ]
    probabilities = np.concatenate([part.numpy() for part in parts]).astype(np.float64)
    return probabilities[np.argsort(order)]
