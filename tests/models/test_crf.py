from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from progressive_tf.data.tags import find_breaks, tag_names
from progressive_tf.models.crf import CRF

TAGS = tag_names(["a", "b"])
COUNT = len(TAGS)


@pytest.fixture
def crf() -> CRF:
    layer = CRF(TAGS)
    # What stands at forbidden steps must not matter, however much it pushes.
    transitions = np.random.default_rng(1).normal(size=(COUNT, COUNT))
    layer.transitions.assign(np.where(layer._allowed, transitions, 1e6))
    return layer


def random_batch(lengths: list[int], length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    logits = np.random.default_rng(seed).normal(scale=2, size=(len(lengths), length, COUNT))
    return logits.astype(np.float32), np.array(lengths, np.int32)


def every_sequence(crf: CRF, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns all valid tag sequences of a sentence, int [sequences, length], and the scores, float [sequences]."""
    transitions = crf.transitions.numpy().astype(float)
    sequences = [
        tags for tags in product(range(COUNT), repeat=len(logits)) if not find_breaks([TAGS[tag] for tag in tags])
    ]
    scores = [
        sum(logits[place, tag] for place, tag in enumerate(tags))
        + sum(transitions[before, tag] for before, tag in pairwise(tags))
        for tags in sequences
    ]
    return np.array(sequences, int).reshape(len(sequences), len(logits)), np.array(scores, float)


@pytest.mark.parametrize(("lengths", "length"), [([1, 1], 1), ([4, 1, 0, 3], 4), ([2, 1], 5)])
class TestAgainstEverySequence:
    def test_likelihood(self, crf: CRF, lengths: list[int], length: int) -> None:
        logits, ends = random_batch(lengths, length)
        generator = np.random.default_rng(2)
        for _ in range(3):
            tags = generator.integers(0, COUNT, (len(lengths), length)).astype(np.int32)  # padding has any
            expected = []
            for row, end in enumerate(ends):
                sequences, scores = every_sequence(crf, logits[row, :end])
                chosen = generator.integers(len(sequences))
                tags[row, :end] = sequences[chosen]
                expected.append(scores[chosen] - logsumexp(scores))
            found = crf.log_likelihood(logits, tags, ends)
            assert found.dtype == tf.float32
            np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_best(self, crf: CRF, lengths: list[int], length: int) -> None:
        logits, ends = random_batch(lengths, length)
        expected = np.zeros((len(lengths), length), np.int32)
        for row, end in enumerate(ends):
            sequences, scores = every_sequence(crf, logits[row, :end])
            expected[row, :end] = sequences[scores.argmax()]
        found = crf.decode(logits, ends)
        assert found.dtype == tf.int32
        assert found.numpy().tolist() == expected.tolist()

    def test_marginals(self, crf: CRF, lengths: list[int], length: int) -> None:
        logits, ends = random_batch(lengths, length)
        expected = np.zeros((len(lengths), length, COUNT))
        for row, end in enumerate(ends):
            sequences, scores = every_sequence(crf, logits[row, :end])
            weights = np.exp(scores - logsumexp(scores))
            for place in range(end):
                expected[row, place] = np.bincount(sequences[:, place], weights, COUNT)
        found = crf.marginals(logits, ends)
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_padding_does_not_matter(self, crf: CRF, lengths: list[int], length: int) -> None:
        logits, ends = random_batch(lengths, length)
        words = np.arange(length) < ends[:, None]
        tags = np.where(words, crf.decode(logits, ends), 0)
        longer = np.pad(np.where(words[..., None], logits, -3e4), [(0, 0), (0, 3), (0, 0)], constant_values=3e4)
        np.testing.assert_array_equal(crf.decode(longer, ends)[:, :length], tags)
        np.testing.assert_allclose(crf.marginals(longer, ends)[:, :length], crf.marginals(logits, ends), atol=1e-6)
        likelihoods = [
            crf.log_likelihood(logits, tags, ends),
            crf.log_likelihood(longer, np.pad(tags, [(0, 0), (0, 3)], constant_values=2), ends),
        ]
        np.testing.assert_allclose(*likelihoods, atol=1e-5)


@pytest.mark.parametrize("push", [10.0, 1e3, 1e6])
def test_never_decodes_what_breaks_bio(crf: CRF, push: float) -> None:
    generator = np.random.default_rng(3)
    decode = tf.function(
        crf.decode, input_signature=[tf.TensorSpec([None, None, COUNT]), tf.TensorSpec([None], tf.int32)]
    )
    for length in (1, 2, 9):
        logits = generator.normal(scale=push, size=(200, length, COUNT)).astype(np.float32)
        logits[:100, :, [TAGS.index("I-a"), TAGS.index("I-b")]] += 10 * push
        lengths = generator.integers(1, length + 1, 200).astype(np.int32)
        for row, end in zip(decode(logits, lengths).numpy(), lengths, strict=True):
            assert find_breaks([TAGS[tag] for tag in row[:end]]) == []
            assert not row[end:].any()
        marginals = crf.marginals(logits, lengths).numpy()
        assert not marginals[:, 0, [TAGS.index("I-a"), TAGS.index("I-b")]].any()
        words = np.arange(length) < lengths[:, None]
        np.testing.assert_allclose(marginals.sum(axis=2), words, atol=1e-4)


def test_tags_that_break_bio_have_no_probability(crf: CRF) -> None:
    logits, lengths = random_batch([2, 2], 2)
    broken = [[TAGS.index("I-a"), 0], [TAGS.index("B-a"), TAGS.index("I-b")]]
    found = crf.log_likelihood(logits, tf.constant(broken), lengths).numpy()
    assert (found < -1e29).all()
    assert np.isfinite(found).all()


def test_gradients_are_finite_and_none_reaches_forbidden_steps(crf: CRF) -> None:
    values, lengths = random_batch([6, 1, 0, 3], 6)
    tags = crf.decode(values, lengths)
    logits = tf.Variable(values * 100)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(crf.log_likelihood(logits, tags, lengths))
    of_logits, of_transitions = tape.gradient(loss, [logits, crf.transitions])
    assert np.isfinite(of_logits).all()
    assert np.isfinite(of_transitions).all()
    assert not of_transitions.numpy()[~crf._allowed].any()
    assert not of_logits.numpy()[:, 0, [TAGS.index("I-a"), TAGS.index("I-b")]].any()
    assert not of_logits.numpy()[2].any()


def test_gradient_of_the_likelihood_is_observed_less_expected_tags(crf: CRF) -> None:
    values, lengths = random_batch([5, 3], 5)
    tags = crf.decode(values, lengths)
    logits = tf.Variable(values)
    with tf.GradientTape() as tape:
        likelihood = crf.log_likelihood(logits, tags, lengths)
    words = (np.arange(5) < lengths[:, None])[..., None]
    expected = np.eye(COUNT)[tags] * words - crf.marginals(values, lengths)
    np.testing.assert_allclose(tape.gradient(likelihood, logits), expected, atol=1e-5)


def test_only_transitions_are_trained_and_they_learn_an_order() -> None:
    crf = CRF(TAGS)
    assert [tuple(weight.shape) for weight in crf.trainable_weights] == [(COUNT, COUNT)]
    assert len(crf.weights) == 1
    tags = tf.constant([[1, 2, 0, 3], [1, 2, 0, 3]])
    logits, lengths = tf.zeros([2, 4, COUNT]), tf.constant([4, 4])
    optimizer = tf.keras.optimizers.legacy.SGD(0.5)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(crf.log_likelihood(logits, tags, lengths))
        optimizer.apply_gradients([(tape.gradient(loss, crf.transitions), crf.transitions)])

    for _ in range(60):
        step()
    assert crf.decode(logits, lengths).numpy().tolist() == tags.numpy().tolist()
    assert tf.exp(crf.log_likelihood(logits, tags, lengths))[0] > 0.5


@pytest.mark.parametrize("method", ["decode", "marginals"])
def test_graphs_of_any_shape_give_what_eager_calls_give(crf: CRF, method: str) -> None:
    eager = getattr(crf, method)
    signature = [tf.TensorSpec([None, None, COUNT]), tf.TensorSpec([None], tf.int32)]
    graph = tf.function(eager, input_signature=signature)
    for lengths, length in (([3, 2], 3), ([1], 1), ([0, 0], 0), ([], 4)):
        batch = random_batch(lengths, length)
        np.testing.assert_allclose(graph(*batch), eager(*batch), atol=1e-6)
        assert graph(*batch).shape[:2] == (len(lengths), length)


def test_graph_of_the_likelihood_takes_any_shape(crf: CRF) -> None:
    signature = [
        tf.TensorSpec([None, None, COUNT]),
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
    ]
    graph = tf.function(crf.log_likelihood, input_signature=signature)
    for lengths, length in (([3, 2], 3), ([1], 1), ([0, 0], 0), ([], 4)):
        logits, ends = random_batch(lengths, length)
        tags = crf.decode(logits, ends)
        np.testing.assert_allclose(graph(logits, tags, ends), crf.log_likelihood(logits, tags, ends), atol=1e-5)
    assert graph(np.zeros((2, 0, COUNT)), np.zeros((2, 0)), [0, 0]).numpy().tolist() == [0, 0]


def test_long_sentences_keep_their_precision(crf: CRF) -> None:
    logits, lengths = random_batch([2000], 2000)
    in_graph = tf.function(crf.marginals)  # two thousand steps one by one would take half a minute
    marginals = in_graph(logits + 50, lengths).numpy()
    np.testing.assert_allclose(marginals.sum(axis=2), 1, atol=1e-4)
    np.testing.assert_allclose(marginals, in_graph(logits, lengths), atol=1e-3)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_changes_nothing(crf: CRF, precision: str) -> None:
    values, lengths = random_batch([5, 1], 5)
    logits = tf.cast(values, tf.float16)
    batch = tf.cast(logits, tf.float32), lengths
    expected = crf.decode(*batch), crf.marginals(*batch)
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        other = CRF(TAGS)
        other.transitions.assign(crf.transitions)
        found = other.decode(logits, lengths), other.marginals(logits, lengths)
        assert other.log_likelihood(logits, found[0], lengths).dtype == tf.float32
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


def test_outside_has_to_be_first() -> None:
    with pytest.raises(ValueError, match="expected 'O' first"):
        CRF(["B-a", "I-a", "O"])
    with pytest.raises(ValueError, match="expected 'O' first"):
        CRF([])
