"""What tests of every package share: a tiny network, and TensorFlow set up as a run sets it up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()  # before anything imports TensorFlow


@pytest.fixture(scope="session")
def _determinism() -> None:
    from progressive_tf.training import hardware

    hardware.prepare()


@pytest.fixture
def make_network(tmp_path: Path, _determinism: None) -> Callable[..., Any]:
    """Builds the tiny network; the same seed gives the same weights."""
    from progressive_tf.models import bert
    from progressive_tf.plan.schema import Model

    tiny.write_vocabulary(tmp_path)

    def make(seed: int = 3, pooling: str = "mean", dropout: float = 0.1) -> Any:
        model = Model(
            builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG, dropout=dropout
        )
        return bert.build(model, tiny.LABELS, pooling, seed, tmp_path)

    return make


@pytest.fixture
def network(make_network: Callable[..., Any]) -> Any:
    return make_network()


@pytest.fixture
def make_examples() -> Callable[..., Any]:
    """Returns examples of generated sentences for a network, with kept prefix outputs where a depth is given."""
    from progressive_tf.data.tokens import TokenStore
    from progressive_tf.training.examples import Examples
    from progressive_tf.training.prefix import PrefixOutputs

    def make(network: Any, count: int = 60, depth: int = 0, dtype: str = "float16") -> Any:
        texts, labels = tiny.sentences(count)
        tokens = TokenStore(
            count, lambda rows: [texts[row] for row in rows], network.preprocess.token_ids, len(tiny.VOCABULARY)
        )
        rows = np.arange(count)
        tokens.add(rows)
        prefix = PrefixOutputs(network, tokens, depth, dtype) if depth else None
        if prefix is not None:
            prefix.add(rows)
        return Examples(tokens, rows, labels, prefix)

    return make
