"""Tags of windows, the loss over words, and decoding of whole sentences."""

from __future__ import annotations

from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.data.windows import Windows
from progressive_tf.models.crf import CRF
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.methods import CrossEntropy
from progressive_tf.training.answers.served_tags import split_words
from progressive_tf.training.answers.tags import BEFORE, NO_WORD, TAGS, Decoder, Tagging, window_tags, words_of
from progressive_tf.training.fitting.objectives import make_loss

NAMES = ("O", "B-x", "I-x")
LOSS = Tagging(make_loss(CrossEntropy(name="cross-entropy")))
# Sentence 0 has windows of three and one words, sentence 1 one window of two.
WINDOWS = Windows(
    numbers=np.array([0, 3, 4]),
    sentences=np.array([0, 0, 1]),
    word_windows=np.array([0, 0, 0, 1, 2, 2]),
    word_positions=np.array([1, 2, 4, 1, 1, 3]),
)
CODES = np.array([0, 1, 2, 2, 1, 0], np.int32)
STATE = window_tags(WINDOWS, CODES, 6)


def crf(learns: bool) -> CRF:
    layer = CRF(NAMES, learns=learns)
    if learns:
        layer.transitions.assign(np.random.default_rng(1).normal(size=(3, 3)))
    return layer


def objective_loss(layer: CRF, logits: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
    network: Any = SimpleNamespace(head=SimpleNamespace(crf=layer))
    tensors = {name: tf.constant(each) for name, each in state.items()}
    judged: np.ndarray = LOSS.judged(network, tensors, tf.constant(logits, tf.float32)).numpy()
    return judged


def score(steps: np.ndarray, logits: np.ndarray, tags: tuple[int, ...]) -> float:
    """Returns a sequence's unnormalised log-probability, −∞ where it is not valid BIO."""
    if any(tag == 2 and before == 0 for before, tag in pairwise((0, *tags))):
        return -np.inf
    return float(sum(logits[i, tag] for i, tag in enumerate(tags)) + sum(steps[a, b] for a, b in pairwise(tags)))


def log_probabilities(layer: CRF, logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """Returns that of every sequence of tags, the most probable first."""
    steps = np.asarray(layer.transitions)
    scores = {tags: score(steps, logits, tags) for tags in product(range(3), repeat=len(logits))}
    total = float(np.logaddexp.reduce(list(scores.values())))
    return {tags: scores[tags] - total for tags in sorted(scores, key=lambda tags: -scores[tags])}


def test_windows_know_their_words_tags_and_the_tag_before() -> None:
    assert STATE[TAGS].tolist() == [
        [NO_WORD, 0, 1, NO_WORD, 2, NO_WORD],
        [NO_WORD, 2, NO_WORD, NO_WORD, NO_WORD, NO_WORD],
        [NO_WORD, 1, NO_WORD, 0, NO_WORD, NO_WORD],
    ]
    assert STATE[BEFORE].tolist() == [NO_WORD, 2, NO_WORD]


def test_what_stands_at_words_is_moved_together() -> None:
    outputs = np.arange(3 * 5, dtype=np.float32).reshape(3, 5, 1)
    moved, tags, counts = words_of({name: tf.constant(each) for name, each in STATE.items()}, tf.constant(outputs))
    assert counts.numpy().tolist() == [3, 1, 2]
    assert [row[:count].ravel().tolist() for row, count in zip(moved.numpy(), counts.numpy(), strict=True)] == [
        [1, 2, 4],
        [6],
        [11, 13],
    ]
    assert [row[:count].tolist() for row, count in zip(tags.numpy(), counts.numpy(), strict=True)] == [
        [0, 1, 2],
        [2],
        [1, 0],
    ]


def test_without_a_crf_the_loss_is_the_mean_over_words() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
    judged = objective_loss(crf(learns=False), logits, STATE)
    words = logits[WINDOWS.word_windows, WINDOWS.word_positions]
    each = np.logaddexp.reduce(words, axis=1) - words[np.arange(6), CODES]
    assert judged[:, 0] == pytest.approx([each[:3].sum(), each[3], each[4:].sum()], rel=1e-5)
    assert judged[:, 1] == pytest.approx([(words.argmax(1) == CODES)[rows].sum() for rows in ([0, 1, 2], [3], [4, 5])])
    assert judged[:, 2].tolist() == [3, 1, 2]
    assert float(LOSS.loss(tf.constant(CODES), judged)) == pytest.approx(each.mean())


def test_under_a_crf_windows_of_a_sentence_add_up_to_its_chain_rule() -> None:
    """log p(words 0 to 2) and log p(word 3 | the tag before), each over its own window's logits."""
    layer = crf(learns=True)
    logits = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
    judged = objective_loss(layer, logits, STATE)
    words = logits[WINDOWS.word_windows, WINDOWS.word_positions]
    steps = np.asarray(layer.transitions)
    after = words[3] + steps[2]
    expected = [
        -log_probabilities(layer, words[:3])[0, 1, 2],
        -(after[2] - np.logaddexp.reduce(after)),
        -log_probabilities(layer, words[4:])[1, 0],
    ]
    assert judged[:, 0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("learns", [False, True])
def test_sentences_are_decoded_as_by_trying_every_sequence(learns: bool) -> None:
    layer = crf(learns)
    generator = np.random.default_rng(2)
    lengths = np.array([1, 5, 3, 0, 4], np.int32)
    logits = generator.normal(size=(lengths.sum(), 3)).astype(np.float32) * 2
    tags, confidence = Decoder(layer, 3)(logits, lengths)
    done = 0
    for length in lengths:
        own = logits[done : done + length]
        every = log_probabilities(layer, own)
        best = next(iter(every))
        assert tuple(tags[done : done + length]) == best
        for place in range(length):
            alike = [value for each, value in every.items() if each[place] == best[place]]
            assert confidence[done + place] == pytest.approx(np.exp(alike).sum(), abs=1e-4)
        done += length


TEXTS = [
    "  fine good thinga .",
    "bad\tthingc thingd\u2003poor\ngood thingb",
    "",
    " \n ",
    "é😀 good thingb, bad thinga",
    "fine " * 30 + "good thingc thingd",
]


@pytest.mark.parametrize("text", [*TEXTS, "a\u00a0b\u3000c", "\u200ba \x85 b", "x"])
def test_words_are_those_of_split(text: str) -> None:
    words, begins, ends = (each.to_list()[0] for each in split_words(tf.constant([text])))
    assert [word.decode() for word in words] == text.split()
    assert [text[begin:end] for begin, end in zip(begins, ends, strict=True)] == text.split()


def test_the_shipped_plan_is_one_of_tags() -> None:
    assert load_plan("offline-entities").plan.task == "token-classification"
