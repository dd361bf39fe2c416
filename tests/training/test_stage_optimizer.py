from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitting
import numpy as np
import pytest
import tensorflow as tf
from fitting import Killed, StoppingDisplay, comparable, dense_network, fit, rows_of_numbers, same, stage, values

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.training.fitting.fit import phase_optimizer
from progressive_tf.training.fitting.optimizers import StageOptimizer, rate_scales
from progressive_tf.training.fitting.phases import phases_of


def optimizer_for(network: Any, **changes: Any) -> tuple[StageOptimizer, Any]:
    settings = stage(**changes)
    moved = adapt(network, settings.adaptation, fitting.SEED)
    return phase_optimizer(network, settings, moved, phases_of(network, settings, moved)[-1]), moved[-1]


def test_a_blocks_rate_is_that_of_the_block_above_divided_by_the_decay(network: Any) -> None:
    scales = rate_scales(network, 2.0)
    assert scales == {"embeddings": 1 / 8, "layer_0": 1 / 4, "layer_1": 1 / 2, "head": 1.0}
    assert set(rate_scales(network, None).values()) == {1.0}


def test_there_is_one_optimizer_unless_blocks_differ(network: Any) -> None:
    single, moved = optimizer_for(network)
    assert [group.blocks for group in single.groups] == [("embeddings", "layer_0", "layer_1", "head")]
    decayed, _ = optimizer_for(network, block_decay=2.6)
    assert [group.blocks for group in decayed.groups] == [("embeddings",), ("layer_0",), ("layer_1",), ("head",)]
    gradual, _ = optimizer_for(network, adaptation={"method": "gradual"}, epochs=9)
    assert len(gradual.groups) == 4
    assert decayed.leading is decayed.groups[-1].optimizer
    assert {id(v) for group in decayed.groups for v in group.variables} == {id(w.variable) for w in moved.weights}


def test_where_the_head_takes_no_part_the_highest_block_has_the_plans_rate(network: Any) -> None:
    settings = stage(block_decay=2.0, objective={"name": "contrastive", "learning_rate": 0.1})
    moved = adapt(network, settings.adaptation, fitting.SEED)
    optimizer = phase_optimizer(network, settings, moved, phases_of(network, settings, moved)[0])
    assert [group.blocks for group in optimizer.groups] == [("embeddings",), ("layer_0",), ("layer_1",)]
    assert [group.rate_scale for group in optimizer.groups] == [1 / 4, 1 / 2, 1.0]
    assert optimizer.rate == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lamb", "lazyadam"])
def test_every_group_follows_the_leading_rate(network: Any, name: str) -> None:
    without_memory = {"momentum": 0.0} if name == "sgd" else {}
    updates, moved = optimizer_for(
        network, block_decay=2.0, optimizer={"name": name, "learning_rate": 0.1, "weight_decay": 0.0} | without_memory
    )

    def step() -> dict[str, float]:
        before = values(network)
        updates.apply([tf.ones_like(weight.variable) for weight in moved.weights], moved)
        after = values(network)
        lengths = {key: np.abs(after[key] - before[key]).mean() for key in before}
        return {
            block: float(np.mean([lengths[key] for key in lengths if key.startswith(f"{block}/") and "bias" in key]))
            for block in ("layer_0", "layer_1", "head")
        }

    first = step()
    assert first["layer_1"] / first["head"] == pytest.approx(1 / 2, rel=1e-3)
    assert first["layer_0"] / first["head"] == pytest.approx(1 / 4, rel=1e-3)
    updates.leading.learning_rate = 0.0
    assert all(length == 0.0 for length in step().values())


