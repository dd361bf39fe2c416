"""How well tagged words agree with the truth: counts for each sentence, and scores from their sums.

Published tables call very different numbers "accuracy" or "F1" of named entities. An entity counts as found only if
first word, last word and type are all right; a word's tag counts alone. Most words are O, so that a tagger that finds
nothing has a token accuracy of 0.9 and an entity F1 of 0. Compare like with like:

- entity F1, micro (`micro_scores`): what the CoNLL shared tasks and most papers report (Tjong Kim Sang & De Meulder
  2003). Some report its mean over types (`macro_scores`) under the same name.
- token accuracy with O (`token_accuracy_with_o`): what `conlleval` and seqeval call accuracy.
- token F1 without O (`token_scores_without_o`): some papers' "F1"; its recall is the token accuracy without O.

Entities are read as strict IOB2, seqeval's `mode="strict", scheme=IOB2`: an I-x that continues no entity of type x
belongs to none. seqeval's default, like `conlleval`, begins an entity there; on valid tags both are the same.

Where a quotient has no denominator, what `progressive_tf.evaluation.metrics` says for classes holds: precision is 0 if
there are entities but no predictions, recall is undefined, NaN, without entities, and all three are NaN without either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from progressive_tf.errors import unknown_name

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Sums = npt.NDArray[Any]

# The last axis of `TagCounts.entities`.
TRUE, PREDICTED, CORRECT = 0, 1, 2


@dataclass(frozen=True)
class TagCounts:
    """What all scores of tagged sentences need; scores are functions of sums over the first axis, sentences.

    Attributes:
        kinds: the types of entities.
        entities: int32 [sentences, types, 3], entities of each type that are true, predicted, and both.
        tokens: int32 [sentences, 2], words, and those whose tag is predicted right.
        inside: int32 [sentences, 3], words whose true tag is not O, whose predicted tag is not O, and whose true tag is
            not O and predicted right.
    """

    kinds: tuple[str, ...]
    entities: Counts
    tokens: Counts
    inside: Counts


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1, float64 of one shape each, NaN where undefined.

    With t, p and c what is true, predicted and correct: precision c/p, recall c/t, F1 2c/(t + p).
    """

    precision: Floats
    recall: Floats
    f1: Floats


@dataclass(frozen=True)
class _Entities:
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]


def count_tags(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], kinds: Sequence[str]) -> TagCounts:
    """Compares predicted with true BIO tags, sentence by sentence.

    Args:
        truth: the true tags of each sentence's words: "O", "B-x" or "I-x" for a type x.
        predicted: as many sentences, each with as many tags.
        kinds: all types there are.

    Raises:
        ValueError: numbers of sentences or words differ, or a tag is none of these types'.
    """
    lengths = np.array([len(tags) for tags in truth], np.int64)
    if len(predicted) != len(truth):
        raise ValueError(f"predicted: {len(predicted):,} sentences; expected as many as in truth, {len(truth):,}")
    for sentence, (true_tags, tags) in enumerate(zip(truth, predicted, strict=True)):
        if len(tags) != len(true_tags):
            raise ValueError(f"predicted[{sentence}]: {len(tags)} tags; expected as many as in truth, {len(true_tags)}")
    return count_codes(_codes(truth, kinds), _codes(predicted, kinds), lengths, kinds)


