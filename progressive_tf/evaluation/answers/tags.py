"""Which tag a model gave each word of a slice's sentences, beside the true one, and metrics of entities and words.

Metrics are functions of sums over sentences; see `entities` for what each of them is. Smoothing, as `bootstrap` has it:
a pseudo-observation is a sentence that the metric rests on, as large as those are in the mean: with as many entities
(of the type, for a metric of one type), or words. In a right one all of them are right. In a wrong one as many are
missed, and as many invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.answers.base import Answers, Floats, Summed, chosen_groups, groups_of, indices
from progressive_tf.evaluation.entities import (
    CORRECT,
    PREDICTED,
    TRUE,
    Scores,
    TagCounts,
    count_codes,
    macro_scores,
    micro_scores,
    scores_by_type,
    token_accuracy_with_o,
    token_scores_without_o,
)
from progressive_tf.plan.metric_names import TAGS

TOKEN_FEATURES = 5
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TagAnswers(Answers):
    """A model's tags on a slice; sentences are what is counted, resampled and compared.

    Attributes:
        labels: the tags, "O" first, then "B-x" and "I-x" of each type.
        lengths: int32 [sentences], words of each.
        truth: int32 [words of all sentences], indices in `labels`.
        predicted: int32 [words of all sentences], the same; valid BIO.
        confidence: float32 [words of all sentences], the probability of what was predicted.
        groups: int64 [sentences], equal for sentences that are alike; None where each is its own.

    Raises:
        ValueError: shapes that do not fit, or an index outside `labels`.
    """

    kind = TAGS

    labels: tuple[str, ...]
    lengths: Codes
    truth: Codes
    predicted: Codes
    confidence: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        words = int(self.lengths.sum())
        for name in ("truth", "predicted", "confidence"):
            if len(getattr(self, name)) != words:
                raise ValueError(f"{name}: {words} words expected; got {len(getattr(self, name))}")
        for name in ("truth", "predicted"):
            codes = getattr(self, name)
            if words and not (codes.min() >= 0 and codes.max() < len(self.labels)):
                raise ValueError(
                    f"{name}: indices below {len(self.labels)} expected; got {codes.min()} … {codes.max()}"
                )

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def counts(self) -> TagCounts:
        """What metrics are computed from."""
        return count_codes(self.truth, self.predicted, self.lengths, self.kinds)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The types of entities."""
        return tuple(tag[2:] for tag in self.labels if tag.startswith("B-"))

    @property
    def metric_labels(self) -> tuple[str, ...]:
        """The types of entities."""
        return self.kinds

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [sentences]: whether every word's tag is right."""
        tokens = self.counts.tokens
        return tokens[:, 0] == tokens[:, 1]

    def take(self, rows: npt.ArrayLike) -> TagAnswers:
        """Returns the predictions of some sentences: indices or a boolean mask, in that order."""
        chosen = indices(rows)
        ends = np.cumsum(self.lengths, dtype=np.int64)
        starts, lengths = (ends - self.lengths)[chosen], self.lengths[chosen]
        words = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
        of_words = self.truth[words], self.predicted[words], self.confidence[words]
        return TagAnswers(self.labels, lengths, *of_words, chosen_groups(self.groups, chosen))

    def join(self, others: Sequence[TagAnswers]) -> TagAnswers:
        """Returns these sentences and, after them, those of others with the same tags."""
        parts = [self, *others]
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS]
        return TagAnswers(self.labels, *columns).in_groups(groups_of(parts))

    def sentences(self, codes: Codes) -> list[list[str]]:
        """Returns codes of all words as names, sentence by sentence."""
        names = [self.labels[code] for code in codes.tolist()]
        ends = np.cumsum(self.lengths).tolist()
        return [names[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]

    def summed(self, names: Sequence[str]) -> list[Summed]:
        """Returns counts of entities and words; pseudo-observations are sentences."""
        pseudo = {name: pseudo_sentences(self, name) for name in names}

        def metric(sums: Floats, right: Floats, wrong: Floats, name: str) -> Floats:
            right_one, wrong_one = pseudo[name]
            added = right[:, np.newaxis] * right_one + wrong[:, np.newaxis] * wrong_one
            return smoothed_tag_metric(sums, added, self.kinds, name)

        return [Summed("sentences", tuple(names), sentence_features(self), lambda keys: keys, metric)]

    def _value(self, name: str) -> float:
        return float(tag_metric(sentence_features(self).sum(axis=0), self.kinds, name))

    def true_rows(self, label: str) -> int:
        """Returns how many sentences have an entity of a type."""
        return self.support(f"entity_recall/{label}")

    def _rests_on(self, name: str) -> npt.NDArray[np.bool_]:
        """Returns every sentence for the accuracy of tokens, and for entities those that have a true one (recall), a
        predicted one (precision) or either (F1), of the type where the metric is of one.
        """
        return _rests_on(self, name)


_COLUMNS = ("lengths", "truth", "predicted", "confidence")


def sentence_features(answers: TagAnswers) -> Floats:
    """Returns what all metrics need of each sentence.

    float64 [sentences, 3 · types + 5]: `TagCounts.entities`, type by type, then its tokens and inside.
    """
    counts = answers.counts
    entities = counts.entities.reshape(len(answers), -1)
    return np.hstack([entities, counts.tokens, counts.inside]).astype(np.float64)


def tag_metric(sums: Floats, kinds: Sequence[str], name: str) -> Floats:
    """Computes a metric from sums of `sentence_features`.

    Args:
        sums: float64 [..., 3 · types + 5].
        kinds: the types.
        name: any metric of tagging.

    Returns:
        float64 [...], NaN where undefined.
    """
    entities = sums[..., :-TOKEN_FEATURES].reshape(*sums.shape[:-1], len(kinds), 3)
    tokens, inside = sums[..., -TOKEN_FEATURES:-3], sums[..., -3:]
    name, _, of = name.partition("/")
    if of:
        return _chosen(scores_by_type(entities), name)[..., list(kinds).index(of)]
    if name == "token_accuracy":
        return token_accuracy_with_o(tokens)
    if name == "token_f1_without_o":
        return token_scores_without_o(inside).f1
    scores = macro_scores(entities) if name.endswith("_macro") else micro_scores(entities)
    return _chosen(scores, name.removesuffix("_macro"))


def smoothed_tag_metric(sums: Floats, added: Floats, kinds: Sequence[str], name: str) -> Floats:
    """Computes a metric from drawn sums and pseudo-observations; a macro average is over the types that a draw has.

    Args:
        sums: float64 [resamples, 3 · types + 5], of `sentence_features`.
        added: the same, of `pseudo_sentences`.
        kinds: the types.
        name: any metric of tagging.

    Returns:
        float64 [resamples], NaN where undefined.
    """
    if name.endswith("_macro"):
        present = sums[:, :-TOKEN_FEATURES].reshape(len(sums), len(kinds), 3).any(axis=-1)
        of_present = added[:, :-TOKEN_FEATURES] * np.repeat(present, 3, axis=1)
        added = np.hstack([of_present, added[:, -TOKEN_FEATURES:]])
    return tag_metric(sums + added, kinds, name)


def pseudo_sentences(answers: TagAnswers, name: str) -> tuple[Floats, Floats]:
    """Returns the features of a right and of a wrong pseudo-observation, float64 [3 · types + 5] each.

    A macro average takes an equal part of one of every type, so that it weighs as much as in a metric over all.

    Args:
        answers: at least one sentence that the metric rests on.
        name: the metric.
    """
    right = np.zeros(3 * len(answers.kinds) + TOKEN_FEATURES)
    entities, tokens, inside = right[:-TOKEN_FEATURES].reshape(-1, 3), right[-TOKEN_FEATURES:-3], right[-3:]
    sizes = answers.counts.entities[..., [TRUE, PREDICTED]].mean(axis=-1)  # [sentences, types]
    metric, _, of = name.partition("/")
    if of:
        place = answers.kinds.index(of)
        entities[place] = _mean_of_some(sizes[:, place])
    elif metric.endswith("_macro"):
        present = sizes.any(axis=0)
        for place in np.flatnonzero(present).tolist():
            entities[place] = _mean_of_some(sizes[:, place]) / present.sum()
    elif metric.startswith("entity"):
        entities[0] = _mean_of_some(sizes.sum(axis=1))  # sums over types are all that counts
    elif metric == "token_accuracy":
        tokens[:] = _mean_of_some(answers.counts.tokens[:, 0])
    else:
        inside[:] = _mean_of_some(answers.counts.inside[:, [TRUE, PREDICTED]].mean(axis=-1))
    wrong = right.copy()
    wrong[:-TOKEN_FEATURES].reshape(-1, 3)[:, CORRECT] = 0
    wrong[-4] = 0
    wrong[-3:][CORRECT] = 0
    return right, wrong


def _rests_on(answers: TagAnswers, name: str) -> npt.NDArray[np.bool_]:
    counts = answers.counts
    metric, _, of = name.partition("/")
    if metric == "token_accuracy":
        return np.ones(len(answers), bool)
    if metric == "token_f1_without_o":
        pair = counts.inside[:, [TRUE, PREDICTED]] > 0
    else:
        entities = counts.entities[:, answers.kinds.index(of)] if of else counts.entities.sum(axis=1)
        pair = entities[:, [TRUE, PREDICTED]] > 0
    if metric == "entity_recall":
        return pair[:, 0]
    return pair[:, 1] if metric == "entity_precision" else pair.any(axis=1)


def _chosen(scores: Scores, name: str) -> Floats:
    return {"entity_precision": scores.precision, "entity_recall": scores.recall, "entity_f1": scores.f1}[name]


def _mean_of_some(sizes: npt.NDArray[np.generic]) -> float:
    """Returns the mean of what is not zero, or 1 where all is."""
    some = sizes[sizes > 0]  # type: ignore[operator]
    return float(some.mean()) if some.size else 1.0
