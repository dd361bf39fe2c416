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
from stepping import take_steps

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from fitting import SEED, objective_of, quiet, stage, values

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import assign_weights
from progressive_tf.plan.retention_methods import Lwf, Retention
from progressive_tf.plan.schema import Stage
from progressive_tf.retention.ewc import Consolidated, EwcPenalty
from progressive_tf.retention.soft_targets import LWF, lwf
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.fit import Fit, fit_stage
from progressive_tf.training.fitting.stage_model import Penalty
from progressive_tf.training.run.checks import check_retention

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
ROWS, STEPS = 48, 6


def name_of(settings: dict[str, Any]) -> str:
    return str(settings["method"])


@dataclass(frozen=True)
class Trained:
    """After a few epochs: how far the weights went, and how far the logits are from those of the teacher."""

    way: float
    distance: float


class Start:
    """A network of one layer that each training adapts, from its first weights and without additions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = tiny.build_bert(folder, dropout=0.0, layers=1)
        self.weights = values(self.network)
        self.inputs = tiny.make_examples(folder, self.network, 60).with_extra(LWF, TEACHER)

    def adapted(self, settings: Stage) -> list[MovedWeights]:
        self.network.remove_additions()
        assign_weights(self.network.named_weights(), self.weights)
        return adapt(self.network, settings.adaptation, SEED)

    def penalties(self, kind: str, moved: list[MovedWeights]) -> list[Penalty]:
        if kind == "lwf":
            return [lwf(Lwf(strength=50.0), self.network, known=2)]
        if kind == "none":
            return []
        kept = {weight.name: self.weights[weight.name] for weight in moved[-1].weights if weight.name in self.weights}
        consolidated = Consolidated().plus({name: np.ones_like(value) for name, value in kept.items()}, kept)
        return [EwcPenalty(self.network, consolidated, strength=100.0)]

    def examples(self, depth: int) -> Examples:
        made = tiny.make_examples(self.folder, self.network, 60, depth=depth, dtype="float32")
        return made.with_extra(LWF, TEACHER)

    def trained(self) -> Trained:
        """Returns how it went since the network was adapted."""
        logits = self.network(self.inputs.state(np.arange(ROWS))).numpy()
        after = values(self.network)
        way = sum(((after[name] - value) ** 2).sum() for name, value in self.weights.items())
        centred = logits - logits.mean(axis=1, keepdims=True)
        teacher = TEACHER[:ROWS] - TEACHER[:ROWS].mean(axis=1, keepdims=True)
        return Trained(float(way), float(((centred - teacher) ** 2).mean()))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Start:
    return Start(tmp_path_factory.mktemp("start"))


def kinds(adaptation: dict[str, Any]) -> list[str]:
    return ["none", "lwf", *(["ewc"] if adaptation["method"] not in NEW_WEIGHTS else [])]


def assert_kept(found: dict[str, Trained]) -> None:
    """LwF keeps outputs near the teacher's, and EWC weights near their values."""
    assert found["lwf"].distance < found["none"].distance
    if "ewc" in found:
        assert found["ewc"].way < 0.5 * found["none"].way


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=name_of)
def test_every_penalty_keeps_what_it_should_whatever_moves(start: Start, adaptation: dict[str, Any]) -> None:
    settings, found = stage(adaptation=adaptation), {}
    for kind in kinds(adaptation):
        moved = start.adapted(settings)
        inputs = start.inputs.take(np.arange(ROWS))
        take_steps(start.network, settings, moved, inputs, STEPS, start.penalties(kind, moved))
        found[kind] = start.trained()
    assert_kept(found)


@pytest.mark.slow
def test_penalties_count_in_a_fit_of_several_phases(start: Start, tmp_path: Path) -> None:
    adaptation = {"method": "gradual", "blocks_per_phase": 2}
    settings, found = stage(adaptation=adaptation, epochs=8), {}
    for kind in kinds(adaptation):
        moved = start.adapted(settings)

        def examples(depth: int, epochs: int | None) -> tuple[Examples, Examples]:
            made = start.examples(depth)
            return made.take(np.arange(ROWS)), made.take(np.arange(ROWS, 60))

        penalties, objective = start.penalties(kind, moved), objective_of(settings)
        folder = tmp_path / kind
        fit_stage(Fit(start.network, settings, moved, examples, objective, SEED, folder, quiet(), penalties=penalties))
        found[kind] = start.trained()
    assert_kept(found)


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
