"""What the sections of a plan say where a key is left out, and their bounds."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from progressive_tf.plan.methods import Contrastive, Description, Optimizer, Share
from progressive_tf.plan.release_schedule import Percent
from progressive_tf.plan.retention_methods import SoupAverage


@pytest.mark.parametrize(
    ("settings", "decay"),
    [
        ({"name": "adamw"}, 0.01),
        ({"name": "adam"}, 0.0),
        ({"name": "lamb"}, 0.0),
        ({"name": "adamw", "weight_decay": 0.0}, 0.0),
        ({"name": "sgd", "weight_decay": 0.3}, 0.3),
    ],
)
def test_adamw_alone_decays_weights_unless_told(settings: dict, decay: float) -> None:
    assert Optimizer(**settings).decay == decay


@pytest.mark.parametrize(("settings", "temperature"), [({}, 0.1), ({"temperature": 0.5}, 0.5)])
def test_contrastive_has_a_temperature_unless_told(settings: dict, temperature: float) -> None:
    assert Contrastive(name="contrastive", **settings).softmax_temperature == temperature


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        (Share, [1e-9, 0.5, 0.999], [0, 1, -0.1, 1.1]),
        (Percent, [1e-9, 1, 100], [0, -1, 100.1]),
        (Description, ["x", "x y"], ["", None]),
    ],
)
def test_bounds_of_numbers_and_texts(kind: object, inside: list, outside: list) -> None:
    adapter = TypeAdapter(kind)
    assert [adapter.validate_python(value) for value in inside] == inside
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_a_soup_of_no_stages_is_refused() -> None:
    assert SoupAverage(kind="soup", stages=["one"]).stages == ("one",)
    with pytest.raises(ValidationError, match="at least 1 item"):
        SoupAverage(kind="soup", stages=[])
