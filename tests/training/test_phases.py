from __future__ import annotations

from typing import Any

import pytest
from fitting import SEED, stage

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.errors import InputError
from progressive_tf.training.fitting.phases import Phase, phases_of


def phases(network: Any, **changes: Any) -> list[Phase]:
    settings = stage(**changes)
    return phases_of(network, settings, adapt(network, settings.adaptation, SEED))


def test_most_methods_have_one_phase(network: Any) -> None:
    [phase] = phases(network, adaptation={"method": "bitfit"})
    assert (phase.name, phase.epochs, phase.contrastive) == ("", None, None)


def test_gradual_phases_share_the_epochs(network: Any) -> None:
    made = phases(network, adaptation={"method": "gradual", "epochs_per_phase": 2}, epochs=7)
    assert [phase.name for phase in made] == ["from head", "from layer_1", "from layer_0", "from embeddings"]
    assert [phase.epochs for phase in made] == [2, 2, 2, None]


def test_contrastive_trains_all_but_the_dense_layer_and_then_the_head(make_network: Any) -> None:
    for pooling, pooler in (("mean", 0), ("pooler", 2)):
        network = make_network(pooling=pooling)
        first, second = phases(network, adaptation={"method": "top-blocks", "blocks": 1}, objective="contrastive")
        assert first.contrastive is not None
        assert sum(weight.name.startswith("head/") for weight in first.moved.weights) == pooler
        assert (first.moved.frozen_depth, second.moved.frozen_depth) == (2, 3)
        assert {weight.name for weight in second.moved.weights} == {
            weight.name for weight in network.named_weights() if weight.name.startswith("head/")
        }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3, "adaptation": {"method": "gradual"}}, r"epochs: 3 asked, 4 phases .* need 4; raise it"),
        ({"objective": "contrastive", "adaptation": {"method": "gradual"}}, r"contrastive has phases of its own"),
        ({"objective": "contrastive", "adaptation": {"method": "head"}}, r"method head moves nothing of it"),
    ],
)
def test_what_does_not_go_together_is_refused(network: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        phases(network, **changes)
