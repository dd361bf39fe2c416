"""Contrastive training: examples of one class are drawn together, those of others apart, before a head is fitted.

The recipe for few labels of SetFit (Tunstall et al. 2022). Where SetFit encodes two texts for every pair, here every
pair within a batch counts, so that a batch of b texts gives b·(b − 1) / 2 pairs for b encodings.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import padded_length
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.methods import Contrastive, TokenBudget
from progressive_tf.training.fitting.addons import contrastive_loss as squared_distances
from progressive_tf.training.fitting.addons import pairwise_distance
from progressive_tf.training.fitting.objectives import Objective

# How far lengths are jittered before sorting, in their standard deviations: batches pad little, and still mix.
LENGTH_JITTER = 0.5
# Two examples of each of two classes: fewer leave nothing to tell apart.
LEAST_BATCH = 4
# In place of minus infinity, which gives "not a number" where it meets itself.
EXCLUDED = -1e9


class ContrastiveObjective(Objective):
    """Similarity of pooled outputs within a batch; the dense layer of the head takes no part.

    Args:
        settings: the plan's section.
    """

    measures_accuracy = False

    def __init__(self, settings: Contrastive) -> None:
        self._settings = settings

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns what the head's dense layer would read, without dropout: float32 [batch, width]."""
        state = network.run_blocks(state, first_block, len(network.blocks), training)
        return tf.cast(network.head.pooled(network.without_added_positions(state)), tf.float32)

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the loss that the settings name."""
        return contrastive_loss(outputs, labels, self._settings)


def contrastive_loss(pooled: tf.Tensor, labels: tf.Tensor, settings: Contrastive) -> tf.Tensor:
    """Returns the loss of all pairs in a batch, a scalar: that of the margin if there is one, else the temperature's.

    Args:
        pooled: float32 [batch, width].
        labels: int32 [batch].
        settings: the plan's section.
    """
    if settings.margin is not None:
        return margin_loss(pooled, labels, settings.margin)
    return temperature_loss(pooled, labels, settings.softmax_temperature)


def temperature_loss(pooled: tf.Tensor, labels: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns the supervised contrastive loss (Khosla et al. 2020, equation 2, "out"), a scalar.

    With z the outputs at unit length and P(i) the other examples of i's class, the mean over those i that have any of

        −1/|P(i)| · Σ_{p in P(i)} log( exp(z_i·z_p / temperature) / Σ_{a ≠ i} exp(z_i·z_a / temperature) )

    Args:
        pooled: float32 [batch, width].
        labels: int32 [batch].
        temperature: > 0; the lower, the more the nearest of another class count.
    """
    unit = tf.math.l2_normalize(pooled, axis=1)
    itself = tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    positive = tf.cast(_same_class(labels) & ~itself, tf.float32)
    similarity = tf.where(itself, EXCLUDED, tf.matmul(unit, unit, transpose_b=True) / temperature)
    log_share = similarity - tf.reduce_logsumexp(similarity, axis=1, keepdims=True)
    partners = tf.reduce_sum(positive, axis=1)
    losses = -tf.math.divide_no_nan(tf.reduce_sum(positive * log_share, axis=1), partners)
    return _mean(losses, tf.cast(partners > 0, tf.float32))


def margin_loss(pooled: tf.Tensor, labels: tf.Tensor, margin: float) -> tf.Tensor:
    """Returns the loss of Hadsell et al. (2006, equation 4, without its ½) over all pairs in a batch, a scalar.

    With d the distance of two outputs at unit length: d² for a pair of one class, max(margin − d, 0)² for one of two.
    The mean of the means over both kinds, as SetFit draws as many pairs of one as of the other.

    Args:
        pooled: float32 [batch, width].
        labels: int32 [batch].
        margin: in (0, 2], as distances at unit length are at most 2.
    """
    distances = pairwise_distance(tf.math.l2_normalize(pooled, axis=1))
    same = _same_class(labels)
    losses = squared_distances(same, distances, margin)
    pairs = ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    kinds = [tf.cast(same & pairs, tf.float32), tf.cast(~same, tf.float32)]
    return 0.5 * tf.add_n([_mean(losses, kind) for kind in kinds])


