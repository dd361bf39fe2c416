"""Training from prefix outputs: the same weights however they are kept, and those of plain Keras."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tensorflow as tf
import tiny
from fitting import SEED, TRAIN, dense_network, fit, quiet, rows_of_numbers, same, stage, values
from texts import Texts

from progressive_tf.data.batching import training_batches
from progressive_tf.data.class_space import ClassSpace
from progressive_tf.data.inputs import input_state
from progressive_tf.plan.methods import Cache
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.features import Features
from progressive_tf.training.fitting.callbacks import reset_random_layers

DEPTH = 2
BATCH_SIZE = 8
RATE = 0.01


def settings(dtype: str = "float32", epochs: int = 1) -> Any:
    return stage(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        optimizer={"name": "adam", "learning_rate": RATE},
        adaptation={"method": "top-blocks", "blocks": 1},
        cache={"dtype": dtype},
    )


def plain_keras(network: Any, examples: Any) -> None:
    """Trains for an epoch as a user of Keras would, with the lower blocks in inference mode, and nothing kept."""
    optimizer = tf.keras.optimizers.legacy.Adam(RATE)
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    frozen, trained = network.blocks[:DEPTH], network.blocks[DEPTH:]
    variables = [variable for layer in [*trained, network.head] for variable in layer.trainable_variables]
    seed = derive_seed(SEED, "shuffle", "one", 0)
    rows = np.arange(TRAIN)
    reset_random_layers(network, SEED, "one", 0)
    for batch in training_batches(examples.inputs.lengths(rows), BATCH_SIZE, 8, np.random.default_rng(seed)):
        state = input_state(examples.inputs, batch, -(-int(examples.inputs.lengths(batch).max()) // 8) * 8)
        with tf.GradientTape() as tape:
            for block in frozen:
                state = block(state, training=False)
            for block in trained:
                state = block(state, training=True)
            loss = loss_of(examples.labels[batch], network.head(state, training=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


@pytest.mark.slow
def test_an_epoch_from_kept_outputs_is_an_epoch_of_plain_keras(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    plain, start = make_network(), values(make_network())
    plain_keras(plain, make_examples(plain))
    expected = values(plain)
    moved = "layer_1/intermediate/dense/kernel"
    assert np.abs(expected[moved] - start[moved]).max() > RATE
    for dtype, tolerance in (("float32", 1e-4), ("float16", 5e-3)):
        network = make_network()
        fit(network, settings(dtype), make_examples(network, depth=DEPTH, dtype=dtype), tmp_path / dtype)
        for name, value in values(network).items():
            # The gradient of a key's bias is zero but for rounding, which Adam makes as long as any other step.
            if not name.endswith("key/bias"):
                np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=f"{dtype} {name}")


def test_a_miss_a_hit_a_deleted_and_no_cache_train_the_same_weights(tmp_path: Path) -> None:
    dtype = "float16"  # that of plans; what is kept in float32 has the same bits too, as the tests of outputs say
    folder = tmp_path / "prefix"

    def train(name: str, stored: bool = True, delete: bool = False) -> dict[str, np.ndarray]:
        network = dense_network()
        examples = rows_of_numbers(network, depth=1, folder=folder if stored else None)
        assert folder.exists() is stored
        if delete:
            shutil.rmtree(folder)
        fit(network, settings(dtype), examples, tmp_path / name)
        return values(network)

    off = train("off", stored=False)
    assert same(train("miss"), off)
    assert same(train("hit"), off)
    assert same(train("deleted", delete=True), off)


@pytest.mark.slow
def test_the_type_changes_at_most_two_answers_in_a_thousand(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    count = 1000
    texts, labels = tiny.sentences(count)
    accuracies = []
    dtypes: tuple[Literal["float16", "float32"], ...] = ("float16", "float32")
    for dtype in dtypes:
        network = make_network()
        fit(network, settings(dtype, 6), make_examples(network, 340, DEPTH, dtype), tmp_path / dtype, train=300)
        source: Any = {"main": Texts(texts)}
        features = Features(
            network, source, ClassSpace(tiny.LABELS, (2,), {"main": labels}), quiet(), tmp_path / "prefix"
        )
        examples = features.examples("main", np.arange(count), DEPTH, Cache(dtype=dtype))
        accuracies.append((features.probabilities(examples).argmax(axis=1) == labels).sum())
    assert accuracies[1] > 0.6 * count, "a network that has learnt nothing shows nothing"
    assert abs(accuracies[0] - accuracies[1]) <= 2
