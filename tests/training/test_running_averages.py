from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import Killed, StoppingDisplay, comparable, fit, same, stage, values

from progressive_tf.plan.retention_methods import Retention

pytestmark = pytest.mark.slow

Make = Callable[..., Any]
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


@pytest.mark.parametrize(
    ("average", "optimizer"),
    [
        (EMA, {"name": "adamw", "learning_rate": 0.01, "clip_norm": 0.5}),
        (SWA, {"name": "sgd", "learning_rate": 0.1}),
        (SWA, {"name": "lamb", "learning_rate": 0.01}),
        (EMA, {"name": "lazyadam", "learning_rate": 0.01}),
    ],
    ids=kind_of,
)
def test_a_stage_ends_with_the_average_of_its_steps(
    make_network: Make, make_examples: Make, tmp_path: Path, average: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    settings = stage(epochs=2, optimizer=optimizer, retention={"average": average})
    network = make_network(dropout=0.0)
    seen = weights_after_each_step(network, make_examples(network, 60), tmp_path / "plain", settings)
    assert len(seen) == 1 + 2 * 5
    expected = {}
    for name, first in seen[0].items():
        if average["kind"] == "ema":
            mean = first
            for each in seen[1:]:
                mean = 0.9 * mean + 0.1 * each[name]
        else:
            mean = np.mean([each[name] for each in seen[4::2]], axis=0)
        expected[name] = mean
    network = make_network(dropout=0.0)
    fit(network, settings, make_examples(network, 60), tmp_path / "averaged")
    for name, value in values(network).items():
        np.testing.assert_allclose(value, expected[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    ("average", "adaptation"),
    [
        (EMA, {"method": "head"}),
        (EMA, {"method": "gradual", "blocks_per_phase": 2}),
        (SWA, {"method": "gradual", "blocks_per_phase": 2}),
        (SWA, {"method": "lora", "rank": 2}),
    ],
    ids=kind_of,
)
def test_validation_looks_at_the_average_that_is_kept(
    make_network: Make, make_examples: Make, tmp_path: Path, average: dict[str, Any], adaptation: dict[str, Any]
) -> None:
    network = make_network(dropout=0.0)
    examples = make_examples(network, 60)
    settings = stage(epochs=5, adaptation=adaptation, early_stopping={"patience": 2}, retention={"average": average})
    fitted = fit(network, settings, examples, tmp_path)
    rest = np.arange(40, 60)
    logits = network(examples.state(rest)).numpy()
    assert float((logits.argmax(axis=1) == examples.labels[rest]).mean()) == pytest.approx(
        fitted.history[fitted.best_epoch - 1]["val_accuracy"]
    )


@pytest.mark.parametrize(("average", "stop_in"), [(EMA, 1), (SWA, 2)], ids=["ema", "swa"])
def test_running_sums_survive_a_kill(
    make_network: Make, make_examples: Make, tmp_path: Path, average: dict[str, Any], stop_in: int
) -> None:
    settings = stage(
        epochs=4, schedule="plateau", early_stopping={"patience": 3}, block_decay=1.3, retention={"average": average}
    )
    alone = make_network()
    fitted = fit(alone, settings, make_examples(alone, 60), tmp_path / "alone")
    network = make_network()
    with pytest.raises(Killed):
        fit(network, settings, make_examples(network, 60), tmp_path / "killed", StoppingDisplay(stop_in))
    network = make_network()
    resumed = fit(network, settings, make_examples(network, 60), tmp_path / "killed")
    assert same(values(network), values(alone))
    assert comparable(resumed.history) == comparable(fitted.history)


def test_before_its_start_swa_is_the_weights_themselves(
    make_network: Make, make_examples: Make, tmp_path: Path
) -> None:
    plain, averaged = make_network(), make_network()
    fit(plain, stage(epochs=2), make_examples(plain, 60), tmp_path / "plain")
    late = stage(epochs=2, retention={"average": {"kind": "swa", "start": 1000}})
    fit(averaged, late, make_examples(averaged, 60), tmp_path / "late")
    assert same(values(plain), values(averaged))


def test_a_carried_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"carry_state: retention.average ema begins anew"):
        stage(optimizer={"name": "adam", "carry_state": True}, retention={"average": {"kind": "ema"}})
