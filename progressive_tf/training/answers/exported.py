"""Loads the SavedModel of a version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tensorflow as tf


def load_exported(folder: Path) -> Any:
    """Returns a version's SavedModel on one device, wherever the caller divides batches over several.

    In the scope of a strategy TensorFlow would load its tables as distributed ones, which answer inside replicas
    alone. A thread of its own is in no scope.

    Args:
        folder: the version's.
    """
    with ThreadPoolExecutor(1) as outside:
        return outside.submit(tf.saved_model.load, str(folder)).result()
