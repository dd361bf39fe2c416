"""TensorFlow without its own remarks, as the commands have it, and nothing changed for the caller's other code."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from progressive_tf.logs import quiet_tensorflow


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Imports TensorFlow, and silences warnings and TensorFlow's log while the block runs."""
    quiet_tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow  # noqa: F401  it sets its log's level when it is imported

        log = logging.getLogger("tensorflow")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
