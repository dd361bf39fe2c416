"""What training takes from TensorFlow Addons, or this package's own form of it where Addons is not installed.

Addons has no build for Python 3.12 and later (docs/decisions/0001).
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

__all__ = ["LAMB", "SWA", "LazyAdam", "MovingAverage", "contrastive_loss", "pairwise_distance"]

if TYPE_CHECKING or find_spec("tensorflow_addons") is None:
    from progressive_tf.training.fitting.without_addons import (
        LAMB,
        SWA,
        LazyAdam,
        MovingAverage,
        contrastive_loss,
        pairwise_distance,
    )
else:
    with warnings.catch_warnings():
        # Addons announces its end of life on every import.
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from tensorflow_addons.losses import contrastive_loss
        from tensorflow_addons.losses.metric_learning import pairwise_distance
        from tensorflow_addons.optimizers import LAMB, SWA, LazyAdam, MovingAverage
