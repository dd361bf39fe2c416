from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from fitting import fit, stage, values
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.data.tokens import TokenStore
from progressive_tf.models.bert import build
from progressive_tf.plan.schema import Model
from progressive_tf.training.prefix import PrefixOutputs, estimated_bytes

ROWS = 90


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> tuple[Any, TokenStore]:
    """A network and the tokens of 90 rows, for tests that change neither."""
    folder = tmp_path_factory.mktemp("prefix")
    tiny.write_vocabulary(folder)
    model = Model(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG)
    network = build(model, tiny.LABELS, "mean", 3, folder)
    texts, _ = tiny.sentences(ROWS)
    tokens = TokenStore(
        ROWS, lambda rows: [texts[row] for row in rows], network.preprocess.token_ids, len(tiny.VOCABULARY)
    )
    tokens.add(np.arange(ROWS))
    return network, tokens


@pytest.fixture(scope="module")
def reference(shared: tuple[Any, TokenStore]) -> PrefixOutputs:
    prefix = PrefixOutputs(*shared, depth=2, dtype="float32")
    prefix.add(np.arange(ROWS))
    return prefix


@given(st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=50), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_outputs_do_not_depend_on_when_or_with_which_rows_they_are_computed(
    shared: tuple[Any, TokenStore], reference: PrefixOutputs, parts: list[list[int]]
) -> None:
    prefix = PrefixOutputs(*shared, depth=2, dtype="float32")
    # Tracing takes seconds and is the same for all.
    prefix._run = reference._run
    for part in parts:
        prefix.add(np.array(part))
    rows = np.unique(np.concatenate(parts))
    assert not len(prefix.missing(rows))
    one, other = prefix.state(rows, 16), reference.state(rows, 16)
    np.testing.assert_array_equal(one["hidden"], other["hidden"])
    np.testing.assert_array_equal(one["mask"], other["mask"])


@pytest.mark.parametrize("depth", [1, 3])
def test_outputs_are_those_of_the_blocks(shared: tuple[Any, TokenStore], depth: int) -> None:
    network, tokens = shared
    prefix = PrefixOutputs(network, tokens, depth, "float32")
    rows = np.array([7, 3, 60])
    prefix.add(rows)
    state = prefix.state(rows, 16)
    ids = [tokens.token_ids(int(row)) for row in rows]
    for position, row in enumerate(ids):
        alone = {"input_ids": row[np.newaxis].astype(np.int32), "mask": np.ones((1, len(row)), np.float32)}
        hidden = network.run_blocks(alone, 0, depth)["hidden"][0]
        np.testing.assert_allclose(state["hidden"][position, : len(row)], hidden, atol=1e-5)
        assert not state["hidden"][position, len(row) :].any()
        assert state["mask"][position].sum() == len(row)


def test_only_missing_rows_are_computed_and_progress_is_told(shared: tuple[Any, TokenStore]) -> None:
    prefix = PrefixOutputs(*shared, depth=1, dtype="float16")
    told: list[int] = []
    prefix.add(np.array([1, 2, 2, 3]), told.append)
    assert sum(told) == 3
    prefix.add(np.array([1, 2]), told.append)
    assert sum(told) == 3
    assert prefix.missing(np.array([3, 5, 4, 5])).tolist() == [4, 5]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_estimate_is_what_is_kept(shared: tuple[Any, TokenStore], dtype: str) -> None:
    network, tokens = shared
    prefix = PrefixOutputs(network, tokens, 1, dtype)
    rows = np.arange(20)
    prefix.add(rows)
    assert prefix.kept_bytes == estimated_bytes(tokens, rows, network.width, dtype)


@pytest.mark.slow
def test_training_from_kept_outputs_is_training_without_them(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    def weights(depth: int, dtype: str = "float32") -> dict[str, np.ndarray]:
        network = make_network()
        settings = stage(epochs=1, adaptation={"method": "top-blocks", "blocks": 1}, cache={"dtype": dtype})
        fit(network, settings, make_examples(network, depth=depth, dtype=dtype), tmp_path / f"{depth}-{dtype}")
        return values(network)

    uncached, start = weights(0), values(make_network())
    assert (
        np.abs(uncached["layer_1/intermediate/dense/kernel"] - start["layer_1/intermediate/dense/kernel"]).max() > 0.01
    )
    for dtype, tolerance in (("float32", 1e-4), ("float16", 5e-3)):
        cached = weights(2, dtype)
        for name, value in uncached.items():
            # The gradient of a key's bias is zero but for rounding, which Adam makes as long as any other step.
            if not name.endswith("key/bias"):
                np.testing.assert_allclose(cached[name], value, atol=tolerance, err_msg=f"{dtype} {name}")
