from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import Killed, StoppingDisplay, comparable, dense_network, fit, rows_of_numbers, same, stage, values

from progressive_tf.plan.retention_methods import Retention

pytestmark = pytest.mark.usefixtures("_determinism")

EMA: dict[str, Any] = {"kind": "ema", "decay": 0.9}
SWA: dict[str, Any] = {"kind": "swa", "start": 3, "every": 2}


def kind_of(settings: dict[str, Any]) -> str:
    return str(settings.get("kind") or settings.get("name") or settings.get("method") or settings)


def weights_after_each_step(network: Any, examples: Any, folder: Path, settings: Any) -> list[dict[str, np.ndarray]]:
    """Trains without averaging; returns the weights before the first step and after every one."""
    from progressive_tf.training.fitting.optimizers import StageOptimizer

    seen = [values(network)]
    plain = settings.model_copy(update={"retention": Retention()})
    apply = StageOptimizer.apply
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tensorflow.keras.Model.run_eagerly", True, raising=False)

        def noting(self: Any, gradients: Any, moved: Any) -> None:
            apply(self, gradients, moved)
            seen.append(values(network))

        patch.setattr(StageOptimizer, "apply", noting)
        fit(network, plain, examples, folder)
    return seen


def check_average(average: dict[str, Any], seen: list[dict[str, np.ndarray]], ended: dict[str, np.ndarray]) -> None:
    """Compares the weights that a stage ended with to the mean, by hand, of those after each step."""
    for name, first in seen[0].items():
        if average["kind"] == "ema":
            mean = first
            for each in seen[1:]:
                mean = 0.9 * mean + 0.1 * each[name]
        else:
            mean = np.mean([each[name] for each in seen[4::2]], axis=0)
        np.testing.assert_allclose(ended[name], mean, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    ("average", "optimizer"),
    [
        (EMA, {"name": "adamw", "learning_rate": 0.01, "clip_norm": 0.5}),
        (SWA, {"name": "sgd", "learning_rate": 0.1}),
        pytest.param(SWA, {"name": "lamb", "learning_rate": 0.01}, marks=pytest.mark.slow),
    ],
    ids=kind_of,
)
def test_a_stage_ends_with_the_average_of_its_steps(
    tmp_path: Path, average: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    settings = stage(epochs=2, optimizer=optimizer, retention={"average": average})
    network = dense_network(dropout=0.0)
    seen = weights_after_each_step(network, rows_of_numbers(network), tmp_path / "plain", settings)
    assert len(seen) == 1 + 2 * 5
    network = dense_network(dropout=0.0)
    fit(network, settings, rows_of_numbers(network), tmp_path / "averaged")
    check_average(average, seen, values(network))


@pytest.mark.slow
def test_rows_of_a_table_without_gradients_are_averaged_too(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    settings = stage(epochs=2, optimizer={"name": "lazyadam", "learning_rate": 0.01}, retention={"average": EMA})
    network = make_network(dropout=0.0, layers=1)
    seen = weights_after_each_step(network, make_examples(network, 60), tmp_path / "plain", settings)
    network = make_network(dropout=0.0, layers=1)
    fit(network, settings, make_examples(network, 60), tmp_path / "averaged")
    check_average(EMA, seen, values(network))


@pytest.mark.parametrize(
    ("average", "adaptation"),
    [
        (EMA, {"method": "head"}),
        (EMA, {"method": "gradual", "blocks_per_phase": 2}),
        pytest.param(SWA, {"method": "gradual", "blocks_per_phase": 2}, marks=pytest.mark.slow),
    ],
    ids=kind_of,
)
def test_validation_looks_at_the_average_that_is_kept(
    tmp_path: Path, average: dict[str, Any], adaptation: dict[str, Any]
) -> None:
    network = dense_network(dropout=0.0)
    examples = rows_of_numbers(network)
    settings = stage(epochs=5, adaptation=adaptation, early_stopping={"patience": 2}, retention={"average": average})
    fitted = fit(network, settings, examples, tmp_path)
    best, rest = fitted.history[fitted.best_epoch - 1], np.arange(40, 60)
    logits, labels = network(examples.state(rest)).numpy(), examples.labels[rest]
    assert float((logits.argmax(axis=1) == labels).mean()) == pytest.approx(best["val_accuracy"])
    right = logits[np.arange(20), labels]
    assert float(np.mean(np.log(np.exp(logits).sum(axis=1)) - right)) == pytest.approx(best["val_loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("average", "stop_in"), [(EMA, 1), (SWA, 2)], ids=["ema", "swa"])
def test_running_sums_survive_a_kill(tmp_path: Path, average: dict[str, Any], stop_in: int) -> None:
    settings = stage(
        epochs=4, schedule="plateau", early_stopping={"patience": 3}, block_decay=1.3, retention={"average": average}
    )
    alone = dense_network(dropout=0.1)
    fitted = fit(alone, settings, rows_of_numbers(alone), tmp_path / "alone")
    network = dense_network(dropout=0.1)
    with pytest.raises(Killed):
        fit(network, settings, rows_of_numbers(network), tmp_path / "killed", StoppingDisplay(stop_in))
    network = dense_network(dropout=0.1)
    resumed = fit(network, settings, rows_of_numbers(network), tmp_path / "killed")
    assert same(values(network), values(alone))
    assert comparable(resumed.history) == comparable(fitted.history)


def test_before_its_start_swa_is_the_weights_themselves(tmp_path: Path) -> None:
    plain, averaged = dense_network(dropout=0.0), dense_network(dropout=0.0)
    fit(plain, stage(epochs=2), rows_of_numbers(plain), tmp_path / "plain")
    late = stage(epochs=2, retention={"average": {"kind": "swa", "start": 1000}})
    fit(averaged, late, rows_of_numbers(averaged), tmp_path / "late")
    assert same(values(plain), values(averaged))


def test_a_carried_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"carry_state: retention.average ema begins anew"):
        stage(optimizer={"name": "adam", "carry_state": True}, retention={"average": {"kind": "ema"}})