def contrastive_batches(
    labels: np.ndarray,
    lengths: np.ndarray,
    batch_size: int | TokenBudget,
    bucket_width: int,
    pairs_per_example: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Returns one epoch's batches as positions into `labels`, in shuffled order.

    Examples come in twos of one class, so that each has at least one partner in its batch (the last of a class with an
    odd number has none of its own), and every batch has classes in about the proportion of the whole. Lengths within
    a batch are similar, which saves padding.

    Args:
        labels: int32 [n].
        lengths: int32 [n], tokens of each example.
        batch_size: examples per batch, at least `LEAST_BATCH`, or a budget of padded tokens for as many.
        bucket_width: batches are padded to a multiple of so many tokens.
        pairs_per_example: how many pairs each example should be part of. A batch of b gives b − 1 to each of its
            examples, so that the epoch goes ⌈pairs_per_example / (b − 1)⌉ times over all of them; under a budget, b is
            that at the mean length.
        generator: decides everything random.

    Raises:
        InputError: a budget that does not hold `LEAST_BATCH` of the longest examples.
    """
    if isinstance(batch_size, int):
        size, budget = batch_size, None
    else:
        size, budget = batch_size.tokens // padded_length(lengths.mean(), bucket_width), batch_size.tokens
        longest = padded_length(lengths.max(), bucket_width)
        needed = LEAST_BATCH * longest
        if budget < needed:
            raise InputError(
                f"batch_size.tokens: {budget} given, objective contrastive needs room for {LEAST_BATCH} texts of "
                f"{longest} tokens in a batch; raise it to {needed} or more"
            )
    partners = min(size // 2 * 2, len(labels)) - 1
    batches: list[np.ndarray] = []
    for _ in range(-(-pairs_per_example // max(partners, 1))):
        batches.extend(_cut(_twos(labels, lengths, generator), lengths, size // 2, budget, bucket_width))
    return [batches[index] for index in generator.permutation(len(batches))]


def _cut(
    twos: list[np.ndarray], lengths: np.ndarray, per_batch: int, budget: int | None, bucket_width: int
) -> list[np.ndarray]:
    """Returns batches of `per_batch` twos, or of as many as a budget of padded tokens allows."""
    batches: list[list[np.ndarray]] = [[]]
    for two in twos:
        if budget is None:
            full = len(batches[-1]) == per_batch
        else:
            joined = np.concatenate([*batches[-1], two])
            full = len(joined) * padded_length(lengths[joined].max(), bucket_width) > budget
        if full:
            batches.append([])
        batches[-1].append(two)
    return [np.concatenate(batch) for batch in batches]


def _twos(labels: np.ndarray, lengths: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Returns all positions in twos of one class, ordered so that neighbours are of similar length and mixed class."""
    twos: list[np.ndarray] = []
    ranks: list[np.ndarray] = []
    for label in np.unique(labels):
        positions = np.flatnonzero(labels == label)
        jittered = lengths[positions] + generator.normal(0.0, LENGTH_JITTER * lengths.std(), len(positions))
        # Equal lengths must not leave the order of the rows, with the same neighbours in every pass.
        positions = positions[np.lexsort((generator.random(len(positions)), jittered))]
        of_class = [positions[begin : begin + 2] for begin in range(0, len(positions), 2)]
        twos.extend(of_class)
        ranks.append((np.arange(len(of_class)) + generator.random(len(of_class))) / len(of_class))
    return [twos[index] for index in np.argsort(np.concatenate(ranks), kind="stable")]


def _same_class(labels: tf.Tensor) -> tf.Tensor:
    return labels[:, tf.newaxis] == labels[tf.newaxis, :]


def _mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))
