"""Dropout that can be put back to the start of any epoch."""

from __future__ import annotations

import tensorflow as tf

from progressive_tf.seeds import derive_seed


def reset_random_layers(model: tf.keras.Model, seed: int, stage: str, epoch: int) -> None:
    """Sets the generator of every random layer to a seed of its own for this stage and epoch.

    Keras leaves these generators out of checkpoints; deriving their state makes them part of none and resumable. It
    also makes them only when a layer is first called, which in a restarted process is after this.
    """
    # The public `submodules` also walks every weight: a third of a second for six layers of BERT, at each epoch.
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "_random_generator")]
    for index, layer in enumerate(layers):
        layer._random_generator._maybe_init()
        layer._random_generator._generator.reset_from_seed(derive_seed(seed, "dropout", stage, epoch, index))
