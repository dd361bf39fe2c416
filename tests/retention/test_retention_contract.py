"""What every penalty must keep with every adaptation: a new one adds a row to `PENALTIES`."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from fitting import SEED, objective_of, quiet, stage, values

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.errors import InputError
from progressive_tf.plan.retention_methods import Lwf, Retention
from progressive_tf.retention.ewc import Consolidated, EwcPenalty
from progressive_tf.retention.soft_targets import LWF, lwf
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.fit import Fit, fit_stage
from progressive_tf.training.run.checks import check_retention

pytestmark = pytest.mark.slow

ADAPTATIONS: list[dict[str, Any]] = [
    {"method": "head"},
    {"method": "full"},
    {"method": "top-blocks", "blocks": 1},
    {"method": "gradual", "blocks_per_phase": 1},
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


@dataclass(frozen=True)
class Trained:
    """After a few epochs: how far the weights went, and how far the logits are from those of the teacher."""

    way: float
    distance: float


def trained(folder: Path, adaptation: dict[str, Any], penalty: str) -> Trained:
    """Trains a few epochs."""
    folder.mkdir()
    network = tiny.build_bert(folder, dropout=0.0, layers=1)
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
        made = tiny.make_examples(folder, network, 60, depth=depth, dtype="float32")
        if penalty == "lwf":
            made = made.with_extra(LWF, TEACHER)
        return made.take(np.arange(ROWS)), made.take(np.arange(ROWS, 60))

    objective = objective_of(settings)
    fit_stage(Fit(network, settings, moved, examples, objective, SEED, folder / "stage", quiet(), penalties=penalties))
    logits = network(tiny.make_examples(folder, network, 60).state(np.arange(ROWS))).numpy()
    after = values(network)
    way = sum(((after[name] - value) ** 2).sum() for name, value in before.items())
    centred = logits - logits.mean(axis=1, keepdims=True)
    teacher = TEACHER[:ROWS] - TEACHER[:ROWS].mean(axis=1, keepdims=True)
    return Trained(float(way), float(((centred - teacher) ** 2).mean()))


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=name_of)
def test_lwf_keeps_outputs_near_the_teachers_and_ewc_weights_near_their_values(
    tmp_path: Path, adaptation: dict[str, Any]
) -> None:
    penalties = ["none", "lwf", *(["ewc"] if adaptation["method"] not in NEW_WEIGHTS else [])]
    found = {name: trained(tmp_path / name, adaptation, name) for name in penalties}
    assert found["lwf"].distance < found["none"].distance
    if "ewc" in found:
        assert found["ewc"].way < 0.5 * found["none"].way


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
