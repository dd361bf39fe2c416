"""What every adaptation method must keep: a new one adds its settings to `SETTINGS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from progressive_tf.adaptation.catalogue import METHODS, moved_weights
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.methods import Adaptation
from progressive_tf.plan.schema import Stage
from progressive_tf.training.display import Display
from progressive_tf.training.fit import fit_stage

SETTINGS: list[dict[str, Any]] = [
    {"method": "head"},
    {"method": "full"},
    {"method": "top-blocks", "blocks": 0},
    {"method": "top-blocks", "blocks": 1},
]
IDS = ["-".join(str(value) for value in settings.values()) for settings in SETTINGS]


def moved_by(network: Any, settings: dict[str, Any]) -> MovedWeights:
    return moved_weights(network, TypeAdapter(Adaptation).validate_python(settings))


def names(moved: MovedWeights) -> list[str]:
    return [weight.name for weight in moved.weights]


def test_every_method_is_covered() -> None:
    assert {settings["method"] for settings in SETTINGS} == set(METHODS)


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_the_list_of_moved_weights(make_network: Callable[..., Any], settings: dict[str, Any], pooling: str) -> None:
    network = make_network(pooling=pooling)
    moved = moved_by(network, settings)
    known = [weight.name for weight in network.named_weights()]
    assert names(moved)
    assert len(set(names(moved))) == len(moved.weights), "a weight is named twice"
    assert names(moved) == [name for name in known if name in names(moved)], "not in the network's order"
    assert len({id(weight.variable) for weight in moved.weights}) == len(moved.weights)
    assert moved.count == sum(weight.variable.numpy().size for weight in moved.weights)
    blocks = [layer.name for layer in (*network.blocks, network.head)]
    grouped = [group.block for group in moved.groups]
    assert grouped == [name for name in blocks if name in grouped]
    assert all(weight.name.startswith(f"{group.block}/") for group in moved.groups for weight in group.weights)


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_the_frozen_depth_counts_exactly_the_leading_blocks_without_a_moving_weight(
    network: Any, settings: dict[str, Any]
) -> None:
    moved = moved_by(network, settings)
    variables = {id(weight.variable) for weight in moved.weights}

    def moves(block: Any) -> bool:
        return any(id(variable) in variables for variable in block.weights)

    assert not any(moves(block) for block in network.blocks[: moved.frozen_depth])
    assert moved.frozen_depth == len(network.blocks) or moves(network.blocks[moved.frozen_depth])


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_an_epoch_changes_every_moved_weight_and_no_other(
    network: Any, make_examples: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    stage = Stage.model_validate(
        {
            "name": "one",
            "data": {"all": True},
            "epochs": 1,
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "adaptation": settings,
            "gate": [{"metric": "accuracy", "at_least": 0.5}],
        }
    )
    moved = moved_weights(network, stage.adaptation)
    examples = make_examples(network, 48, depth=moved.frozen_depth)
    before = read_weights(network.named_weights())
    parts = examples.take(np.arange(32)), examples.take(np.arange(32, 48))
    fit_stage(network, stage, moved, *parts, seed=1, folder=tmp_path / "stage", display=Display())
    after = read_weights(network.named_weights())
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == set(names(moved))


def test_more_top_blocks_than_there_are_is_refused(network: Any) -> None:
    with pytest.raises(InputError, match=r"adaptation\.blocks: 4 asked, the network has 3; lower it"):
        moved_by(network, {"method": "top-blocks", "blocks": 4})


def test_no_top_blocks_is_head_and_all_of_them_is_full(network: Any) -> None:
    assert moved_by(network, {"method": "top-blocks", "blocks": 0}) == moved_by(network, {"method": "head"})
    assert moved_by(network, {"method": "top-blocks", "blocks": 3}) == moved_by(network, {"method": "full"})


def test_each_further_top_block_adds_that_block_alone(network: Any) -> None:
    for blocks in range(1, 4):
        more = moved_by(network, {"method": "top-blocks", "blocks": blocks})
        less = moved_by(network, {"method": "top-blocks", "blocks": blocks - 1})
        assert more.groups[1:] == less.groups
        assert more.groups[0].block == network.blocks[-blocks].name
        assert more.frozen_depth == less.frozen_depth - 1
