"""Adapt a foundation model stage by stage and release each stage only on evidence."""

import os
from importlib.metadata import version

# TFBert and Addons need Keras 2 as tf.keras; this must be set before anything imports TensorFlow.
os.environ["TF_USE_LEGACY_KERAS"] = "0"

__version__ = version("progressive-tf")
