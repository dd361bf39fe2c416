"""Whether training on unlabelled text first helps a head that then has few labels: masked words, then 50, 100 and 500.

MiniLM-L6 guesses masked words of texts of the domain, whose labels nobody reads: 15 % of the words, of which 80 % are
masked, 10 % others and 10 % as they were (Devlin et al. 2019). Its published weights have no layer for that; one is
trained alone for an epoch first, over the frozen encoder (Kumar et al. 2022, "Fine-tuning can distort pretrained
features"), and then both are. A logistic regression (C = 10) learns from what the encoder gives, before and after, for
the same rows, and both answer the same test rows. From 500 rows, everything is trained too, from that regression on.
Settings are those of the literature; none was chosen by the figures.

Command: python -m benchmarks.masked_language [--data banking77 movie-reviews] [--seeds 1 2 3 4 5] [--texts 3000]
[--epochs 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.ask import Rows, fitted, interval, learnt, opened, pretrained
from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

import tensorflow as tf  # noqa: E402

LABELS = 50, 100, 500
TEST, BATCH = 2_000, 32
PICKED, MASKED, CHANGED = 0.15, 0.8, 0.1
HEAD_RATE, RATE, WARM, DECAY = 1e-3, 5e-5, 0.1, 0.01
TUNED, TUNED_EPOCHS, TUNED_BATCH = 500, 5, 16
EVERYTHING = f"{TUNED}, everything trained"
LENGTH = 64


class Domain:
    """Texts of a data set, those whose labels may be asked for apart from those of the test, and a network for them."""

    def __init__(self, data: str) -> None:
        self.plan, read = opened(data, LENGTH)
        (name,) = read.parts
        parts = read.parts[name]
        self.labels = read.labels
        self.codes = read.codes[name].astype(np.int64)
        self.source = read.sources[name]
        self.pool = np.sort(np.concatenate([parts.pool, parts.gate]))
        self.test = np.random.default_rng(0).permutation(np.sort(parts.test))[:TEST]

    def network(self) -> Any:
        """Returns the encoder with its published weights."""
        return pretrained(self.plan, self.labels)

    def vectors(self, network: Any, rows: np.ndarray) -> np.ndarray:
        """Returns what a head would read of rows, float32 [rows, width]."""

        @tf.function(reduce_retracing=True)
        def of(texts: tf.Tensor) -> tf.Tensor:
            return network.read_by_head(network.run_blocks(network.preprocess(texts), 0, len(network.blocks)))

        texts = self.source.texts(rows)
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = [of(tf.constant([texts[place] for place in part])) for part in np.array_split(order, len(order) // 50)]
        result = np.empty((len(order), found[0].shape[1]), np.float32)
        result[order] = np.concatenate(found)
        return result


class Guessing(tf.keras.layers.Layer):
    """What stands for a masked word: a layer of its own, and the table of words (Devlin et al. 2019)."""

    def __init__(self, table: tf.Variable) -> None:
        super().__init__()
        self.table = table
        self.dense = tf.keras.layers.Dense(table.shape[1], activation="gelu", kernel_initializer="identity")
        self.normal = tf.keras.layers.LayerNormalization(epsilon=1e-12)
        self.bias = self.add_weight("bias", shape=(table.shape[0],), initializer="zeros")

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns logits of words, float32 [positions, words], of hidden states [positions, width]."""
        return tf.matmul(self.normal(self.dense(hidden)), self.table, transpose_b=True) + self.bias


