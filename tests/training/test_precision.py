from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitting
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from fitting import Killed, StoppingDisplay, comparable, dense_network, fit, rows_of_numbers, same, stage, values
from releasing import Place, small_plan, stage_folder
from safetensors.numpy import load_file

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.errors import InputError
from progressive_tf.models.precision import FLOAT32, built_for, computing_in, set_precision
from progressive_tf.registry.store import Registry
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting import loss_scale
from progressive_tf.training.fitting.callbacks import NonFiniteLossError
from progressive_tf.training.fitting.fit import phase_optimizer
from progressive_tf.training.fitting.locations import checkpoint_file
from progressive_tf.training.fitting.loss_scale import INITIAL_SCALE, LossScale
from progressive_tf.training.fitting.phases import phases_of
from progressive_tf.training.hardware import refuse_capped_bfloat16
from progressive_tf.training.prefix.identity import prefix_identity


def bfloat16_is_refused() -> bool:
    try:
        refuse_capped_bfloat16()
    except InputError:
        return True
    return False


WITHOUT_BFLOAT16 = pytest.mark.skipif(bfloat16_is_refused(), reason="oneDNN may not compute it")
MIXED = ["mixed_float16", pytest.param("mixed_bfloat16", marks=WITHOUT_BFLOAT16)]
SHORT = {"mixed_float16": tf.float16, "mixed_bfloat16": tf.bfloat16}
METHODS: list[dict[str, Any]] = [
    {"method": "full"},
    {"method": "head"},
    {"method": "top-blocks", "blocks": 1},
    {"method": "bitfit"},
    {"method": "lora", "rank": 2},
    {"method": "adapter", "size": 4},
    {"method": "prompt", "length": 2},
]


def built(make: Callable[..., Any], precision: str, **settings: Any) -> Any:
    """Builds a network for a precision, as a run builds it."""
    with built_for(precision):
        network = make(**settings)
    set_precision(network, FLOAT32)
    return network


@pytest.fixture
def make_mixed(make_network: Callable[..., Any]) -> Callable[..., Any]:
    """Builds the tiny network, with one layer, for a precision."""
    return functools.partial(built, functools.partial(make_network, layers=1))


def dense(precision: str) -> Any:
    """Returns dense layers built for a precision."""
    return built(dense_network, precision)


def state_of(network: Any) -> dict[str, tf.Tensor]:
    state: dict[str, tf.Tensor] = network.preprocess(tf.constant(["good thinga thingb", "bad thingc"]))
    return state


@pytest.mark.parametrize("precision", MIXED)
def test_a_network_computes_in_float32_until_it_is_asked_for_less(
    make_network: Callable[..., Any], make_mixed: Callable[..., Any], precision: str
) -> None:
    plain, mixed = make_network(layers=1), make_mixed(precision)
    assert tf.keras.mixed_precision.global_policy().name == FLOAT32
    assert same(values(plain), values(mixed))
    state = state_of(mixed)
    np.testing.assert_array_equal(plain(state), mixed(state))
    assert prefix_identity(plain, 2, "float16") == prefix_identity(mixed, 2, "float16")
    with computing_in(mixed.blocks, precision):
        assert mixed.run_blocks(state, 0, 2)["hidden"].dtype == SHORT[precision]
        assert mixed(state).dtype == tf.float32
    np.testing.assert_array_equal(plain(state), mixed(state))


@pytest.mark.parametrize("adaptation", METHODS, ids=lambda adaptation: adaptation["method"])
def test_a_step_of_every_method_is_near_that_in_float32(
    make_mixed: Callable[..., Any], adaptation: dict[str, Any]
) -> None:
    moves = {}
    # Both types differ in every method alike, so the second is taken where all weights move and where some are added.
    both = adaptation["method"] in ("full", "lora") and not bfloat16_is_refused()
    kinds = list(SHORT) if both else ["mixed_float16"]
    for kind in (FLOAT32, *kinds):
        network = make_mixed(kind, dropout=0.0)
        settings = stage(adaptation=adaptation, optimizer={"name": "sgd", "learning_rate": 1.0, "momentum": 0.0})
        moved = adapt(network, settings.adaptation, fitting.SEED)[-1]
        state, before = state_of(network), values(network)
        with tf.GradientTape() as tape:
            with computing_in(network.blocks, kind):
                logits = network(state)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant([1, 0]), logits))
        gradients = tape.gradient(loss, [weight.variable for weight in moved.weights])
        assert all(gradient.dtype == tf.float32 for gradient in gradients)
        phase = phases_of(network, settings, [moved])[-1]
        phase_optimizer(network, settings, [moved], phase).apply(gradients, moved)
        after = values(network)
        assert all(value.dtype == np.float32 for value in after.values())
        moves[kind] = np.concatenate([(after[name] - before[name]).ravel() for name in sorted(after)])
    for kind in kinds:
        assert np.linalg.norm(moves[kind] - moves[FLOAT32]) < 0.03 * np.linalg.norm(moves[FLOAT32]), kind


def val_losses(network: Any, examples: Any, precision: str, folder: Path, **changes: Any) -> list[float]:
    settings = stage(
        precision=precision,
        optimizer={"name": "adamw", "learning_rate": 0.01, "clip_norm": 1.0},
        block_decay=1.5,
        **changes,
    )
    return [row["val_loss"] for row in fit(network, settings, examples, folder / precision).history]


