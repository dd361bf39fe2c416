"""ResNet50 in blocks computes what Keras' ResNet50 computes, wherever it is cut and however weights came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import tensorflow as tf
from shallow_resnet import shallow_resnet, use_shallow_resnet

from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, assign_weights, read_weights
from progressive_tf.models.request import Request
from progressive_tf.models.resnet import build
from progressive_tf.plan.networks import ResNet50
from progressive_tf.stack import keras_package

SIZES = (32, 45)
FILES = [pictures.encoded(pictures.picture("dot", np.random.default_rng(seed), 40)) for seed in range(3)]


def make(weights: str | None = None, folder: Path = Path(), seed: int = 3, **changes: Any) -> BlockModel:
    model = ResNet50(builder="resnet50", weights=weights, **changes)
    return build(Request(model, pictures.CLASSES, seed, folder, image_size=SIZES[0]))


@pytest.fixture
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    use_shallow_resnet(monkeypatch)


@pytest.fixture(scope="module")
def network() -> BlockModel:
    """A shallow network in groups; a test leaves it with the weights it had."""
    with pytest.MonkeyPatch.context() as patch:
        use_shallow_resnet(patch)
        return make()


@pytest.fixture(scope="module")
def keras() -> Any:
    tf.keras.utils.set_random_seed(5)
    whole = shallow_resnet(include_top=False, weights=None, input_shape=(None, None, 3))
    for layer in whole.layers:  # as after training: statistics that are not those of the beginning
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.random.default_rng(1).normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(np.random.default_rng(2).uniform(0.5, 2, layer.moving_variance.shape))
    return whole


# Keras' older formats are still what many have.
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    "suffix", [*(pytest.param(old, marks=pytest.mark.slow) for old in (".h5", ".weights.h5")), ".keras", ""]
)
@pytest.mark.usefixtures("_shallow")
def test_weights_of_a_local_file_give_what_keras_gives(suffix: str, keras: Any, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    (keras.save if suffix in (".h5", ".keras") else keras.save_weights)(path)
    assert_same_outputs(make(f"mine{suffix}", tmp_path), keras)


def assert_same_outputs(network: BlockModel, keras: Any) -> None:
    state = network.preprocess(network.preprocess.tensor(FILES))
    expected = keras(tf.keras.applications.resnet.preprocess_input(tf.cast(state["inputs"][:, 0], tf.float32)))
    hidden = network.run_blocks(state, 0, len(network.blocks))["hidden"]
    np.testing.assert_allclose(hidden, tf.reshape(expected, hidden.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_shallow")
def test_a_classifier_of_ones_own_lends_its_resnet(keras: Any, tmp_path: Path) -> None:
    inputs = tf.keras.Input([32, 32, 3])
    mine = tf.keras.Model(inputs, tf.keras.layers.Dense(4)(tf.keras.layers.GlobalAveragePooling2D()(keras(inputs))))
    mine.save(tmp_path / "mine.keras")
    found = read_weights(make("mine.keras", tmp_path).named_weights())
    np.testing.assert_array_equal(found["stem/conv1_conv/kernel"], keras.get_layer("conv1_conv").kernel)


# The one test of all sixteen residual blocks.
@pytest.mark.slow
def test_the_whole_network_is_cut_at_outputs_of_residual_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    made, keras = tf.keras.applications.ResNet50, []
    monkeypatch.setattr(tf.keras.applications, "ResNet50", lambda **options: keras.append(made(**options)) or keras[0])
    network = make(blocks="residual")
    names = [block.name for block in network.blocks]
    counts = {group: sum(name.startswith(f"conv{group}_") for name in names) for group in "2345"}
    assert counts == {"2": 3, "3": 4, "4": 6, "5": 3}
    assert_cuts(network)
    for size in SIZES:
        network.preprocess.resize(size)
        assert_same_outputs(network, keras[0])


@pytest.mark.usefixtures("_shallow")
def test_groups_are_cut_at_outputs_of_residual_blocks() -> None:
    network = make(blocks="groups")
    assert [block.name for block in network.blocks] == ["stem", "conv2", "conv3", "conv4", "conv5"]
    assert_cuts(network)


def assert_cuts(network: BlockModel) -> None:
    """Every weight has a place, and every block gives the positions and the width that it says."""
    assert len({weight.name for weight in network.named_weights()}) == len(network.weights)
    for size in (8, 33, 50):
        network.preprocess.resize(size)
        state = network.preprocess(network.preprocess.tensor(FILES[:1]))
        for depth, block in enumerate(network.blocks, start=1):
            state = block(state)
            assert state["hidden"].shape == (1, network.positions(depth, 1), block.width)


@pytest.mark.usefixtures("_shallow")
def test_both_cuts_are_one_network(network: BlockModel) -> None:
    coarse, fine = network, make(blocks="residual")
    assert len(fine.blocks) > len(coarse.blocks)
    state = coarse.preprocess(coarse.preprocess.tensor(FILES))
    np.testing.assert_allclose(coarse(state), fine(state), atol=1e-5)


def test_statistics_stay_in_inference_and_move_in_training(network: BlockModel) -> None:
    state = network.preprocess(network.preprocess.tensor(FILES))
    before = read_weights(network.named_weights())
    network(state, training=False)
    assert all(np.array_equal(value, before[name]) for name, value in read_weights(network.named_weights()).items())
    network.run_blocks(network.run_blocks(state, 0, 4), 4, 5, training=True)
    after = read_weights(network.named_weights())
    moved = {name.split("/")[0] for name, value in after.items() if not np.array_equal(value, before[name])}
    assign_weights(network.named_weights(), before)
    assert moved == {"conv5"}


@pytest.mark.usefixtures("_shallow")
def test_a_dense_layer_may_stand_below_the_classes() -> None:
    network = make(dense=24)
    assert network.head.dense.kernel.shape == (24, 3)
    assert [weight.variable.shape.as_list() for weight in network.named_weights() if "pooler" in weight.name] == [
        [2048, 24],
        [24],
    ]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.usefixtures("_shallow")
def test_missing_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.weights: none.h5: there is no file .*expected Keras' .h5"):
        make("none.h5", tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.weights.h5").touch()
    with pytest.raises(InputError, match=r"folder: a folder; name the file in it, .* \(a\.weights\.h5\)"):
        make("folder", tmp_path)
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model.weights: bad.h5: not weights of Keras' ResNet50, or damaged"):
        make("bad.h5", tmp_path)
    other = tf.keras.Sequential([tf.keras.layers.Dense(3, name="other")])
    other.build([None, 2])
    for name in ("other.h5", "other.keras"):
        other.save(tmp_path / name)
        with pytest.raises(InputError, match=rf"model.weights: {name}: not weights .*conv1_conv"):
            make(name, tmp_path)
    other.save_weights(tmp_path / "checkpoint-of-another")
    with pytest.raises(InputError, match=r"model.weights: checkpoint-of-another: not weights"):
        make("checkpoint-of-another", tmp_path)


@pytest.mark.usefixtures("_shallow")
def test_imagenet_weights_that_cannot_be_fetched_are_an_error_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("URL fetch failure")

    monkeypatch.setattr(tf.keras.utils, "get_file", fail)
    monkeypatch.setattr(f"{keras_package()}.src.utils.data_utils.get_file", fail)
    with pytest.raises(InputError, match=r"model.weights: imagenet: not in Keras' cache and not to be fetched"):
        make("imagenet")
