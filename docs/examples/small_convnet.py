"""A builder of one's own: convolutions for small images. A plan names it `builder: small_convnet:build`."""

import itertools

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.images import ImagePreprocessing
from progressive_tf.models.projection import Block
from progressive_tf.models.resnet import flat, halved, square
from progressive_tf.seeds import derive_seed


class Convolution(Block):
    """A convolution that halves height and width, batch normalisation, ReLU."""

    def __init__(self, number, before, width, preprocess, seed):
        super().__init__(name=f"conv{number}")
        self.width = width
        self.image_side = (lambda: preprocess.size) if number == 1 else None
        initializer = tf.keras.initializers.HeNormal(derive_seed(seed, "initialisation", self.name))
        self.convolution = tf.keras.layers.Conv2D(width, 3, 2, "same", use_bias=False, kernel_initializer=initializer)
        self.normalization = tf.keras.layers.BatchNormalization(momentum=0.9)
        self.convolution.build([None, None, None, before])
        self.normalization.build([None, None, None, width])

    def positions(self, length):
        """Returns the number of places after it: an image is one position, a place of `hidden` is one later on."""
        return halved(self.image_side() if self.image_side else round(length**0.5)) ** 2

    def call(self, state, training=False):
        """Returns the state with `hidden` float [batch, places, width]."""
        image = tf.cast(state["inputs"][:, 0], tf.float32) / 255 if self.image_side else square(state["hidden"])
        return flat(tf.nn.relu(self.normalization(self.convolution(image), training=training)))


def build(request):
    """Returns a network of `settings.widths` convolutions with a head for `request.labels`."""
    preprocess = ImagePreprocessing(request.image_size)
    pairs = itertools.pairwise([3, *request.model.settings.get("widths", [16, 32])])
    blocks = [Convolution(number, *pair, preprocess, request.seed) for number, pair in enumerate(pairs, 1)]
    head = ClassificationHead(len(request.labels), blocks[-1].width, dropout=0.1, seed=request.seed)
    return BlockModel(preprocess, blocks, head, request.labels)