def masked(ids: np.ndarray, words: Sequence[str], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids [texts, length] of which some are changed, and which of them are to be guessed, bool.

    Args:
        ids: of words; 0 where there is none.
        words: of the vocabulary, in the order of the ids.
        generator: draws.
    """
    special = np.array([word.startswith("[") and word.endswith("]") for word in words])
    picked = (generator.random(ids.shape) < PICKED) & ~special[ids]
    drawn, changed = generator.random(ids.shape), ids.copy()
    changed[picked & (drawn < MASKED)] = words.index("[MASK]")
    other = picked & (drawn >= MASKED) & (drawn < MASKED + CHANGED)
    changed[other] = generator.choice(np.flatnonzero(~special), int(other.sum()))
    return changed, picked


def batches(
    domain: Domain, network: Any, rows: np.ndarray, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields changed ids, the mask of what is there, where words are to be guessed, and which these are."""
    for first in range(0, len(rows) - BATCH + 1, BATCH):
        state = network.preprocess(tf.constant(domain.source.texts(rows[first : first + BATCH])))
        ids = state["inputs"].numpy()
        changed, picked = masked(ids, network.preprocess.tokens, generator)
        yield changed, state["mask"].numpy(), np.argwhere(picked), ids[picked]


def trained(domain: Domain, rows: np.ndarray, epochs: int, seed: int) -> tuple[Any, list[float]]:
    """Returns a network that has guessed masked words of rows, and the mean loss of each epoch, that of the layer alone
    first.
    """
    from progressive_tf.training.fitting.callbacks import reset_random_layers

    generator, network = np.random.default_rng(seed), domain.network()
    guessing = Guessing(network.blocks[0].inner.weight)
    losses = list[float]()

    def learning(moved: list[tf.Variable], optimizer: Any, training: bool) -> Callable[..., tf.Tensor]:
        @tf.function(reduce_retracing=True)
        def step(ids: tf.Tensor, mask: tf.Tensor, where: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                state = network.run_blocks({"inputs": ids, "mask": mask}, 0, len(network.blocks), training)
                logits = guessing(tf.gather_nd(state["hidden"], where))
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits))
            optimizer.apply_gradients(zip(tape.gradient(loss, moved), moved, strict=True))
            return loss

        return step

    def epoch(step: Callable[..., tf.Tensor]) -> None:
        reset_random_layers(network, seed, "masked-language", len(losses))
        order = generator.permutation(rows)
        losses.append(
            float(np.mean([step(*map(tf.constant, batch)) for batch in batches(domain, network, order, generator)]))
        )

    guessing(tf.zeros((1, guessing.table.shape[1])))
    own = [*guessing.dense.variables, *guessing.normal.variables, guessing.bias]
    epoch(learning(own, tf.keras.optimizers.AdamW(HEAD_RATE, weight_decay=DECAY), False))
    total = len(rows) // BATCH * epochs
    rate = Warmed(RATE, WARM * total, total)
    blocks = [weight for block in network.blocks for weight in block.trainable_variables]
    step = learning([*blocks, *own], tf.keras.optimizers.AdamW(rate, weight_decay=DECAY), True)
    for _ in range(epochs):
        epoch(step)
    return network, losses


