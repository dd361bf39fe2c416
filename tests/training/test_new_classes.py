from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from releasing import Place, read, stage_folder
from test_rivals import head_plan
from test_scenarios import numbers_plan, session_of

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import validate
from progressive_tf.training.fitting.checkpoint import load_arrays
from progressive_tf.training.fitting.linear_heads import UNSEEN
from progressive_tf.training.fitting.locations import checkpoint_file
from progressive_tf.training.stage.new_classes import directions, let_unseen_learn


def test_a_column_points_from_the_middle_of_the_classes_to_the_mean_of_its_own() -> None:
    features = np.array([[0, 0], [2, 0], [1, 4], [1, 4]], np.float32)
    classes, head = directions(features, np.array([3, 3, 7, 7]))
    np.testing.assert_array_equal(classes, [3, 7])
    np.testing.assert_allclose(head.kernel, [[0, 0], [-1, 1]], atol=1e-6)
    np.testing.assert_allclose(head.logits(np.array([[1, 2], [1, 3]], np.float32)), [[0, 0], [-1, 1]], atol=1e-6)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> tuple[Place, Path]:
    """A run whose steps are so small that each stage ends where it began."""
    place, plan = Place(tmp_path_factory.mktemp("new")), head_plan(rivals=[])
    plan["defaults"] |= {"head": {"init": "prototypes"}, "optimizer": {"name": "sgd", "learning_rate": 1e-9}}
    return place, place.run(plan).run


@pytest.mark.slow
def test_new_classes_are_known_before_anything_is_trained(ran: tuple[Place, Path]) -> None:
    _, run = ran
    metrics = read(stage_folder(run, "zero-one") / "metrics.json")
    assert metrics["test"]["zero-one"]["accuracy"]["value"] > 0.95
    assert metrics["test"]["zero-one"]["log_loss"]["value"] < 0.3  # sure enough, where the temperature suits


@pytest.mark.slow
def test_outputs_of_earlier_classes_stay_and_new_ones_are_as_long(ran: tuple[Place, Path]) -> None:
    place, run = ran
    before, after = (load_arrays(checkpoint_file(stage_folder(run, name)))[0] for name in ("zero-one", "two-three"))
    np.testing.assert_allclose(after["head/kernel"][:, :2], before["head/kernel"], atol=1e-6)
    lengths = np.linalg.norm(after["head/kernel"], axis=0)
    np.testing.assert_allclose(lengths[2:], lengths[:2].mean(), rtol=1e-4)
    session = session_of(place, run)
    second = session.stages[1]
    session.load(second)
    rows, source = second.rows()[0], session.source_of(second)
    features = session.features.read_by_head(source, rows, 1, session.settings(second).cache)
    _, head = directions(features, session.data.codes[source][rows])
    np.testing.assert_allclose(after["head/kernel"][:, 2:] / lengths[2:], head.kernel, atol=1e-3)


def test_what_has_no_new_classes_is_refused() -> None:
    plan = numbers_plan({"name": "one", "data": {"take": 40}, "head": {"init": "prototypes"}})
    with pytest.raises(InputError, match=r"head.init: prototypes is for classes that come with a stage"):
        validate(plan, "plan")
    plan = head_plan()
    plan["defaults"] |= {"head": {"init": "prototypes"}, "objective": "contrastive", "adaptation": {"method": "full"}}
    with pytest.raises(InputError, match=r"head.init: objective contrastive first moves what the head reads"):
        validate(plan, "plan")


def test_a_class_that_a_head_from_sums_has_not_seen_can_be_learnt_by_steps() -> None:
    weights = [np.zeros((2, 3), np.float32), np.array([0.5, UNSEEN, -0.25], np.float32)]
    dense = SimpleNamespace(
        get_weights=lambda: [value.copy() for value in weights],
        set_weights=lambda values: weights.__setitem__(slice(None), values),
    )
    network: Any = SimpleNamespace(has_linear_head=True, head=SimpleNamespace(dense=dense))
    let_unseen_learn(network)
    assert weights[1].tolist() == [0.5, -0.25, -0.25]
    let_unseen_learn(network)
    assert weights[1].tolist() == [0.5, -0.25, -0.25]
