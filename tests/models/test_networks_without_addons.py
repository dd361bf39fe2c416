"""What stands in for Addons gives what Addons gives, where both are there."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.models import addons, without_addons

pytest.importorskip("tensorflow_addons", reason="Addons has no build for this Python")

LENGTHS = [5, 1, 3, 0, 4]


def sentences(length: int = 5) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns scores [5, length, 3], tags, lengths and transitions, of which one is as good as impossible."""
    generator = np.random.default_rng(1)
    scores = tf.constant(generator.normal(size=(5, length, 3)), tf.float32)
    tags = tf.constant(generator.integers(0, 2, size=(5, length)), tf.int32)
    transitions = generator.normal(size=(3, 3)).astype(np.float32)
    transitions[0, 2] = -1e30
    return scores, tags, tf.minimum(tf.constant(LENGTHS), length), tf.constant(transitions)


@pytest.mark.parametrize("length", [2, 5])
def test_likelihoods_of_tags_and_their_gradients_are_those_of_addons(length: int) -> None:
    scores, tags, lengths, transitions = sentences(length)
    values = []
    for module in (addons, without_addons):
        with tf.GradientTape() as tape:
            tape.watch([scores, transitions])
            likelihoods, given = module.crf_log_likelihood(scores, tags, lengths, transitions)
        assert given is transitions
        values.append((likelihoods, *tape.gradient(likelihoods, [scores, transitions])))
    for theirs, ours in zip(*values, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert values[1][0][3] == 0


@pytest.mark.parametrize("length", [2, 5])
def test_the_most_likely_tags_are_those_of_addons(length: int) -> None:
    scores, _, lengths, transitions = sentences(length)
    inside = np.arange(length) < lengths.numpy()[:, None]
    theirs, their_scores = addons.crf_decode(scores, transitions, lengths)
    ours, our_scores = without_addons.crf_decode(scores, transitions, lengths)
    np.testing.assert_array_equal(ours.numpy()[inside], theirs.numpy()[inside])
    has_words = lengths.numpy() > 0
    np.testing.assert_allclose(our_scores[has_words], their_scores[has_words], rtol=1e-6)
    assert ours.dtype == tf.int32


def test_tags_of_equal_scores_are_those_of_addons() -> None:
    scores, lengths = tf.zeros([2, 4, 3]), tf.constant([4, 2])
    theirs, _ = addons.crf_decode(scores, tf.zeros([3, 3]), lengths)
    ours, _ = without_addons.crf_decode(scores, tf.zeros([3, 3]), lengths)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1, :2], theirs[1, :2])


@pytest.mark.parametrize("side", [2, 6])
def test_rectangles_are_those_of_addons(side: int) -> None:
    images = tf.constant(np.random.default_rng(2).uniform(size=(4, 9, 12, 3)), tf.float32)
    middles = tf.constant([[0, 0], [4, 5], [8, 11], [2, 10]])
    size = tf.constant([side, side])
    theirs = addons.cutout(images, size, middles, constant_values=128)
    ours = without_addons.cutout(images, size, middles, constant_values=128)
    np.testing.assert_array_equal(ours, theirs)
    assert (ours.numpy() == 128).any()
