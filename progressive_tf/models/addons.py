"""What the networks take from TensorFlow Addons, or this package's own form of it where Addons is not installed.

Addons has no build for Python 3.12 and later (docs/decisions/0001).
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

__all__ = ["crf_decode", "crf_log_likelihood", "cutout"]

if TYPE_CHECKING or find_spec("tensorflow_addons") is None:
    from progressive_tf.models.without_addons import crf_decode, crf_log_likelihood, cutout
else:
    with warnings.catch_warnings():
        # Addons announces its end of life on every import.
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        from tensorflow_addons.image import cutout
        from tensorflow_addons.text import crf_decode, crf_log_likelihood
