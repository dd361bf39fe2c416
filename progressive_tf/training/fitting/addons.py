"""What training takes from TensorFlow Addons, or this package's own form of it where Addons is not installed.

Addons has no build for Python 3.12 and later (docs/decisions/0001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from progressive_tf.stack import has_addons, quiet_addons

__all__ = ["LAMB", "SWA", "LazyAdam", "MovingAverage", "contrastive_loss", "pairwise_distance"]

if TYPE_CHECKING or not has_addons():
    from progressive_tf.training.fitting.without_addons import (
        LAMB,
        SWA,
        LazyAdam,
        MovingAverage,
        contrastive_loss,
        pairwise_distance,
    )
else:
    with quiet_addons():
        from tensorflow_addons.losses import contrastive_loss
        from tensorflow_addons.losses.metric_learning import pairwise_distance
        from tensorflow_addons.optimizers import LAMB, SWA, LazyAdam, MovingAverage