def test_decay_follows_each_groups_rate(network: Any) -> None:
    updates, moved = optimizer_for(
        network, block_decay=2.0, optimizer={"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.5}
    )
    before = values(network)
    updates.apply([tf.zeros_like(weight.variable) for weight in moved.weights], moved)
    after = values(network)
    for block, scale in rate_scales(network, 2.0).items():
        for name in (name for name in before if name.startswith(f"{block}/")):
            factor = 1 - 0.1 * 0.5 * scale if before[name].ndim >= 2 else 1.0
            np.testing.assert_allclose(after[name], before[name] * factor, rtol=1e-6, err_msg=name)


def test_a_block_that_joins_later_takes_its_first_step_with_the_right_bias_correction(network: Any) -> None:
    changes = {"adaptation": {"method": "gradual"}, "epochs": 9, "optimizer": {"name": "adam", "learning_rate": 0.01}}
    updates, _ = optimizer_for(network, **changes)
    phases = adapt(network, stage(**changes).adaptation, fitting.SEED)
    for _ in range(5):
        updates.apply([tf.ones_like(weight.variable) for weight in phases[0].weights], phases[0])
    before = values(network)
    updates.apply([tf.ones_like(weight.variable) for weight in phases[1].weights], phases[1])
    step = before["layer_1/intermediate/dense/bias"] - values(network)["layer_1/intermediate/dense/bias"]
    np.testing.assert_allclose(step, 0.01, rtol=1e-4)


def test_state_comes_back_and_another_is_refused(make_network: Callable[..., Any]) -> None:
    network, other = make_network(), make_network()
    updates, moved = optimizer_for(network, block_decay=2.0)
    updates.apply([tf.ones_like(weight.variable) for weight in moved.weights], moved)
    restored, _ = optimizer_for(other, block_decay=2.0)
    restored.restore(updates.state())
    assert all(np.array_equal(one, two) for one, two in zip(updates.state(), restored.state(), strict=True))
    single, _ = optimizer_for(make_network())
    with pytest.raises(ValueError, match="arrays expected"):
        single.restore(updates.state())


PHASED: dict[str, dict[str, Any]] = {
    "gradual, plateau, early stopping": {
        "adaptation": {"method": "gradual", "blocks_per_phase": 2},
        "epochs": 5,
        "optimizer": {"name": "adamw", "learning_rate": 0.05},
        "schedule": {"name": "plateau", "patience": 1},
        "early_stopping": {"patience": 1},
    },
    "gradual in long phases, sgd, warm-up, block decay": {
        "adaptation": {"method": "gradual", "blocks_per_phase": 3, "epochs_per_phase": 2},
        "epochs": 4,
        "optimizer": {"name": "sgd", "learning_rate": 0.2},
        "schedule": "warmup-linear",
        "block_decay": 2.6,
    },
    "contrastive, then a head": {
        "adaptation": {"method": "top-blocks", "blocks": 1},
        "objective": {"name": "contrastive", "epochs": 2, "learning_rate": 0.01, "pairs_per_example": 7},
        "epochs": 4,
        "schedule": {"name": "plateau", "patience": 1},
        "early_stopping": {"patience": 2},
    },
    "block decay, plateau": {
        "block_decay": 2.6,
        "epochs": 5,
        "optimizer": {"name": "adam", "learning_rate": 0.1},
        "schedule": {"name": "plateau", "patience": 1},
    },
}


@pytest.mark.parametrize("case", PHASED)
def test_a_fit_in_phases_that_was_stopped_ends_as_one_left_alone(tmp_path: Path, case: str) -> None:
    settings = stage(**PHASED[case])
    whole = dense_network(layers=3)
    examples = rows_of_numbers(whole)
    left_alone = fit(whole, settings, examples, tmp_path / "whole")
    stop_in = 1 if "long phases" in case else left_alone.epochs // 2 + 1  # within a phase, or in a later one
    with pytest.raises(Killed):
        fit(dense_network(layers=3), settings, examples, tmp_path / "stopped", StoppingDisplay(stop_in))
    continued = dense_network(layers=3)
    again = fit(continued, settings, examples, tmp_path / "stopped")
    assert same(values(continued), values(whole)), f"stopped in epoch {stop_in}"
    assert comparable(again.history) == comparable(left_alone.history)
    assert again.best_epoch == left_alone.best_epoch


def test_early_stopping_ends_a_phase_and_the_best_epoch_of_all_phases_is_kept(tmp_path: Path) -> None:
    network = dense_network(layers=3)
    settings = stage(
        adaptation={"method": "gradual", "blocks_per_phase": 2, "epochs_per_phase": 4},
        epochs=10,
        optimizer={"name": "sgd", "learning_rate": 2.0},
        early_stopping={"patience": 1},
    )
    fitted = fit(network, settings, rows_of_numbers(network), tmp_path)
    phases = [int(row["phase"]) for row in fitted.history]
    assert sorted(set(phases)) == [1, 2, 3]
    assert phases == sorted(phases)
    assert any(phases.count(phase) < 4 for phase in (1, 2)), "no phase was stopped early"
    assert fitted.best_epoch == 1 + int(np.argmin([row["val_loss"] for row in fitted.history]))
