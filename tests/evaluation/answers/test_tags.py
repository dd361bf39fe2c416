"""Metrics of tagged sentences: against seqeval, their bootstrap, and the gate that decides by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from progressive_tf.data.tags import tag_names
from progressive_tf.evaluation.answers.tags import TagAnswers, pseudo_sentences, sentence_features, tag_metric
from progressive_tf.evaluation.bootstrap import resample_drop, resample_metrics
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule
from tests import seqeval_values

KINDS = ("person", "place", "team")
TAGS = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI"))


def random_tags(words: int, generator: np.random.Generator) -> list[int]:
    """Returns valid BIO: an entity begins at every third word or so, and lasts two words or so."""
    codes: list[int] = []
    for _ in range(words):
        goes_on = bool(codes) and codes[-1] > 0 and generator.random() < 0.5
        begin = 2 * int(generator.integers(3)) + 1 if generator.random() < 0.3 else 0
        codes.append(codes[-1] + codes[-1] % 2 if goes_on else begin)
    return codes


def tagged(sentences: int, seed: int, wrong: float = 0.3) -> TagAnswers:
    """Returns sentences that depend on their number alone, tagged wrongly so often."""
    data, generator = np.random.default_rng(sentences), np.random.default_rng(seed)
    lengths = data.integers(1, 9, sentences).astype(np.int32)
    truth = [random_tags(length, data) for length in lengths]
    found = [random_tags(len(each), generator) if generator.random() < wrong else each for each in truth]
    flat, predicted = (np.array([code for each in rows for code in each], np.int32) for rows in (truth, found))
    return TagAnswers(TAGS, lengths, flat, predicted, np.ones(len(flat), np.float32))


@pytest.mark.parametrize("case", seqeval_values.SCORES)
def test_entity_metrics_are_those_of_seqeval(case: dict[str, Any]) -> None:
    names = tag_names(seqeval_values.KINDS)
    truth, predicted = seqeval_values.sentences(case)
    codes = [np.array([names.index(tag) for tags in side for tag in tags], np.int32) for side in (truth, predicted)]
    lengths = np.array(list(map(len, truth)), np.int32)
    predictions = TagAnswers(names, lengths, *codes, np.ones(len(codes[0]), np.float32))
    expected = dict(zip(("entity_precision", "entity_recall", "entity_f1"), case["micro"], strict=True))
    expected["entity_f1_macro"] = case["macro"][2] if case["macro"] else 0.0
    for name, value in expected.items():
        found = predictions.measure(name)
        assert (value == 0) if found is None else (found == pytest.approx(value))


def test_token_metrics_count_words() -> None:
    truth, predicted = [0, 1, 2, 0, 3], [0, 1, 0, 5, 3]
    predictions = TagAnswers(
        TAGS,
        np.array([3, 2], np.int32),
        np.array(truth, np.int32),
        np.array(predicted, np.int32),
        np.ones(5, np.float32),
    )
    assert predictions.measure("token_accuracy") == 3 / 5
    assert predictions.measure("token_f1_without_o") == pytest.approx(2 * 2 / (3 + 3))
    assert predictions.measure("entity_f1") == pytest.approx(2 * 1 / (2 + 3))
    assert (predictions.measure("entity_f1/person"), predictions.measure("entity_f1/place")) == (0.0, 1.0)
    assert predictions.support("token_accuracy") == 2
    assert [predictions.support(f"entity_f1/{kind}") for kind in KINDS] == [1, 1, 1]
    assert predictions.support("entity_recall/team") == 0
    assert predictions.measure("entity_recall/team") is None
    assert predictions.right.tolist() == [False, False]


def test_metrics_of_classes_are_not_those_of_tags() -> None:
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        tagged(5, 1).measure("accuracy")


def test_sentences_that_are_joined_or_taken_keep_their_words() -> None:
    predictions = tagged(9, 1)
    order = np.array([4, 0, 8, 4])
    taken = predictions.take(order)
    whole = predictions.sentences(predictions.predicted)
    assert taken.sentences(taken.predicted) == [whole[row] for row in order]
    parts = predictions.take(np.arange(4)).join([predictions.take(np.arange(9) >= 4)])
    assert np.array_equal(parts.truth, predictions.truth)
    assert parts.measure("entity_f1") == predictions.measure("entity_f1")


# Of 3, 2 and 1 words: true are B-person I-person O, B-team O and O, predicted B-person I-person B-place, O O and O.
THREE = TagAnswers(
    TAGS,
    np.array([3, 2, 1], np.int32),
    np.array([1, 2, 0, 5, 0, 0], np.int32),
    np.array([1, 2, 3, 0, 0, 0], np.int32),
    np.ones(6, np.float32),
)


def test_sentences_have_the_names_of_their_words() -> None:
    assert THREE.sentences(THREE.truth) == [["B-person", "I-person", "O"], ["B-team", "O"], ["O"]]
    assert THREE.sentences(THREE.predicted) == [["B-person", "I-person", "B-place"], ["O", "O"], ["O"]]


@pytest.mark.parametrize(
    ("name", "support"),
    [
        ("token_accuracy", 4),
        ("token_f1_without_o", 3),
        ("entity_f1", 3),
        ("entity_recall", 3),
        ("entity_precision", 2),
        ("entity_precision/place", 2),
        ("entity_recall/place", 0),
        ("entity_recall/team", 1),
    ],
)
def test_a_metric_rests_on_the_sentences_that_have_what_it_counts(name: str, support: int) -> None:
    # The first sentence twice, so that as many with nothing to count would be another number.
    assert THREE.take(np.array([0, 0, 1, 2])).support(name) == support


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        # Words: 6, of which 4 are right; a sentence has 2 of them in the mean.
        ("token_accuracy", (4 + 1 * 2) / (6 + 4 * 2), (4 + 3 * 2) / (6 + 4 * 2)),
        # Entities: 2 true, 2 predicted, 1 of them right. A sentence has (1 + 2) / 2 and (1 + 0) / 2 in the mean of
        # true and predicted, so that those with any have 1.
        ("entity_f1", 2 * (1 + 1) / (2 + 2 + 2 * 4), 2 * (1 + 3) / (2 + 2 + 2 * 4)),
        ("entity_recall", (1 + 1) / (2 + 4), (1 + 3) / (2 + 4)),
    ],
)
def test_pseudo_sentences_count_as_often_as_they_are_drawn(name: str, right: float, wrong: float) -> None:
    summed = THREE.summed([name])[0]
    sums = sentence_features(THREE).sum(axis=0)[np.newaxis].repeat(2, axis=0)
    found = summed.metric(sums, np.array([1.0, 3.0]), np.array([3.0, 1.0]), name)
    assert found.tolist() == pytest.approx([right, wrong])


@pytest.mark.parametrize("name", tagged(200, 1).names)
def test_resampled_values_lie_around_the_value(name: str) -> None:
    predictions = tagged(200, 1)
    found = resample_metrics(predictions, [name], 2_000, seed=0)[name]
    value = predictions.measure(name)
    assert found.value == value
    low, high = np.quantile(found.samples, [0.025, 0.975])
    assert low < value < high
    assert found.samples.mean() == pytest.approx(value, abs=0.02)  # the pseudo-observations pull towards one half


def test_the_spread_is_that_of_drawing_sentences() -> None:
    predictions = tagged(150, 1)
    generator = np.random.default_rng(0)
    drawn = [predictions.take(generator.integers(150, size=150)).measure("entity_f1") or 0.0 for _ in range(1_500)]
    found = resample_metrics(predictions, ["entity_f1"], 1_500, seed=0)["entity_f1"].samples
    assert found.std() == pytest.approx(np.std(drawn), rel=0.1)


@pytest.mark.parametrize("name", tagged(200, 1).names)
def test_pseudo_sentences_are_all_right_or_all_wrong(name: str) -> None:
    right, wrong = pseudo_sentences(tagged(50, 1), name)
    if not name.endswith("_macro"):  # whose mean has the types that a pseudo-sentence is made for
        assert float(tag_metric(right, KINDS, name)) == pytest.approx(1)
        assert float(tag_metric(wrong, KINDS, name)) == 0
    assert (wrong <= right).all()


def test_a_model_does_not_differ_from_itself_and_order_does_not_matter() -> None:
    new, old = tagged(80, 1), tagged(80, 2)
    same = resample_drop(new, new, "entity_f1", 400, seed=1)
    assert same.value == 0
    assert np.median(same.samples) == pytest.approx(0, abs=0.01)
    one, other = (resample_drop(*pair, "entity_f1", 4_000, seed=1) for pair in ((new, old), (old, new)))
    assert one.value == pytest.approx(-other.value)
    assert one.samples.mean() == pytest.approx(-other.samples.mean(), abs=0.01)
    assert one.samples.std() == pytest.approx(other.samples.std(), rel=0.1)


def test_the_gate_decides_by_entities() -> None:
    better, worse = tagged(300, 1, wrong=0.05), tagged(300, 2, wrong=0.6)
    rules = (
        GateRule(metric="entity_f1", slice="current", at_least=0.7, confidence=0.95),
        GateRule(metric="entity_f1", slice="every-previous", drop_at_most=0.05, confidence=0.95),
    )
    assert sentence_features(better).shape == (300, 3 * len(KINDS) + 5)
    for candidate, baseline, verdict in ((better, worse, "promote"), (worse, better, "reject")):
        assert decided(rules, candidate, baseline) == verdict


def decided(rules: tuple[GateRule, ...], candidate: TagAnswers, baseline: TagAnswers) -> str:
    view = [{"current": each, "earlier": each} for each in (candidate, baseline)]
    return judge(rules, Compared(*view, ["earlier"]), seed=0).decision
