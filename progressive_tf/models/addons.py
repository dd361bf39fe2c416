"""What the networks take from TensorFlow Addons, or this package's own form of it where Addons is not installed.

Addons has no build for Python 3.12 and later (docs/decisions/0001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from progressive_tf.stack import has_addons, quiet_addons

__all__ = ["crf_decode", "crf_log_likelihood", "cutout"]

if TYPE_CHECKING or not has_addons():
    from progressive_tf.models.without_addons import crf_decode, crf_log_likelihood, cutout
else:
    with quiet_addons():
        from tensorflow_addons.image import cutout
        from tensorflow_addons.text import crf_decode, crf_log_likelihood