def tuned(domain: Domain, network: Any, rows: np.ndarray, seed: int) -> float:
    """Returns the accuracy on test rows once all of a network, which is changed, has been trained on rows with labels,
    together with a head that begins as the regression on what the network gave (Kumar et al. 2022).
    """
    from progressive_tf.training.fitting.callbacks import reset_random_layers

    begin = fitted(domain.vectors(network, rows), domain.codes[rows])
    of_class, bias = begin.coef_, begin.intercept_
    if len(of_class) == 1:  # of two classes it has the second's alone
        of_class, bias = np.concatenate([0 * of_class, of_class]), np.array([0.0, bias[0]])
    head = [tf.Variable(of_class.T, dtype=tf.float32), tf.Variable(bias, dtype=tf.float32)]
    codes = np.searchsorted(begin.classes_, domain.codes[rows])
    total = -(-len(rows) // TUNED_BATCH) * TUNED_EPOCHS
    optimizer = tf.keras.optimizers.AdamW(Warmed(RATE, WARM * total, total), weight_decay=DECAY)
    moved = [*(weight for block in network.blocks for weight in block.trainable_variables), *head]

    @tf.function(reduce_retracing=True)
    def step(texts: tf.Tensor, right: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            state = network.run_blocks(network.preprocess(texts), 0, len(network.blocks), True)
            logits = tf.matmul(network.read_by_head(state), head[0]) + head[1]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(right, logits))
        gradients = tape.gradient(loss, moved)
        optimizer.apply_gradients((g, w) for g, w in zip(gradients, moved, strict=True) if g is not None)

    generator = np.random.default_rng(seed)
    for epoch in range(TUNED_EPOCHS):
        reset_random_layers(network, seed, "tuned", epoch)
        order = generator.permutation(len(rows))
        for first in range(0, len(rows), TUNED_BATCH):
            part = order[first : first + TUNED_BATCH]
            step(tf.constant(domain.source.texts(rows[part])), tf.constant(codes[part]))
    scores = domain.vectors(network, domain.test) @ head[0].numpy() + head[1].numpy()
    return float((begin.classes_[scores.argmax(axis=1)] == domain.codes[domain.test]).mean())


class Warmed(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a rate by a line, and falls to 0 by another."""

    def __init__(self, rate: float, warm: float, total: float) -> None:
        self.rate, self.warm, self.total = rate, warm, total

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate of a step, from 0."""
        now = tf.cast(step, tf.float32) + 1.0
        return self.rate * tf.minimum(
            now / self.warm, tf.maximum(self.total + 1.0 - now, 0.0) / (self.total - self.warm)
        )


def report(data: str, seeds: Sequence[int], texts: int, epochs: int) -> None:
    """Measures a data set and prints its table."""
    domain = Domain(data)
    published, found = domain.network(), dict[tuple[str, str], list[float]]()
    test = domain.vectors(published, domain.test)
    for seed in seeds:
        began, generator = time.monotonic(), np.random.default_rng(seed)
        order = generator.permutation(domain.pool)
        asked, unlabelled = order[: max(LABELS)], order[:texts]
        network, losses = trained(domain, unlabelled, epochs, seed)
        ways = {
            "before": (domain.vectors(published, asked), test),
            "after": (domain.vectors(network, asked), domain.vectors(network, domain.test)),
        }
        for way, (pool, tested) in ways.items():
            rows = Rows(pool, domain.codes[asked], tested, domain.codes[domain.test])
            for labels in LABELS:
                found.setdefault((f"{labels}", way), []).append(learnt(rows, np.arange(labels))[2])
        for way, begun in {"before": domain.network(), "after": network}.items():
            found.setdefault((EVERYTHING, way), []).append(tuned(domain, begun, asked[:TUNED], seed))
        said = " ".join(f"{loss:.2f}" for loss in losses)
        print(f"{data}, seed {seed}: loss by epoch {said}; {time.monotonic() - began:.0f} s", flush=True)
    named = ", ".join(map(str, seeds))
    print(f"\n{data}: {texts:,} texts, {epochs} epochs, {len(domain.test):,} test rows, seeds {named}")
    print("| labels | before | after | points more [95 %] | each seed |")
    print("|---|---|---|---|---|")
    for trained_on in (*map(str, LABELS), EVERYTHING):
        before, after = (np.array(found[trained_on, way]) for way in ("before", "after"))
        mean, low, high = interval(100 * (after - before))
        each = " ".join(f"{value:+.1f}" for value in 100 * (after - before))
        both = " | ".join(f"{way.mean():.3f} ± {way.std(ddof=1):.3f}" for way in (before, after))
        print(f"| {trained_on} | {both} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] | {each} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each data set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masked_language", description=__doc__)
    parser.add_argument("--data", nargs="+", default=["banking77", "movie-reviews"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: 1 2 3 4 5)")
    parser.add_argument("--texts", type=int, default=3_000, help="without labels (default: 3000)")
    parser.add_argument("--epochs", type=int, default=3, help="over them, after one of the new layer (default: 3)")
    given = parser.parse_args(arguments)

    from progressive_tf.training.hardware import prepare

    prepare()
    for data in given.data:
        report(data, given.seeds, given.texts, given.epochs)


if __name__ == "__main__":
    main()
