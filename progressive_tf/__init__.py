"""Adapt a foundation model stage by stage and release each stage only on evidence."""

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from progressive_tf.stack import keras_package

if TYPE_CHECKING:
    from progressive_tf.api.plan import Plan
    from progressive_tf.api.registry import Registry
    from progressive_tf.api.run import Run
    from progressive_tf.api.running import run
    from progressive_tf.api.sweep import Sweep

# TFBert and Addons need Keras 2 as tf.keras; this must be set before anything imports TensorFlow.
os.environ["TF_USE_LEGACY_KERAS"] = "0" if keras_package() == "keras" else "1"

__version__ = version("progressive-tf")

__all__ = ["Plan", "Registry", "Run", "Sweep", "__version__", "run"]

# Imported on first use, so that commands stay quick and `import progressive_tf` needs no pandas.
_HOMES = {
    "Plan": "plan",
    "Registry": "registry",
    "Run": "run",
    "Sweep": "sweep",
    "run": "running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
