"""ResNet50 as blocks: the stem, then its four groups of residual blocks (He et al. 2016)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.images import CHANNELS, ImagePreprocessing
from progressive_tf.models.projection import Block
from progressive_tf.models.request import Request
from progressive_tf.models.weights_files import IMAGENET, keras_weights
from progressive_tf.seeds import derive_seed

STEM_END = "pool1_pool"
RESIDUAL_END = re.compile(r"^(conv(\d)_block\d+)_out$")
WIDTHS = {"2": 256, "3": 512, "4": 1024, "5": 2048}
# Mean of ImageNet's blue, green and red, which Keras' ResNet50 takes off (keras.applications.resnet.preprocess_input).
MEAN = (103.939, 116.779, 123.68)


class StemBlock(Block):
    """Pixels → a quarter of their height and width, 64 numbers at each place."""

    def __init__(self, inner: tf.keras.Model, preprocess: ImagePreprocessing) -> None:
        super().__init__(name="stem")
        self.inner = inner
        self.width = 64
        self._side = lambda: preprocess.size

    def positions(self, length: int) -> int:
        """Returns the number of places for an image of the present size."""
        return halved(halved(self._side())) ** 2

    def call(self, state: State, training: bool = False) -> State:
        """Returns `hidden` float [batch, places, 64] of `inputs` uint8 [batch, 1, height, width, 3]."""
        pixels = tf.cast(state["inputs"][:, 0], self.compute_dtype)[..., ::-1]
        return flat(self.inner(pixels - tf.constant(MEAN, pixels.dtype), training=training))


class ResidualBlock(Block):
    """One residual block, or a group of them, that halves height and width or keeps them."""

    def __init__(self, name: str, inner: tf.keras.Model, width: int, halves: bool) -> None:
        super().__init__(name=name)
        self.inner = inner
        self.width = width
        self._halves = halves

    def positions(self, length: int) -> int:
        """Returns the number of places after it."""
        side = round(length**0.5)
        return halved(side) ** 2 if self._halves else length

    def call(self, state: State, training: bool = False) -> State:
        """Returns `hidden` float [batch, places after, width] of [batch, places before, width before]."""
        return flat(self.inner(square(state["hidden"]), training=training))


def halved(side: int) -> int:
    """Returns the side of an image after a step of two, padded as ResNet50 pads it."""
    return (side + 1) // 2


def square(hidden: tf.Tensor) -> tf.Tensor:
    """Returns [batch, side, side, width] of [batch, side², width]."""
    side = tf.cast(tf.round(tf.sqrt(tf.cast(tf.shape(hidden)[1], tf.float32))), tf.int32)
    return tf.reshape(hidden, [-1, side, side, hidden.shape[-1]])


def flat(image: tf.Tensor) -> State:
    """Returns the state of [batch, height, width, channels]: a position for each place."""
    shape = tf.shape(image)
    hidden = tf.reshape(image, [-1, shape[1] * shape[2], image.shape[-1]])
    return {"hidden": hidden, "mask": tf.ones(tf.shape(hidden)[:2])}


class PooledDense(tf.keras.layers.Layer):
    """The mean over all places, then a dense layer with ReLU: [batch, places, width] → [batch, units]."""

    def __init__(self, width: int, units: int, seed: int) -> None:
        super().__init__(name="pooler")
        initializer = tf.keras.initializers.GlorotUniform(seed=seed)
        self.kernel = self.add_weight(name="pooler/kernel", shape=[width, units], initializer=initializer)
        self.bias = self.add_weight(name="pooler/bias", shape=[units], initializer="zeros")

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns float32 [batch, units]."""
        return tf.nn.relu(tf.reduce_mean(tf.cast(hidden, tf.float32), axis=1) @ self.kernel + self.bias)


