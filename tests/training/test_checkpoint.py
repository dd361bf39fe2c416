from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from fitting import same, values
from safetensors.numpy import save_file

from progressive_tf.adaptation.lora import lora
from progressive_tf.adaptation.moved_weights import MovedWeights, WeightGroup
from progressive_tf.errors import ProgressiveError
from progressive_tf.models.bert.bert import build
from progressive_tf.models.block_model import assign_weights, read_weights, weights_sha256
from progressive_tf.models.request import Request
from progressive_tf.plan.adaptation_methods import LoraAdaptation
from progressive_tf.plan.networks import Bert
from progressive_tf.training.fitting.checkpoint import (
    Backup,
    CheckpointFacts,
    checkpoint_facts,
    load_arrays,
    load_checkpoint,
    load_names,
    save_arrays,
    save_checkpoint,
)
from progressive_tf.training.fitting.locations import checkpoint_file

BASE = "b" * 64


@pytest.fixture
def moved(network: Any) -> MovedWeights:
    return MovedWeights((WeightGroup("last", tuple(network.named_weights()[-4:])),), 2)


@pytest.fixture
def start(network: Any) -> dict[str, np.ndarray]:
    return values(network)


@pytest.fixture
def saved(network: Any, moved: MovedWeights, start: dict[str, np.ndarray], tmp_path: Path) -> dict[str, np.ndarray]:
    """Changes the moved weights and saves them; returns the values of all weights then, and undoes the change."""
    for weight in moved.weights:
        weight.variable.assign(weight.variable + 1.0)
    save_checkpoint(tmp_path, network, moved, BASE)
    changed = values(network)
    assign_weights(network.named_weights(), start)
    return changed


def test_a_checkpoint_brings_back_every_weight(
    network: Any, moved: MovedWeights, saved: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert not same(values(network), saved)
    digest = load_checkpoint(tmp_path, network, BASE)
    assert same(values(network), saved)
    assert checkpoint_facts(tmp_path) == CheckpointFacts(BASE, weights_sha256(network.named_weights()), 2)
    assert digest == checkpoint_facts(tmp_path).weights_sha256
    assert load_names(checkpoint_file(tmp_path))[0] == {weight.name for weight in moved.weights}


def test_what_another_release_wrote_is_called_that(moved: MovedWeights, tmp_path: Path) -> None:
    checkpoint_file(tmp_path).parent.mkdir()
    save_file(read_weights(moved.weights), str(checkpoint_file(tmp_path)), metadata={"json": "{}"})
    with pytest.raises(ProgressiveError, match="written by another release of this package"):
        checkpoint_facts(tmp_path)


@pytest.mark.slow
def test_a_checkpoint_of_low_rank_updates_is_small(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(tiny.VOCABULARY))
    minilm = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=minilm)
    network = build(Request(model, tiny.LABELS, 1, tmp_path))
    roles = ("query", "key", "value", "output", "ffn")
    moved = lora(network, LoraAdaptation(method="lora", rank=8, targets=roles), 1)
    save_checkpoint(tmp_path / "stage", network, moved, BASE)
    assert checkpoint_file(tmp_path / "stage").stat().st_size < 2_000_000


def test_other_start_weights_are_refused(network: Any, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(ProgressiveError, match=r"made from weights b{12}, those it would be put onto are a{12}"):
        load_checkpoint(tmp_path, network, "a" * 64)


def test_a_network_that_is_not_at_the_start_weights_is_noticed(
    network: Any, saved: dict[str, np.ndarray], tmp_path: Path
) -> None:
    unmoved = network.named_weights()[0].variable
    unmoved.assign(unmoved + 1e-3)
    with pytest.raises(ProgressiveError, match="do not match their hash"):
        load_checkpoint(tmp_path, network, BASE)


def test_any_flipped_byte_is_one_clear_error(network: Any, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = checkpoint_file(tmp_path)
    whole = path.read_bytes()
    for position in [*range(64), *range(64, len(whole), 41)]:
        damaged = bytearray(whole)
        damaged[position] ^= 0x11
        path.write_bytes(bytes(damaged))
        said = None
        try:
            load_checkpoint(tmp_path, network, BASE)
        except ProgressiveError as error:
            said = str(error)
        # Bytes that mean the same either way, such as a space of the header's padding, are no damage.
        assert str(path) in said if said else same(values(network), saved), f"byte {position}"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9])
def test_a_truncated_checkpoint_is_one_clear_error(
    network: Any, saved: dict[str, np.ndarray], tmp_path: Path, share: float
) -> None:
    path = checkpoint_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    for read in (lambda: load_checkpoint(tmp_path, network, BASE), lambda: checkpoint_facts(tmp_path)):
        with pytest.raises(ProgressiveError, match=r"weights\.safetensors: .*damaged"):
            read()


def test_the_hash_sees_names_shapes_and_values(make_network: Callable[..., Any]) -> None:
    network, twin = make_network(), make_network()
    weights = network.named_weights()
    assert weights_sha256(weights) == weights_sha256(twin.named_weights())
    assert weights_sha256(weights[:-1]) != weights_sha256(weights)
    bias = weights[-1].variable
    bias.assign(np.nextafter(bias.numpy(), np.float32(1.0)))
    assert weights_sha256(weights) != weights_sha256(twin.named_weights())


def backup(path: Path) -> Backup:
    generator = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    made = Backup(
        epochs_done=2,
        phase_finished=False,
        learning_rate=0.1 + 0.2,
        history=[{"epoch": 1, "loss": 1 / 3}, {"epoch": 2, "loss": 2.0**-30}],
        callbacks={"plateau": {"wait": 1, "best": 1e-17, "cooldown_counter": 0}},
        weights={"head/kernel": array(8, 2), "head/bias": array(2)},
        best={"head/kernel": array(8, 2)},
        optimizer=[np.array(7, np.int64), *(array(3) for _ in range(11))],
    )
    made.save(path)
    return made


def test_a_backup_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    made = backup(tmp_path / "backup" / "state.safetensors")
    read = Backup.load(tmp_path / "backup" / "state.safetensors")
    scalars = ("epochs_done", "phase_finished", "learning_rate", "history", "callbacks")
    assert [getattr(read, name) for name in scalars] == [getattr(made, name) for name in scalars]
    assert same(read.weights, made.weights)
    assert same(read.best, made.best)
    assert [value.dtype for value in read.optimizer] == [value.dtype for value in made.optimizer]
    assert all(np.array_equal(one, other) for one, other in zip(read.optimizer, made.optimizer, strict=True))
    assert read.optimizer[0].shape == ()


def test_a_truncated_backup_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    backup(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ProgressiveError, match=r"state\.safetensors: .*damaged"):
        Backup.load(path)


def test_arrays_without_rank_or_order_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"scalar": np.float32(3.0), "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T}
    save_arrays(tmp_path / "arrays", arrays, {"some": ["json", None]})
    read, metadata = load_arrays(tmp_path / "arrays")
    assert metadata == {"some": ["json", None]}
    assert read["scalar"].shape == ()
    np.testing.assert_array_equal(read["transposed"], arrays["transposed"])
