"""TensorFlow without its own remarks, as the commands have it, and nothing changed for the caller's other code."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from progressive_tf.logs import quiet_tensorflow


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences warnings and TensorFlow's log while the block runs; TensorFlow is to be imported inside it."""
    quiet_tensorflow()
    log = logging.getLogger("tensorflow")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
