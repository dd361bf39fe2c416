"""Keras' ResNet50 with five of its sixteen residual blocks, which are of every kind and have their names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import tensorflow as tf

from progressive_tf.stack import keras_package

resnet = import_module(f"{keras_package()}.src.applications.resnet")
ResNet, stack1 = resnet.ResNet, resnet.stack1

DEPTHS = {"2": 2, "3": 1, "4": 1, "5": 1}  # the first group can be cut between its blocks
FILTERS = {"2": 64, "3": 128, "4": 256, "5": 512}


def shallow_resnet(**options: Any) -> tf.keras.Model:
    """Returns the network; takes what `tf.keras.applications.ResNet50` takes."""

    def groups(hidden: Any) -> Any:
        for group, depth in DEPTHS.items():
            hidden = stack1(hidden, FILTERS[group], depth, stride1=1 if group == "2" else 2, name=f"conv{group}")
        return hidden

    return ResNet(groups, False, True, "resnet50", **options)


def use_shallow_resnet(patch: pytest.MonkeyPatch) -> None:
    """Has `tf.keras.applications.ResNet50` return the shallow network."""
    patch.setattr(tf.keras.applications, "ResNet50", shallow_resnet)