@pytest.mark.slow
def test_training_ends_near_where_it_ends_in_float32(
    make_mixed: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    losses = {}
    for kind in (FLOAT32, "mixed_float16") if bfloat16_is_refused() else (FLOAT32, *SHORT):
        network = make_mixed(kind)
        losses[kind] = val_losses(network, make_examples(network), kind, tmp_path)
    wanted = losses.pop(FLOAT32)
    for kind, found in losses.items():
        np.testing.assert_allclose(found, wanted, rtol=0.02, err_msg=kind)
        assert found != wanted, kind


def test_training_on_kept_outputs_ends_near_where_it_ends_in_float32(tmp_path: Path) -> None:
    losses = []
    for kind in (FLOAT32, "mixed_float16"):
        network = dense(kind)
        examples = rows_of_numbers(network, depth=1)
        changes = {"adaptation": {"method": "top-blocks", "blocks": 1}}
        losses.append(val_losses(network, examples, kind, tmp_path, **changes))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert losses[0] != losses[1]


def test_a_scale_halves_on_overflow_and_doubles_after_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    scale = LossScale()
    fine, overflown = tf.constant([1.0]), tf.constant([np.inf])
    slices = tf.IndexedSlices(tf.constant([[np.nan]]), tf.constant([1]), tf.constant([3, 1]))
    assert float(scale.scaled(tf.constant(2.0))) == 2 * INITIAL_SCALE
    assert float(scale.unscaled([fine])[0][0]) == 1 / INITIAL_SCALE
    assert not scale.accepts([fine, overflown])
    assert not scale.accepts([fine, slices])
    assert scale.state()[0] == INITIAL_SCALE / 4
    for _ in range(3):
        assert scale.accepts([fine])
    assert [float(value) for value in scale.state()] == [INITIAL_SCALE / 2, 0]
    again = LossScale()
    again.restore(scale.state())
    assert again.state() == scale.state()


def test_a_step_that_overflows_changes_nothing_but_the_scale(make_mixed: Callable[..., Any]) -> None:
    network = make_mixed("mixed_float16")
    settings = stage(precision="mixed_float16", optimizer={"name": "adamw", "learning_rate": 0.01}, block_decay=2.0)
    moved = adapt(network, settings.adaptation, fitting.SEED)
    optimizer = phase_optimizer(network, settings, moved, phases_of(network, settings, moved)[-1])
    before, state_before = values(network), optimizer.state()
    gradients = [tf.zeros_like(weight.variable) for weight in moved[-1].weights]
    optimizer.apply([gradients[0] + np.inf, *gradients[1:]], moved[-1])
    assert same(values(network), before)
    *slots, scale, good_steps = optimizer.state()
    assert all(np.array_equal(one, other) for one, other in zip(slots, state_before, strict=False))
    assert (scale, good_steps) == (INITIAL_SCALE / 2, 0)
    optimizer.apply(gradients, moved[-1])
    assert not same(values(network), before), "weight decay shrinks matrices"


@pytest.mark.slow
def test_overflow_does_not_end_training_and_a_resumed_fit_goes_on_with_the_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_scale, "INITIAL_SCALE", 2.0**24)  # more than float16 can hold of most gradients
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 4)
    settings = stage(
        precision="mixed_float16",
        block_decay=2.0,
        optimizer={"name": "adam", "learning_rate": 0.03},
        schedule={"name": "plateau", "patience": 1},
    )
    whole = dense("mixed_float16")
    left_alone = fit(whole, settings, rows_of_numbers(whole), tmp_path / "whole")
    steps = [int(value) for value in left_alone.optimizer if value.ndim == 0 and value.dtype == np.int64][:-1]
    assert all(0 < count < 15 for count in steps), "no step overflowed, so this test shows nothing"
    assert len(set(steps)) == 1, "an overflow skips the step of every block"
    stopped = dense("mixed_float16")
    with pytest.raises(Killed):
        fit(stopped, settings, rows_of_numbers(stopped), tmp_path / "stopped", StoppingDisplay(1))
    continued = dense("mixed_float16")
    again = fit(continued, settings, rows_of_numbers(continued), tmp_path / "stopped")
    assert same(values(continued), values(whole))
    assert comparable(again.history) == comparable(left_alone.history)
    assert again.optimizer[-2] == left_alone.optimizer[-2]


def test_gradients_that_no_scale_makes_finite_end_training(
    make_mixed: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_scale, "INITIAL_SCALE", 4.0)
    monkeypatch.setattr(loss_scale, "_times", lambda gradient, _: tf.convert_to_tensor(gradient) / 0.0)
    network = make_mixed("mixed_float16")
    with pytest.raises(NonFiniteLossError):
        fit(network, stage(precision="mixed_float16"), make_examples(network), tmp_path)


@pytest.mark.slow
def test_the_gate_judges_what_is_released_and_the_next_run_is_in_float32_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    runs = []
    for precision in (FLOAT32, "mixed_float16", FLOAT32):
        plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 40}}))
        plan["defaults"] |= {
            "precision": precision,
            "epochs": 1,
            "adaptation": {"method": "top-blocks", "blocks": 1},
            "cache": {"dtype": "float32"},
        }
        runs.append(stage_folder(place.run(plan, fresh=True).run, "one"))
    assert "mixed_float16 (slow without a GPU)" in place.said[1]
    assert "; float32; " in place.said[2]
    plain, mixed, again = (load_file(str(checkpoint_file(run))) for run in runs)
    assert same(plain, again)
    assert not same(plain, mixed)
    judged = pd.read_parquet(runs[1] / "predictions.parquet")
    version = Registry(tmp_path / "registry").model("tiny").version(2)
    cells = pd.read_csv(tmp_path / "table.csv", dtype=str)[["height", "colour"]].to_numpy()
    served = predict_exported(version.folder, cells[judged["row"] - 1].tolist())
    np.testing.assert_allclose(np.stack(judged["probabilities"].to_list()), served, rtol=2e-6)
