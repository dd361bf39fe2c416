from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score as sklearn_accuracy
from sklearn.metrics import precision_recall_fscore_support as sklearn_scores

from progressive_tf.evaluation.entities import (
    Scores,
    TagCounts,
    count_tags,
    macro_scores,
    micro_scores,
    scores_by_type,
    token_accuracy_with_o,
    token_scores_without_o,
)
from tests import seqeval_values

KINDS = ("group", "person", "product")
TAGS = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI"))
Sentences = list[list[str]]


@st.composite
def tagged(draw: st.DrawFn) -> tuple[Sentences, Sentences]:
    """True and predicted tags, valid or not, most predictions being right."""
    known = draw(st.sampled_from((TAGS, TAGS[:5], TAGS[:1])))  # few types leave some without entities
    guessed = draw(st.sampled_from((TAGS, TAGS[:3], TAGS[:1])))
    truth = draw(st.lists(st.lists(st.sampled_from(known), max_size=7), min_size=1, max_size=5))
    predicted = [
        [tag if draw(st.integers(0, 3)) else draw(st.sampled_from(guessed)) for tag in sentence] for sentence in truth
    ]
    return truth, predicted


def agree(found: float, expected: float, undefined: bool) -> bool:
    return bool(np.isnan(found)) if undefined else found == pytest.approx(expected)


def check(found: Scores, expected: tuple[float, float, float], true: int, predicted: int) -> None:
    neither = true + predicted == 0
    assert agree(float(found.precision), expected[0], neither)
    assert agree(float(found.recall), expected[1], true == 0)
    assert agree(float(found.f1), expected[2], neither)


@pytest.mark.parametrize("case", seqeval_values.SCORES)
def test_agrees_with_seqeval(case: dict[str, Any]) -> None:
    truth, predicted = seqeval_values.sentences(case)
    kinds = seqeval_values.KINDS
    counts = count_tags(truth, predicted, kinds)
    sums = counts.entities.sum(axis=0)
    check(micro_scores(sums), tuple(case["micro"]), *sums.sum(axis=0)[:2])
    assert token_accuracy_with_o(counts.tokens.sum(axis=0)) == pytest.approx(case["accuracy"])

    found = scores_by_type(sums)
    for index, kind in enumerate(kinds):
        *expected, true = case["types"].get(kind, [0.0, 0.0, 0.0, 0])  # seqeval leaves out types without entities
        assert sums[index, 0] == true
        of_type = Scores(found.precision[index], found.recall[index], found.f1[index])
        check(of_type, (expected[0], expected[1], expected[2]), *sums[index, :2])

    macro = macro_scores(sums)
    if case["macro"] is not None:
        assert [float(macro.precision), float(macro.recall), float(macro.f1)] == pytest.approx(case["macro"])
    else:
        assert np.isnan([macro.precision, macro.recall, macro.f1]).all()


@given(tagged())
@settings(max_examples=75, deadline=None)
def test_entities_are_counted_as_sets_of_spans(sentences: tuple[Sentences, Sentences]) -> None:
    counts = count_tags(*sentences, KINDS).entities
    for found, truth, predicted in zip(counts, *sentences, strict=True):
        for index, kind in enumerate(KINDS):
            true, guessed = (
                {span for span in seqeval_values.spans_by_pattern(tags) if span[2] == kind}
                for tags in (truth, predicted)
            )
            assert found[index].tolist() == [len(true), len(guessed), len(true & guessed)]


@given(tagged())
@settings(max_examples=75, deadline=None)
def test_words_agree_with_scikit_learn(sentences: tuple[Sentences, Sentences]) -> None:
    truth, predicted = (np.array([tag for tags in side for tag in tags], dtype=str) for side in sentences)
    counts = count_tags(*sentences, KINDS)
    tokens, inside = counts.tokens.sum(axis=0), counts.inside.sum(axis=0)
    if len(truth):
        assert token_accuracy_with_o(tokens) == pytest.approx(sklearn_accuracy(truth, predicted))
        *expected, _ = sklearn_scores(truth, predicted, labels=TAGS[1:], average="micro", zero_division=0)
        check(token_scores_without_o(inside), tuple(expected), *inside[:2])
    else:
        assert np.isnan(token_accuracy_with_o(tokens))
    if (truth != "O").any():
        kept = truth != "O"
        assert token_scores_without_o(inside).recall == pytest.approx(sklearn_accuracy(truth[kept], predicted[kept]))
    else:
        assert np.isnan(token_scores_without_o(inside).recall)


