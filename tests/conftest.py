"""What tests of every package share: a tiny network, and TensorFlow set up as a run sets it up."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import settings

from progressive_tf.logs import quiet_tensorflow
from progressive_tf.models.request import Request

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


@pytest.fixture(scope="session")
def _determinism() -> None:
    from progressive_tf.training import hardware

    hardware.prepare()


@pytest.fixture
def make_network(tmp_path: Path, _determinism: None) -> Callable[..., Any]:
    """Builds the tiny network; the same seed gives the same weights."""
    from progressive_tf.models import bert
    from progressive_tf.plan.networks import Bert

    tiny.write_vocabulary(tmp_path)

    def make(seed: int = 3, pooling: str = "mean", dropout: float = 0.1) -> Any:
        model = Bert(
            builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG, dropout=dropout
        )
        return bert.build(Request(model, tiny.LABELS, seed, tmp_path, pooling))

    return make


@pytest.fixture
def network(make_network: Callable[..., Any]) -> Any:
    return make_network()


@pytest.fixture
def make_examples(tmp_path: Path) -> Callable[..., Any]:
    """Returns examples of generated sentences for a network, with stored prefix outputs where a depth is given."""
    from progressive_tf.data.inputs import InputStore
    from progressive_tf.training.examples import Examples
    from progressive_tf.training.prefix.folder import CacheFolder
    from progressive_tf.training.prefix.identity import prefix_sha256
    from progressive_tf.training.prefix.outputs import PrefixOutputs
    from progressive_tf.training.prefix.store import PrefixStore

    def make(network: Any, count: int = 60, depth: int = 0, dtype: str = "float16", stored: bool = True) -> Any:
        texts, labels = tiny.sentences(count)
        inputs = InputStore(count, lambda rows: [texts[row] for row in rows], network.preprocess)
        rows = np.arange(count)
        inputs.add(rows)
        if not depth:
            return Examples(inputs, rows, labels)
        store = PrefixStore(CacheFolder(tmp_path / "prefix"), prefix_sha256(network, depth, dtype))
        prefix = PrefixOutputs(network, inputs, depth, dtype, store if stored else None)
        prefix.add(rows, limit=1e9)
        return Examples(inputs, rows, labels, prefix)

    return make