def count_codes(
    true_codes: npt.NDArray[Any], codes: npt.NDArray[Any], lengths: npt.NDArray[Any], kinds: Sequence[str]
) -> TagCounts:
    """Compares predicted with true tags that are given as numbers: 0 is O, 2i + 1 is B and 2i + 2 I of type i.

    Args:
        true_codes: int [words of all sentences].
        codes: the predicted ones.
        lengths: int [sentences], words of each.
        kinds: all types there are.
    """
    sentence_of = np.repeat(np.arange(len(lengths)), lengths)
    true_entities, entities = _entities(true_codes, sentence_of), _entities(codes, sentence_of)
    matched = _only(true_entities, _is_among(true_entities, entities, len(codes)))
    right, true_inside, inside = true_codes == codes, true_codes > 0, codes > 0

    def per_type(counted: _Entities) -> npt.NDArray[np.int64]:
        cells = sentence_of[counted.start] * len(kinds) + counted.kind
        return np.bincount(cells, minlength=len(lengths) * len(kinds)).reshape(len(lengths), len(kinds))

    def per_sentence(tokens: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(sentence_of[tokens], minlength=len(lengths))

    return TagCounts(
        kinds=tuple(kinds),
        entities=np.stack([per_type(true_entities), per_type(entities), per_type(matched)], -1).astype(np.int32),
        tokens=np.stack([lengths, per_sentence(right)], -1).astype(np.int32),
        inside=np.stack(
            [per_sentence(true_inside), per_sentence(inside), per_sentence(true_inside & right)], -1
        ).astype(np.int32),
    )


def micro_scores(entities: Sums) -> Scores:
    """Returns the scores of all entities together, whatever their type: the field's "entity-level F1".

    Args:
        entities: [..., types, 3], sums of `TagCounts.entities`; leading axes are resamples.

    Returns:
        Scores of shape [...].
    """
    return _scores(entities.sum(axis=-2))


def scores_by_type(entities: Sums) -> Scores:
    """Returns the scores of each type of entity.

    Args:
        entities: as for `micro_scores`.

    Returns:
        Scores of shape [..., types].
    """
    return _scores(entities)


def macro_scores(entities: Sums) -> Scores:
    """Returns means over the types that are true or predicted, so that rare types count as much as frequent ones.

    F1 is the mean of the types' F1. A type that is predicted but never true counts with recall 0.

    Args:
        entities: as for `micro_scores`.

    Returns:
        Scores of shape [...].
    """
    per_type = _scores(entities)
    present = (entities[..., TRUE] + entities[..., PREDICTED]) > 0

    def mean(values: Floats) -> Floats:
        return _quotient(np.where(present, np.nan_to_num(values, nan=0.0), 0.0).sum(axis=-1), present.sum(axis=-1))

    return Scores(mean(per_type.precision), mean(per_type.recall), mean(per_type.f1))


def token_accuracy_with_o(tokens: Sums) -> Floats:
    """Returns the share of all words whose tag is right; high where most words are O, whatever is found.

    Args:
        tokens: [..., 2], sums of `TagCounts.tokens`.

    Returns:
        float64 [...], NaN without words.
    """
    return _quotient(tokens[..., 1], tokens[..., 0])


def token_scores_without_o(inside: Sums) -> Scores:
    """Returns the scores of words, a word being true or predicted if that tag is not O, and correct if both are equal.

    They are scikit-learn's micro averages over all tags but O. Half an entity counts half, so that they are mostly
    higher than `micro_scores`.

    Args:
        inside: [..., 3], sums of `TagCounts.inside`.

    Returns:
        Scores of shape [...].
    """
    return _scores(inside)


def _codes(sentences: Iterable[Sequence[str]], kinds: Sequence[str]) -> npt.NDArray[np.int64]:
    """Returns 0 for O, an odd number for B and the even one above it for I."""
    known = {"O": 0}
    for index, kind in enumerate(kinds):
        known |= {f"B-{kind}": 2 * index + 1, f"I-{kind}": 2 * index + 2}
    try:
        return np.array([known[tag] for tag in chain.from_iterable(sentences)], np.int64)
    except KeyError as error:
        raise ValueError(unknown_name("tag", error.args[0], known)) from None


def _entities(codes: npt.NDArray[np.int64], sentence_of: npt.NDArray[np.int64]) -> _Entities:
    kind = (codes + 1) // 2 - 1
    continues = (codes > 0) & (codes % 2 == 0)
    continues[:1] = False
    continues[1:] &= (kind[1:] == kind[:-1]) & (sentence_of[1:] == sentence_of[:-1])
    # Words that continue nothing cut the text into runs; those runs are entities that begin with B.
    start = np.flatnonzero(~continues)
    end = np.append(start[1:], len(codes))
    return _only(_Entities(start, end, kind[start]), codes[start] % 2 == 1)


def _only(entities: _Entities, chosen: npt.NDArray[np.bool_]) -> _Entities:
    return _Entities(entities.start[chosen], entities.end[chosen], entities.kind[chosen])


def _is_among(some: _Entities, others: _Entities, words: int) -> npt.NDArray[np.bool_]:
    end, kind = np.full(words, -1), np.full(words, -1)
    end[others.start], kind[others.start] = others.end, others.kind
    return (end[some.start] == some.end) & (kind[some.start] == some.kind)


def _scores(sums: Sums) -> Scores:
    true, predicted, correct = sums[..., TRUE], sums[..., PREDICTED], sums[..., CORRECT]
    precision = np.where((predicted == 0) & (true > 0), 0.0, _quotient(correct, predicted))
    return Scores(precision, _quotient(correct, true), _quotient(2 * correct, true + predicted))


def _quotient(numerator: Sums, denominator: Sums) -> Floats:
    undefined = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
