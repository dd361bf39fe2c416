"""What tests of every package share: a tiny network, and TensorFlow set up as a run sets it up."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import settings

from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()  # before anything imports TensorFlow
settings.register_profile("no deadline", deadline=None)  # no test asserts a time
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, so that no worker is left with one when the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def _graphs_released() -> Iterator[None]:
    """Lets go of what a module's tests traced outside of runs, which would add up to gigabytes."""
    elementwise = sys.modules.get("progressive_tf.models.elementwise")
    if elementwise is None:  # without TensorFlow
        yield
        return
    with elementwise.gradients_released():
        yield
    gc.collect()


@pytest.fixture(autouse=True)
def _said_anew() -> None:
    """Has said again what a process says once."""
    model_folder = sys.modules.get("progressive_tf.registry.model_folder")
    if model_folder is not None:
        model_folder._tell.cache_clear()


@pytest.fixture(scope="session")
def _determinism() -> None:
    from progressive_tf.training import hardware

    hardware.prepare()


@pytest.fixture
def make_network(tmp_path: Path, _determinism: None) -> Callable[..., Any]:
    """Builds the tiny network; the same seed gives the same weights."""
    return functools.partial(tiny.build_bert, tmp_path)


@pytest.fixture
def network(make_network: Callable[..., Any]) -> Any:
    return make_network()


@pytest.fixture
def make_examples(tmp_path: Path) -> Callable[..., Any]:
    """Returns examples of generated sentences for a network, with stored prefix outputs where a depth is given."""
    return functools.partial(tiny.make_examples, tmp_path)
