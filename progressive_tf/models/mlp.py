"""A multilayer perceptron as blocks: one dense layer each."""

from __future__ import annotations

import json

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.elementwise import dropout
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.base import Preprocessing
from progressive_tf.models.preprocessing.columns import TablePreprocessing
from progressive_tf.models.preprocessing.vectors import VectorPreprocessing
from progressive_tf.models.projection import Block, Projection
from progressive_tf.models.request import Request
from progressive_tf.seeds import derive_seed


class DenseBlock(Block):
    """A dense layer, ReLU and dropout.

    Args:
        index: its number, from 0.
        width: numbers that come in.
        units: numbers that go out.
        rate: share of them dropped in training, in [0, 1).
        seed: initialises the kernel (Glorot & Bengio 2010).
    """

    def __init__(self, index: int, width: int, units: int, rate: float, seed: int) -> None:
        super().__init__(name=f"dense_{index}")
        self.width = units
        initializer = tf.keras.initializers.GlorotUniform(seed=derive_seed(seed, self.name))
        dense = tf.keras.layers.Dense(units, kernel_initializer=initializer, name="dense")
        dense.build([None, width])
        self.dropout = tf.keras.layers.Dropout(rate)
        self.projection = Projection("dense", dense)
        self.roles = {"dense": (self.projection,)}
        self.sublayer_outputs = (self.projection,)

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with `hidden` float [batch, 1, units]."""
        before = state["hidden"] if "hidden" in state else state["inputs"]
        rows = tf.nn.relu(self.projection(tf.reshape(before, [-1, before.shape[-1]]), training=training))
        hidden = tf.reshape(dropout(self.dropout, rows, training), [-1, before.shape[1] or 1, rows.shape[-1]])
        return {"hidden": hidden, "mask": state["mask"]}


def build(request: Request) -> BlockModel:
    """Returns a multilayer perceptron with a classification head; raises ValueError where the request has neither a
    width nor statistics of columns.
    """
    model, seed, preprocess = request.model, request.seed, _preprocessing(request)
    tf.keras.utils.set_random_seed(derive_seed(seed, "initialisation"))
    widths = [*preprocess.position_shape] + [model.units] * model.layers
    initial = derive_seed(seed, "initialisation", "dense")
    blocks = [DenseBlock(index, width, model.units, model.dropout, initial) for index, width in enumerate(widths[:-1])]
    head = ClassificationHead(
        classes=len(request.labels),
        width=model.units,
        dropout=model.dropout,
        seed=derive_seed(seed, "initialisation", "head"),
    )
    return BlockModel(preprocess, blocks, head, request.labels, json.dumps({"activation": "relu"}))


def _preprocessing(request: Request) -> Preprocessing:
    if request.statistics is not None:
        return TablePreprocessing(request.statistics)
    if request.input_width is None:
        raise ValueError("input_width: the numbers in a row expected, or statistics of columns; got None")
    return VectorPreprocessing(request.input_width)
