"""What every adaptation method must keep: a new one adds its settings to `SETTINGS`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from pydantic import TypeAdapter
from stepping import take_steps

from progressive_tf.adaptation.catalogue import ADDING, CHOOSING, PHASED, adapt, merge_additions, restore_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import assign_weights, read_weights
from progressive_tf.plan.adaptation_methods import Adaptation
from progressive_tf.plan.schema import Stage
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.fit import Fit, fit_stage
from progressive_tf.training.fitting.objectives import make_loss

SETTINGS: list[dict[str, Any]] = [
    {"method": "head"},
    {"method": "full"},
    {"method": "top-blocks", "blocks": 0},
    {"method": "top-blocks", "blocks": 1},
    {"method": "gradual", "blocks_per_phase": 2},
    {"method": "lora", "rank": 2},
    {"method": "lora", "rank": 3, "targets": ["output", "ffn"], "from_block": 2, "dropout": 0.1, "merge": False},
    {"method": "adapter", "size": 4},
    {"method": "adapter", "size": 3, "from_block": 2},
    {"method": "bitfit"},
    {"method": "prompt", "length": 3},
    {"method": "slda"},
    {"method": "prototypes"},
]
# Of which graphs are built too: phases, an addition within layers, and a block of its own.
FITTED = [
    settings for settings in SETTINGS if settings["method"] in ("gradual", "prompt") or settings.get("merge") is False
]


def name_of(settings: dict[str, Any]) -> str:
    return "-".join(str(value) for value in settings.values())


IDS = [name_of(settings) for settings in SETTINGS]
ADDED = [settings for settings in SETTINGS if settings["method"] in ADDING]
ADDED_IDS = [name for name, settings in zip(IDS, SETTINGS, strict=True) if settings in ADDED]
SEED = 9


class Kept:
    """A network that one test after the other adapts; each finds it without additions and with its first weights."""

    def __init__(self, folder: Path, pooling: str) -> None:
        self.network = tiny.build_bert(folder, pooling=pooling)
        self.names = [weight.name for weight in self.network.named_weights()]
        self.weights = read_weights(self.network.named_weights())

    def fresh(self) -> Any:
        self.network.remove_additions()
        assert [weight.name for weight in self.network.named_weights()] == self.names
        assign_weights(self.network.named_weights(), self.weights)
        return self.network


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> dict[str, Kept]:
    folder = tmp_path_factory.mktemp("kept")
    return {name: Kept(folder, "pooler" if name == "pooler" else "mean") for name in ("mean", "another", "pooler")}


@pytest.fixture
def network(kept: dict[str, Kept]) -> Any:
    return kept["mean"].fresh()


@pytest.fixture(scope="module")
def examples(kept: dict[str, Kept], tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return tiny.make_examples(tmp_path_factory.mktemp("examples"), kept["mean"].network, 32)


@pytest.fixture
def other(kept: dict[str, Kept]) -> Any:
    """A second network that equals the first."""
    return kept["another"].fresh()


def phases(network: Any, settings: dict[str, Any]) -> list[MovedWeights]:
    return adapt(network, TypeAdapter(Adaptation).validate_python(settings), SEED)


def moved_by(network: Any, settings: dict[str, Any]) -> MovedWeights:
    return phases(network, settings)[-1]


def names(moved: MovedWeights) -> list[str]:
    return [weight.name for weight in moved.weights]


def test_every_method_is_covered() -> None:
    assert {settings["method"] for settings in SETTINGS} == {*CHOOSING, *ADDING, *PHASED}


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_the_list_of_moved_weights(kept: dict[str, Kept], settings: dict[str, Any], pooling: str) -> None:
    network = kept[pooling].fresh()
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


def stage_of(settings: dict[str, Any]) -> Stage:
    return Stage.model_validate(
        {
            "name": "one",
            "data": {"all": True},
            "epochs": 3 if settings["method"] == "gradual" else 1,
            "early_stopping": None,
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "adaptation": settings,
            "gate": [{"metric": "accuracy", "at_least": 0.5}],
        }
    )


def changed(network: Any, before: dict[str, np.ndarray]) -> set[str]:
    after = read_weights(network.named_weights())
    return {name for name, value in after.items() if not np.array_equal(before[name], value)}


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_training_steps_change_every_moved_weight_and_no_other(
    network: Any, examples: Examples, settings: dict[str, Any]
) -> None:
    moved = phases(network, settings)
    before = read_weights(network.named_weights())
    # The first of LoRA's two matrices has no gradient while the second is zero: it moves from the second step on.
    take_steps(network, stage_of(settings), moved, examples, steps=2)
    assert changed(network, before) == set(names(moved[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("settings", FITTED, ids=name_of)
def test_an_epoch_of_a_fit_changes_every_moved_weight_and_no_other(
    network: Any, make_examples: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    stage, steps = stage_of(settings), phases(network, settings)
    before = read_weights(network.named_weights())

    def examples(depth: int, epochs: int) -> tuple[Examples, Examples]:
        made = make_examples(network, 48, depth=depth)
        return made.take(np.arange(32)), made.take(np.arange(32, 48))

    objective = Classification(make_loss(stage.loss))
    fit_stage(Fit(network, stage, steps, examples, lambda depth: objective, 1, tmp_path / "stage", Display()))
    assert changed(network, before) == set(names(steps[-1]))


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_each_phase_moves_what_the_one_before_it_moved(network: Any, settings: dict[str, Any]) -> None:
    steps = phases(network, settings)
    for earlier, later in itertools.pairwise(steps):
        assert set(names(earlier)) < set(names(later))
        assert later.frozen_depth < earlier.frozen_depth


@pytest.mark.parametrize("settings", ADDED, ids=ADDED_IDS)
def test_additions_come_back_from_their_description(network: Any, other: Any, settings: dict[str, Any]) -> None:
    names_before = [weight.name for weight in other.named_weights()]
    phases(network, settings)
    shift(network)
    described = json.loads(json.dumps(network.additions()))
    assert described
    restore_additions(other, described)
    assert other.additions() == network.additions() == described
    assign_weights(other.named_weights(), read_weights(network.named_weights()))
    np.testing.assert_array_equal(logits(other), logits(network))
    restore_additions(other, described)
    assert other.additions() == described, "what is there is not added again"
    other.remove_additions()
    assert not other.additions()
    assert [weight.name for weight in other.named_weights()] == names_before


@pytest.mark.parametrize("settings", ADDED, ids=ADDED_IDS)
def test_adapting_again_adds_nothing(network: Any, settings: dict[str, Any]) -> None:
    first = phases(network, settings)[-1]
    again = phases(network, settings)[-1]
    assert names(again) == names(first)
    assert all(one.variable is two.variable for one, two in zip(first.weights, again.weights, strict=True))


@pytest.mark.parametrize("settings", ADDED, ids=ADDED_IDS)
def test_merging_keeps_the_predictions(network: Any, settings: dict[str, Any]) -> None:
    phases(network, settings)
    shift(network)
    before = logits(network)
    merge_additions(network)
    kept = settings["method"] != "lora" or not settings.get("merge", True)
    assert bool(network.additions()) == kept
    np.testing.assert_allclose(logits(network), before, atol=1e-5)
    merge_additions(network, everything=True)
    assert bool(network.additions()) == (settings["method"] != "lora")
    np.testing.assert_allclose(logits(network), before, atol=1e-5)


ADAPTER, UPDATE = {"method": "adapter", "size": 3}, {"method": "lora", "rank": 2, "targets": ["output", "ffn"]}


@pytest.mark.parametrize("order", [(ADAPTER, UPDATE), (UPDATE, ADAPTER)], ids=["adapter first", "update first"])
def test_an_update_merges_below_an_adapter_of_the_same_projection(
    network: Any, other: Any, order: tuple[dict[str, Any], ...]
) -> None:
    for settings in order:
        phases(network, settings)
    phases(other, order[0])
    shift(network)
    restore_additions(other, network.additions())
    assign_weights(other.named_weights(), read_weights(network.named_weights()))
    before = logits(network)
    np.testing.assert_array_equal(logits(other), before)
    merge_additions(network)
    assert {addition["kind"] for addition in network.additions()} == {"adapter"}
    np.testing.assert_allclose(logits(network), before, atol=1e-5)


@pytest.mark.parametrize("settings", ADDED, ids=ADDED_IDS)
def test_the_seed_decides_how_additions_start(kept: dict[str, Kept], settings: dict[str, Any]) -> None:
    values = []
    for seed in (1, 1, 2):
        network = kept["mean"].fresh()
        moved = adapt(network, TypeAdapter(Adaptation).validate_python(settings), seed)[-1]
        values.append(np.concatenate([weight.variable.numpy().ravel() for weight in moved.weights]))
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def shift(network: Any) -> None:
    """Moves every weight a little, as training would."""
    generator = np.random.default_rng(0)
    for weight in network.named_weights():
        weight.variable.assign_add(generator.normal(scale=0.1, size=weight.variable.shape).astype(np.float32))


def logits(network: Any) -> np.ndarray:
    return network(network.preprocess(tf.constant(["good thinga", "bad thingb thingc thingd", "fine"]))).numpy()


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "lora", "rank": 9}, r"adaptation\.rank: 9 asked, query is 8 by 8; 8 is already the whole matrix"),
        ({"method": "lora", "targets": ["qery"]}, r"adaptation\.targets: unknown role 'qery'; did you mean 'query'"),
        ({"method": "lora", "from_block": 3}, r"adaptation\.from_block: 3 leaves no block .* 2 is the last block"),
        ({"method": "adapter", "from_block": 7}, r"adaptation\.from_block: 7 leaves no block with a place for an adap"),
        ({"method": "prompt", "length": 16}, r"adaptation\.length: 16 asked, model\.max_length is 16"),
        ({"method": "gradual", "blocks_per_phase": 4}, r"adaptation\.blocks_per_phase: 4 asked, the network has 3"),
    ],
)
def test_what_the_network_cannot_do_is_refused(network: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        phases(network, settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "lora", "rank": 2, "from_block": 2},
        {"method": "adapter", "size": 3, "from_block": 2},
        {"method": "top-blocks", "blocks": 1},
        {"method": "gradual", "blocks_per_phase": 2},
    ],
)
def test_blocks_that_a_method_has_added_do_not_change_the_count(
    network: Any, other: Any, settings: dict[str, Any]
) -> None:
    phases(other, {"method": "prompt", "length": 2})
    opened = [
        [{group.block for group in step.groups} - {"prompt"} for step in phases(each, settings)]
        for each in (network, other)
    ]
    assert opened[0] == opened[1]


def test_bitfit_moves_the_biases_of_adapters_too(network: Any) -> None:
    phases(network, ADAPTER)
    moved = names(moved_by(network, {"method": "bitfit"}))
    assert {"layer_0/output/adapter/down_bias", "layer_0/output/adapter/up_bias"} <= set(moved)
    assert not any(name.endswith("kernel") for name in moved if not name.startswith("head/"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"method": "lora", "merge": False, "rank": 2}, {"method": "lora", "merge": False, "rank": 3}),
        ({"method": "adapter", "size": 2}, {"method": "adapter", "size": 3}),
        ({"method": "prompt", "length": 2}, {"method": "prompt", "length": 3}),
    ],
    ids=["lora", "adapter", "prompt"],
)
def test_other_settings_than_those_an_earlier_stage_left_are_refused(
    network: Any, first: dict[str, Any], second: dict[str, Any]
) -> None:
    phases(network, first)
    with pytest.raises(InputError, match=r"earlier stage .*; use th"):
        phases(network, second)


def test_lora_is_the_papers_formula(network: Any) -> None:
    phases(network, {"method": "lora", "rank": 2, "alpha": 3.0, "targets": ["ffn"]})
    shift(network)
    projection = network.blocks[1].ffn_in
    [update] = projection.additions
    inputs = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    expected = (
        inputs @ (projection.dense.kernel + 3.0 / 2 * update.a.numpy() @ update.b.numpy()) + projection.dense.bias
    )
    np.testing.assert_allclose(projection(inputs), expected, atol=1e-5)
    np.testing.assert_allclose(update.change_of_kernel(), 1.5 * update.a.numpy() @ update.b.numpy(), atol=1e-6)


def test_additions_change_little_or_nothing_before_they_are_trained(kept: dict[str, Kept]) -> None:
    plain = logits(kept["mean"].fresh())
    for settings, tolerance in (({"method": "lora"}, 0.0), ({"method": "adapter"}, 5e-3)):
        network = kept["mean"].fresh()
        phases(network, settings | ({"rank": 2} if settings["method"] == "lora" else {}))
        np.testing.assert_allclose(logits(network), plain, atol=tolerance)


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_a_prompt_is_seen_by_attention_and_not_by_the_head(kept: dict[str, Kept], pooling: str) -> None:
    network = kept[pooling].fresh()
    phases(network, {"method": "prompt", "length": 3})
    assert [block.name for block in network.blocks[:2]] == ["embeddings", "prompt"]
    state = network.preprocess(tf.constant(["good thinga", "bad thingb thingc"]))
    after = network.run_blocks(state, 0, len(network.blocks))
    assert after["hidden"].shape[1] == state["mask"].shape[1] + 3
    own = {"hidden": after["hidden"][:, 3:], "mask": state["mask"]}
    np.testing.assert_array_equal(network(state), network.head(own))
    before = logits(network)
    prompt = network.blocks[1].vectors
    prompt.assign(prompt + 1.0)
    assert not np.array_equal(logits(network), before)


def test_bitfit_moves_biases_alone(network: Any) -> None:
    moved = moved_by(network, {"method": "bitfit"})
    assert moved.frozen_depth == 0
    in_blocks = {name.rpartition("/")[2] for name in names(moved) if not name.startswith("head/")}
    assert in_blocks == {"bias", "beta"}
    total = sum(name.rpartition("/")[2] in in_blocks for name in (w.name for w in network.weights_of_blocks(3)))
    assert sum(not name.startswith("head/") for name in names(moved)) == total
