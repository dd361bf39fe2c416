"""The losses a stage can name, as Keras losses over logits."""

from __future__ import annotations

import tensorflow as tf

from progressive_tf.plan.methods import CrossEntropy, Focal, LabelSmoothing


def make_loss(settings: CrossEntropy | Focal | LabelSmoothing) -> tf.keras.losses.Loss:
    """Returns a loss of (one-hot labels [batch, classes], logits [batch, classes]), averaged over the batch."""
    if isinstance(settings, Focal):
        return tf.keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=settings.gamma, from_logits=True)
    smoothing = settings.amount if isinstance(settings, LabelSmoothing) else 0.0
    return tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
