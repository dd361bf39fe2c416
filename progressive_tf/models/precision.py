"""Mixed precision: weights stay float32, and blocks compute in a shorter type while they are trained.

Everything that is kept, judged or released is computed in float32: outputs of frozen blocks, predictions, exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from progressive_tf.models.projection import Block

FLOAT32 = "float32"


@contextmanager
def built_for(precision: str) -> Iterator[None]:
    """Layers that are built inside have float32 weights that are cast to what `precision` computes in.

    Args:
        precision: a Keras policy: "float32", "mixed_float16" or "mixed_bfloat16". It is the process's policy inside.
    """
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def set_precision(layer: tf.keras.layers.Layer, precision: str) -> None:
    """Makes a layer and all layers in it compute as a Keras policy says; graphs that exist stay as they are."""
    for inner in layer._flatten_layers():
        # Keras has no public way to change the policy of a layer that exists, nor to build one that can do both.
        inner._set_dtype_policy(precision)


@contextmanager
def computing_in(blocks: Sequence[Block], precision: str) -> Iterator[None]:
    """Blocks that are called inside compute in `precision`, and in float32 again afterwards.

    Args:
        blocks: built for it.
        precision: a Keras policy.
    """
    if precision == FLOAT32:
        yield
        return
    for block in blocks:
        set_precision(block, precision)
    try:
        yield
    finally:
        for block in blocks:
            set_precision(block, FLOAT32)
