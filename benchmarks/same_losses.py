"""Whether training by this package's own arithmetic goes as it does by the arithmetic of transformers and Keras.

The package computes encoder layers, dropout and the step over the embedding table in its own way, for speed. Both ways
train every weight of MiniLM-L6 on the same reviews in the same batches from the same weights, once per seed; dropout
draws other numbers, so that the curves differ by chance and should differ by no more.

Command: python -m benchmarks.same_losses [--seeds 1 2 3 4 5] [--reviews 500] [--epochs 3]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from unittest.mock import patch

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.full_training import BATCH_SIZE, minilm_and_reviews
from progressive_tf.adaptation.moved_weights import move_from
from progressive_tf.logs import set_up_logging
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.projection import Block
from progressive_tf.plan.methods import CrossEntropy, Optimizer
from progressive_tf.training import hardware
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting import optimizers
from progressive_tf.training.fitting.callbacks import reset_random_layers
from progressive_tf.training.fitting.examples import evaluation_dataset, training_dataset
from progressive_tf.training.fitting.objectives import make_loss
from progressive_tf.training.fitting.optimizers import StageOptimizer
from progressive_tf.training.fitting.stage_model import StageModel

VALIDATION = 500
MEASURES = {"loss": "training loss", "val_loss": "validation loss"}


class StockEmbeddings(Block):
    """The embeddings as transformers computes them."""

    def __init__(self, block: Block) -> None:
        super().__init__(name=block.name)
        self.inner = block.inner

    def call(self, state: State, training: bool = False) -> State:
        """Returns the next state."""
        return {"hidden": self.inner(input_ids=state["inputs"], training=training), "mask": state["mask"]}


class StockLayer(Block):
    """An encoder layer as transformers computes it."""

    def __init__(self, block: Block) -> None:
        super().__init__(name=block.name)
        self.inner = block.inner

    def call(self, state: State, training: bool = False) -> State:
        """Returns the next state."""
        attention_mask = (1.0 - state["mask"][:, tf.newaxis, tf.newaxis, :]) * -1e4
        nothing = dict.fromkeys(("head_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_value"))
        hidden, *_ = self.inner(
            hidden_states=state["hidden"],
            attention_mask=attention_mask,
            output_attentions=False,
            training=training,
            **nothing,
        )
        return {"hidden": hidden, "mask": state["mask"]}


def main() -> None:
    """Prints mean losses of both ways, and the mean of their differences with its 95 % interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--reviews", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    set_up_logging(verbose=False)
    hardware.prepare()
    own, stock = [], []
    for seed in options.seeds:
        own.append(losses(lambda network: None, seed, options.reviews, options.epochs))
        with patch.object(optimizers, "DenseAdam", tf.keras.optimizers.legacy.Adam):
            stock.append(losses(make_stock, seed, options.reviews, options.epochs))
        print(f"seed {seed}: own {own[-1].round(4).tolist()}, stock {stock[-1].round(4).tolist()}", file=sys.stderr)
    print_table(np.array(own), np.array(stock))


def make_stock(network: BlockModel) -> None:
    """Replaces the blocks by those of transformers, with the same weights."""
    embeddings, *layers = network.blocks
    network.blocks = [StockEmbeddings(embeddings), *(StockLayer(layer) for layer in layers)]


def losses(change: Callable[[BlockModel], None], seed: int, reviews: int, epochs: int) -> np.ndarray:
    """Returns training and validation loss of each epoch, [epochs, 2].

    Args:
        change: changes the network before it is trained.
        seed: decides the batches and dropout.
        reviews: how many to train on.
        epochs: how many.
    """
    network, examples = minilm_and_reviews(reviews + VALIDATION)
    change(network)
    train, validation = examples.take(np.arange(reviews)), examples.take(np.arange(reviews, reviews + VALIDATION))
    moved = move_from(network, 0)
    optimizer = StageOptimizer(network, moved, Optimizer(name="adam", learning_rate=5e-5))
    model = StageModel(network, moved, 0, Classification(make_loss(CrossEntropy(name="cross-entropy"))), optimizer)
    dataset = training_dataset(train, BATCH_SIZE, lambda epoch: 1000 * seed + epoch, 0)
    reset_random_layers(network, seed, "benchmark", 0)
    history = model.fit(dataset, validation_data=evaluation_dataset(validation), epochs=epochs, verbose=0).history
    return np.array([history[measure] for measure in MEASURES]).T


def print_table(own: np.ndarray, stock: np.ndarray) -> None:
    """Prints one row per epoch and measure; both arrays are [seeds, epochs, measures]."""
    seeds, epochs, _ = own.shape
    table = Table(title=f"every weight of MiniLM-L6, {seeds} seeds, mean ± sd")
    for column in ("", "epoch", "own arithmetic", "transformers and Keras", "difference, paired 95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    factor = stats.t.ppf(0.975, seeds - 1) / np.sqrt(seeds)
    for position, measure in enumerate(MEASURES.values()):
        for epoch in range(epochs):
            mine, theirs = own[:, epoch, position], stock[:, epoch, position]
            difference, spread = (mine - theirs).mean(), (mine - theirs).std(ddof=1) * factor
            table.add_row(
                measure,
                str(epoch + 1),
                f"{mine.mean():.4f} ± {mine.std(ddof=1):.4f}",
                f"{theirs.mean():.4f} ± {theirs.std(ddof=1):.4f}",
                f"{difference:+.4f} [{difference - spread:+.4f}, {difference + spread:+.4f}]",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
