"""A builder of one's own: convolutions over tokens. A plan names it `builder: small_textnet:build`."""

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.models.preprocessing.vocabulary import read_vocabulary
from progressive_tf.models.projection import Block
from progressive_tf.seeds import derive_seed


class Embeddings(Block):
    """A vector for each token."""

    def __init__(self, tokens, width, seed):
        super().__init__(name="embeddings")
        self.width = width
        initializer = tf.keras.initializers.RandomNormal(0, 0.1, derive_seed(seed, "initialisation", self.name))
        self.table = self.add_weight(name="table", shape=[tokens, width], initializer=initializer)

    def call(self, state, training=False):
        """Returns the state with `hidden` float [batch, tokens, width]."""
        return {"hidden": tf.gather(self.table, state["inputs"]), "mask": state["mask"]}


class Convolution(Block):
    """A convolution over three tokens, ReLU, and what came in added to it."""

    def __init__(self, number, width, seed):
        super().__init__(name=f"conv{number}")
        self.width = width
        initializer = tf.keras.initializers.HeNormal(derive_seed(seed, "initialisation", self.name))
        self.convolution = tf.keras.layers.Conv1D(width, 3, padding="same", kernel_initializer=initializer)
        self.convolution.build([None, None, width])

    def call(self, state, training=False):
        """Returns the state with another `hidden`, which padding has no part in."""
        mask = tf.cast(state["mask"], state["hidden"].dtype)[:, :, tf.newaxis]
        changed = tf.nn.relu(self.convolution(state["hidden"] * mask))
        return {"hidden": state["hidden"] + changed, "mask": state["mask"]}


def build(request):
    """Returns embeddings and `settings.layers` convolutions of `settings.width`, with a head for `request.labels`."""
    settings, seed = request.model.settings, request.seed
    width = settings.get("width", 64)
    vocabulary = read_vocabulary(request.folder / settings["vocabulary"])
    blocks = [Embeddings(len(vocabulary), width, seed)]
    blocks += [Convolution(number, width, seed) for number in range(1, settings.get("layers", 2) + 1)]
    head = ClassificationHead(len(request.labels), width, dropout=0.1, seed=seed)
    return BlockModel(TextPreprocessing(vocabulary, lower_case=True, max_length=128), blocks, head, request.labels)
