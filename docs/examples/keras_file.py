"""A builder of one's own: an image model that Keras has saved, cut into blocks. A plan names it `keras_file:build`."""

import itertools

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.images import ImagePreprocessing
from progressive_tf.models.projection import Block
from progressive_tf.models.resnet import flat, square


class Part(Block):
    """The layers of a model between two of its tensors, [batch, height, width, channels]."""

    def __init__(self, name, before, after):
        super().__init__(name=name)
        self.inner = tf.keras.Model(before, after)
        self.height, self.across, self.width = after.shape[1:]

    def positions(self, length):
        """Returns the number of places after it, which follows from the image size that the model was saved with."""
        return self.height * self.across

    def call(self, state, training=False):
        """Returns the state with `hidden` float [batch, places, width]."""
        image = tf.cast(state["inputs"][:, 0], tf.float32) if "inputs" in state else square(state["hidden"])
        return flat(self.inner(image, training=training))


def build(request):
    """Returns the layers of `settings.file` up to the last of `settings.cuts`, with a head for `request.labels`."""
    model = tf.keras.models.load_model(request.folder / request.model.settings["file"], compile=False)
    if model.input_shape[1:3] != (request.image_size, request.image_size):
        raise ValueError(f"image_size: {request.image_size}; the model reads {model.input_shape[1:3]}")
    tensors = [model.input, *(model.get_layer(name).output for name in request.model.settings["cuts"])]
    blocks = [Part(f"part{number}", *pair) for number, pair in enumerate(itertools.pairwise(tensors), 1)]
    head = ClassificationHead(len(request.labels), blocks[-1].width, dropout=0.0, seed=request.seed)
    return BlockModel(ImagePreprocessing(request.image_size), blocks, head, request.labels)
