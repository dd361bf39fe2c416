"""How much of this machine's matrix-product rate training every weight of MiniLM-L6 uses, in one process.

Each run measures the float32 product of two 2,048 × 2,048 matrices, trains one epoch of 2,000 reviews in batches of 16
by `StageModel.fit` as a stage does (AdamW, dropout, batches by length, input pipeline; no validation and no records),
and measures the product again. A first epoch, with tracing, is left out.

Counted are the matrix products of the forward pass, times three for the pass and its two gradients: every dense layer
of the blocks (2 × inputs × outputs per position) and the scores and weighted sums of attention (4 × length × width per
position), over positions as they are processed, padding included. Embedding lookups, the head, everything
element-wise and the optimizer count nothing. The share is given by elapsed time, which other processes disturb, and by
processor time, which they disturb less but which does not see cores that stand idle.

Command: python -m benchmarks.full_training [--runs 3] [--reviews 2000]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.quiet import CpuSeconds
from progressive_tf.adaptation.moved_weights import move_from
from progressive_tf.data.batching import padded_length, training_batches
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.logs import set_up_logging
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.methods import CrossEntropy, Optimizer
from progressive_tf.training import hardware
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting.callbacks import reset_random_layers
from progressive_tf.training.fitting.examples import Examples, drawn_dataset
from progressive_tf.training.fitting.objectives import make_loss
from progressive_tf.training.fitting.optimizers import StageOptimizer
from progressive_tf.training.fitting.stage_model import StageModel
from progressive_tf.training.run.network import build_network

BATCH_SIZE = 16
SQUARE = 2048
PRODUCTS = 20


@dataclass(frozen=True)
class Timed:
    """Work and what it took.

    Attributes:
        gflop: 10^9 floating-point operations.
        seconds: elapsed.
        cpu_seconds: of this process, all threads together.
        others: cores that other processes kept busy meanwhile, on average.
    """

    gflop: float
    seconds: float
    cpu_seconds: float
    others: float

    def __add__(self, other: Timed) -> Timed:
        """Returns both together."""
        seconds = self.seconds + other.seconds
        others = (self.others * self.seconds + other.others * other.seconds) / seconds
        return Timed(self.gflop + other.gflop, seconds, self.cpu_seconds + other.cpu_seconds, others)

    @property
    def rate(self) -> float:
        """GFLOP per elapsed second."""
        return self.gflop / self.seconds

    @property
    def cpu_rate(self) -> float:
        """GFLOP per second of processor time."""
        return self.gflop / self.cpu_seconds


def main() -> None:
    """Prints a row per run, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=2000)
    options = parser.parse_args()
    set_up_logging(verbose=False)
    hardware.prepare()
    network, examples = minilm_and_reviews(options.reviews)
    epoch = epochs_of(network, examples)
    product = matrix_product()
    epoch()
    rows = []
    for _ in range(options.runs):
        before, trained, after = product(), epoch(), product()
        rows.append((trained, before + after))
    print_table(rows, options.reviews)


def minilm_and_reviews(count: int) -> tuple[BlockModel, Examples]:
    """Returns the pretrained network of the plan movie-reviews and its first reviews in a random order."""
    loaded = load_plan("movie-reviews")
    data = read_plan_data(loaded, Path("cache"))
    name = str(loaded.plan.data.source)
    network = build_network(loaded, data)
    rows = np.random.default_rng(0).permutation(len(data.codes[name]))[:count]
    tokens = InputStore(len(data.codes[name]), data.sources[name].inputs, network.preprocess)
    tokens.add(rows)
    return network, Examples(tokens, rows, data.codes[name][rows].astype(np.int32))


def epochs_of(network: BlockModel, examples: Examples) -> Callable[[], Timed]:
    """Returns a function that trains one more epoch."""
    moved = move_from(network, 0)
    optimizer = StageOptimizer(network, moved, Optimizer(name="adamw", learning_rate=5e-5))
    loss = make_loss(CrossEntropy(name="cross-entropy"))
    model = StageModel(network, moved, 0, Classification(loss), optimizer)
    lengths, width = examples.lengths, examples.bucket_width
    drawn: list[np.ndarray] = []

    def draw(generator: np.random.Generator) -> list[np.ndarray]:
        drawn[:] = training_batches(lengths, BATCH_SIZE, width, generator)
        return drawn

    dataset = drawn_dataset(examples, draw, lambda epoch: epoch, 0)
    reset_random_layers(network, 0, "benchmark", 0)

    def train() -> Timed:
        return timed(
            lambda: model.fit(dataset, verbose=0),
            lambda: sum(
                training_gflop(network, len(batch), padded_length(lengths[batch].max(), width)) for batch in drawn
            ),
        )

    return train


def training_gflop(network: BlockModel, batch: int, length: int) -> float:
    """Returns what one step on a batch of examples padded to a length counts, in 10^9 operations."""
    blocks = [block for block in network.blocks if block.projections]
    dense = sum(2 * each.width * each.units for block in blocks for each in block.projections)
    attention = len(blocks) * 4 * length * network.width
    return 3 * batch * length * (dense + attention) / 1e9


def matrix_product() -> Callable[[], Timed]:
    """Returns a function that multiplies two large matrices some times."""
    matrix = tf.constant(np.random.default_rng(0).normal(size=(SQUARE, SQUARE)).astype(np.float32))
    multiply = tf.function(tf.matmul)

    def products() -> None:
        for _ in range(PRODUCTS):
            product = multiply(matrix, matrix)
        product.numpy()

    products()
    return lambda: timed(products, lambda: PRODUCTS * 2 * SQUARE**3 / 1e9)


def timed(work: Callable[[], object], gflop: Callable[[], float]) -> Timed:
    """Returns what some work took, and how much it was, which is asked when it is done."""
    before, cpu = CpuSeconds.now(), time.process_time()
    work()
    now = CpuSeconds.now()
    return Timed(gflop(), now.at - before.at, time.process_time() - cpu, now.others_since(before))


def print_table(rows: Sequence[tuple[Timed, Timed]], reviews: int) -> None:
    """Prints (epoch, matrix products around it) of each run, and medians."""
    table = Table(
        title=f"Every weight of MiniLM-L6, {reviews:,} reviews, batches of {BATCH_SIZE}, {os.cpu_count()} cores"
    )
    names = ("run", "s", "reviews/s", "GFLOP/s", "products GFLOP/s", "share", "share by CPU s", "others, cores")
    for column in names:
        table.add_column(column, justify="right")
    figures = np.array(
        [
            (
                epoch.seconds,
                reviews / epoch.seconds,
                epoch.rate,
                product.rate,
                epoch.rate / product.rate,
                epoch.cpu_rate / product.cpu_rate,
                epoch.others,
            )
            for epoch, product in rows
        ]
    )
    for name, row in [*enumerate(figures, start=1), ("median", np.median(figures, axis=0))]:
        seconds, speed, rate, product, share, cpu_share, others = row
        shown = (f"{seconds:.1f}", f"{speed:.0f}", f"{rate:.0f}", f"{product:.0f}")
        table.add_row(str(name), *shown, f"{share:.0%}", f"{cpu_share:.0%}", f"{others:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