def build(request: Request) -> BlockModel:
    """Returns a ResNet50 with a classification head; raises InputError for weights that are missing, damaged or not
    ResNet50's.
    """
    model, seed = request.model, request.seed
    tf.keras.utils.set_random_seed(derive_seed(seed, "initialisation"))
    whole = _whole_network(model.weights, request.folder)
    for layer in whole.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = model.batch_norm_momentum
    preprocess = ImagePreprocessing(request.image_size)
    blocks = _cut(whole, preprocess, model.blocks == "residual")
    width = blocks[-1].width
    pooler = None
    if model.dense is not None:
        pooler = PooledDense(width, model.dense, derive_seed(seed, "initialisation", "pooler"))
    head = ClassificationHead(
        classes=len(request.labels),
        width=model.dense or width,
        dropout=model.dropout,
        seed=derive_seed(seed, "initialisation", "head"),
        pooler=pooler,
    )
    return BlockModel(preprocess, blocks, head, request.labels, json.dumps({"blocks": model.blocks}))


def _cut(whole: tf.keras.Model, preprocess: ImagePreprocessing, finer: bool) -> list[Block]:
    """Returns the network's blocks; ResNet50 can be cut at the outputs of residual blocks only."""
    ends = [(match[1], match[2]) for layer in whole.layers if (match := RESIDUAL_END.match(layer.name))]
    if not finer:
        ends = [
            (name, group) for index, (name, group) in enumerate(ends) if group not in dict(ends[index + 1 :]).values()
        ]
    start = whole.get_layer(STEM_END).output
    blocks: list[Block] = [StemBlock(tf.keras.Model(whole.input, start, name="stem"), preprocess)]
    seen = {"2"}  # the first group keeps the size that the stem leaves
    for name, group in ends:
        end = whole.get_layer(f"{name}_out").output
        title = name if finer else f"conv{group}"
        inner = tf.keras.Model(start, end, name=title)
        blocks.append(ResidualBlock(title, inner, WIDTHS[group], halves=group not in seen))
        seen.add(group)
        start = end
    return blocks


def _whole_network(weights: str | None, folder: Path) -> tf.keras.Model:
    shape = (None, None, CHANNELS)
    make = tf.keras.applications.ResNet50
    if weights is None:
        return make(include_top=False, weights=None, input_shape=shape)
    place = f"model.weights: {weights}"
    if weights == IMAGENET:
        try:
            return make(include_top=False, weights=IMAGENET, input_shape=shape)
        except Exception as error:  # urllib, h5py and Keras each raise their own kinds
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{place}: not in Keras' cache and not to be fetched ({reason}); copy Keras' weights file for ResNet50 "
                f"without top here and name it, or set weights: null"
            ) from None
    network = make(include_top=False, weights=None, input_shape=shape)
    _load(network, *keras_weights(weights, folder), place)
    return network


def _load(network: tf.keras.Model, path: Path, checkpoint: bool, place: str) -> None:
    """Puts weights from a file into the network: Keras' .h5 (of either generation) or .keras, or a checkpoint."""
    try:
        if checkpoint:
            network.load_weights(str(path)).assert_existing_objects_matched().expect_partial()
        elif path.name.endswith(".weights.h5"):
            network.load_weights(str(path))
        elif path.suffix == ".keras":
            _copy_layers(tf.keras.models.load_model(path, compile=False), network)
        else:
            _check_layers(network, path)
            network.load_weights(str(path), by_name=True)
    except InputError:
        raise
    except Exception as error:  # Keras, h5py and TensorFlow each raise their own kinds
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{place}: not weights of Keras' ResNet50, or damaged: {reason}") from None


def _copy_layers(source: tf.keras.Model, network: tf.keras.Model) -> None:
    """Copies every layer's weights from the layer of the same name, which may stand in a model within the source."""
    there = {layer.name: layer for layer in source._flatten_layers()}
    for layer in network.layers:
        if layer.weights:
            if layer.name not in there:
                raise ValueError(f"it has no layer {layer.name}")
            layer.set_weights(there[layer.name].get_weights())


def _check_layers(network: tf.keras.Model, path: Path) -> None:
    """Makes sure that a file has every layer: Keras leaves those out that it does not find."""
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        missing = [layer.name for layer in network.layers if layer.weights and layer.name not in group]
    if missing:
        raise ValueError(f"{len(missing)} layers are missing, such as {missing[0]}")
