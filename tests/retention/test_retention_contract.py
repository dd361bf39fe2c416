"""What every penalty must keep with every adaptation: a new one adds a row to `PENALTIES`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from fitting import SEED, quiet, stage, values

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.retention_methods import Lwf, Retention
from progressive_tf.retention.ewc import Consolidated, EwcPenalty
from progressive_tf.retention.lwf import KEY, lwf
from progressive_tf.training.examples import Examples
from progressive_tf.training.fit import fit_stage
from progressive_tf.training.retention_checks import check_retention

ADAPTATIONS: list[dict[str, Any]] = [
    {"method": "head"},
    {"method": "full"},
    {"method": "top-blocks", "blocks": 1},
    {"method": "gradual", "blocks_per_phase": 2},
    {"method": "lora", "rank": 2},
    {"method": "adapter", "size": 4},
    {"method": "bitfit"},
    {"method": "prompt", "length": 3},
]
NEW_WEIGHTS = ("lora", "adapter", "prompt")
TEACHER = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32) * 3
ROWS = 48


def name_of(settings: dict[str, Any]) -> str:
    return str(settings["method"])


def trained(
    network: Any, make_examples: Callable[..., Any], folder: Path, adaptation: dict[str, Any], penalty: str | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Trains a few epochs; returns the weights before, and the logits afterwards on the training rows."""
    settings = stage(adaptation=adaptation, epochs=8)
    before = values(network)
    moved = adapt(network, settings.adaptation, SEED)
    penalties: list[Any] = []
    if penalty == "ewc":
        kept = {weight.name: before[weight.name] for weight in moved[-1].weights if weight.name in before}
        consolidated = Consolidated().plus({name: np.ones_like(value) for name, value in kept.items()}, kept)
        penalties = [EwcPenalty(network, consolidated, strength=100.0)]
    if penalty == "lwf":
        penalties = [lwf(Lwf(strength=50.0), network, known=2)]

    def examples(depth: int, epochs: int | None) -> tuple[Examples, Examples]:
        made = make_examples(network, 60, depth=depth, dtype="float32")
        if penalty == "lwf":
            made = made.with_extra(KEY, TEACHER)
        return made.take(np.arange(ROWS)), made.take(np.arange(ROWS, 60))

    fit_stage(network, settings, moved, examples, SEED, folder, quiet(), penalties=penalties)
    state = make_examples(network, 60).state(np.arange(ROWS))
    return before, network(state).numpy()


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=name_of)
def test_lwf_keeps_outputs_near_the_teachers(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path, adaptation: dict[str, Any]
) -> None:
    def distance(penalty: str | None) -> float:
        _, logits = trained(make_network(dropout=0.0), make_examples, tmp_path / str(penalty), adaptation, penalty)
        centred = logits - logits.mean(axis=1, keepdims=True)
        teacher = TEACHER[:ROWS] - TEACHER[:ROWS].mean(axis=1, keepdims=True)
        return float(((centred - teacher) ** 2).mean())

    assert distance("lwf") < distance(None)


@pytest.mark.parametrize("adaptation", [each for each in ADAPTATIONS if each["method"] not in NEW_WEIGHTS], ids=name_of)
def test_ewc_keeps_weights_near_their_values(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path, adaptation: dict[str, Any]
) -> None:
    def way(penalty: str | None) -> float:
        network = make_network(dropout=0.0)
        before, _ = trained(network, make_examples, tmp_path / str(penalty), adaptation, penalty)
        after = read_weights(network.named_weights())
        return float(sum(((after[name] - value) ** 2).sum() for name, value in before.items()))

    assert way("ewc") < 0.5 * way(None)


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=name_of)
def test_ewc_is_refused_where_the_weights_that_move_are_new(network: Any, adaptation: dict[str, Any]) -> None:
    settings = stage(adaptation=adaptation, retention={"ewc": {}}, epochs=8)
    inherited = set(values(network))
    moved = adapt(network, settings.adaptation, SEED)[-1]
    if adaptation["method"] in NEW_WEIGHTS:
        with pytest.raises(InputError, match=r"stages\[1\].retention.ewc: .* new in this stage, such as"):
            check_retention(settings, "stages[1]", inherited, moved)
    else:
        check_retention(settings, "stages[1]", inherited, moved)
    # In a stage after that, they are there.
    check_retention(settings, "stages[2]", set(values(network)), moved)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(Retention.model_fields, 2)))
def test_methods_add_up(one: str, other: str) -> None:
    given: dict[str, Any] = {"replay": {"budget": 5}, "ewc": {}, "lwf": {}, "distill": {}, "average": {"kind": "ema"}}
    retention = Retention.model_validate({one: given[one], other: given[other]})
    assert set(retention.methods) == {one, other}