@given(tagged())
@settings(max_examples=50, deadline=None)
def test_counts_of_a_sentence_do_not_depend_on_its_neighbours(sentences: tuple[Sentences, Sentences]) -> None:
    together = count_tags(*sentences, KINDS)
    alone = [count_tags([truth], [predicted], KINDS) for truth, predicted in zip(*sentences, strict=True)]
    for name in ("entities", "tokens", "inside"):
        assert np.array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))


def example() -> TagCounts:
    truth = [["B-person", "I-person", "O", "B-group"], ["O", "B-group", "I-group"], []]
    predicted = [["B-person", "O", "O", "B-group"], ["B-person", "B-group", "I-group"], []]
    return count_tags(truth, predicted, KINDS)


def test_counts_by_hand() -> None:
    counts = example()
    assert counts.entities.tolist() == [
        [[1, 1, 1], [1, 1, 0], [0, 0, 0]],
        [[1, 1, 1], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
    assert counts.tokens.tolist() == [[4, 3], [3, 2], [0, 0]]
    assert counts.inside.tolist() == [[3, 2, 2], [2, 3, 2], [0, 0, 0]]
    assert {counts.entities.dtype, counts.tokens.dtype, counts.inside.dtype} == {np.dtype(np.int32)}


def test_scores_by_hand() -> None:
    counts = example()
    entities = counts.entities.sum(axis=0)
    micro, macro, each = micro_scores(entities), macro_scores(entities), scores_by_type(entities)
    assert (micro.precision, micro.recall) == (2 / 4, 2 / 3)
    assert micro.f1 == pytest.approx(4 / 7)
    assert each.f1[:2].tolist() == [1, 0]
    assert np.isnan(each.f1[2])
    assert macro.f1 == 0.5
    assert token_accuracy_with_o(counts.tokens.sum(axis=0)) == 5 / 7
    assert token_scores_without_o(counts.inside.sum(axis=0)).recall == 4 / 5
    assert token_scores_without_o(counts.inside.sum(axis=0)).f1 == 8 / 10


def test_resamples_give_what_each_gives_alone() -> None:
    generator = np.random.default_rng(0)
    weights = generator.multinomial(3, [1 / 3] * 3, size=20)
    counts = example()
    entities = np.einsum("rn,ntk->rtk", weights, counts.entities)
    inside = weights @ counts.inside
    for score in (micro_scores, macro_scores, scores_by_type):
        together = score(entities)
        for resample in range(20):
            alone = score(entities[resample])
            for name in ("precision", "recall", "f1"):
                np.testing.assert_array_equal(getattr(together, name)[resample], getattr(alone, name))
    assert token_scores_without_o(inside).f1.shape == (20,)
    assert token_accuracy_with_o((weights @ counts.tokens).astype(float)).shape == (20,)


def test_sentences_of_a_number_that_differs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 sentences; expected as many as in truth, 1"):
        count_tags([["O"]], [["O"], ["O"]], KINDS)
    with pytest.raises(ValueError, match=r"predicted\[1\]: 2 tags; expected as many as in truth, 1"):
        count_tags([["O"], ["O"]], [["O"], ["O", "O"]], KINDS)


def test_unknown_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown tag 'B-persn'; did you mean 'B-person'"):
        count_tags([["O"]], [["B-persn"]], KINDS)


def test_no_sentences_give_no_counts() -> None:
    counts = count_tags([], [], KINDS)
    assert counts.entities.shape == (0, 3, 3)
    assert np.isnan(micro_scores(counts.entities.sum(axis=0)).f1)
