"""Metrics of tagged sentences, as functions of sums over sentences; see `entities` for what each of them is.

Smoothing, as `bootstrap` has it for classes: a pseudo-observation is a sentence that the metric rests on, as large as
those are in the mean: with as many entities (of the type, for a metric of one type), or words. In a right one all of
them are right. In a wrong one as many are missed, and as many invented.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.entities import (
    CORRECT,
    PREDICTED,
    TRUE,
    Scores,
    macro_scores,
    micro_scores,
    scores_by_type,
    token_accuracy_with_o,
    token_scores_without_o,
)
from progressive_tf.evaluation.tagged_predictions import TaggedPredictions
from progressive_tf.plan.metric_names import PER_TYPE_METRICS, TAGGING_METRICS

Floats = npt.NDArray[np.float64]
TOKEN_FEATURES = 5


def tagged_metric_list(kinds: Sequence[str]) -> list[str]:
    """Returns the names of all metrics of sentences with these types of entities, per-type ones last."""
    return [*TAGGING_METRICS, *(f"{kind}/{of}" for kind in PER_TYPE_METRICS for of in kinds)]


def has_type(predictions: TaggedPredictions, name: str) -> bool:
    """Returns whether the type in a per-type metric's name exists; True for every other metric."""
    _, _, kind = name.partition("/")
    return not kind or kind in predictions.kinds


def tagged_measure(predictions: TaggedPredictions, name: str) -> float | None:
    """Returns a metric's value, or None where it is undefined.

    Args:
        predictions: of any number of sentences.
        name: any metric of tagging.
    """
    if not has_type(predictions, name):
        return None
    value = float(tagged_metric(sentence_features(predictions).sum(axis=0), predictions.kinds, name))
    return None if np.isnan(value) else value


def tagged_support(predictions: TaggedPredictions, name: str) -> int:
    """Returns the number of sentences a metric rests on.

    That is every sentence for the accuracy of tokens; for entities those that have a true one (recall), a predicted one
    (precision) or either (F1), of the type where the metric is of one.
    """
    return int(_rests_on(predictions, name).sum()) if has_type(predictions, name) else 0


def sentence_features(predictions: TaggedPredictions) -> Floats:
    """Returns what all metrics need of each sentence.

    float64 [sentences, 3 · types + 5]: `TagCounts.entities`, type by type, then its tokens and inside.
    """
    counts = predictions.counts
    entities = counts.entities.reshape(len(predictions), -1)
    return np.hstack([entities, counts.tokens, counts.inside]).astype(np.float64)


def tagged_metric(sums: Floats, kinds: Sequence[str], name: str) -> Floats:
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


def smoothed_tagged_metric(sums: Floats, added: Floats, kinds: Sequence[str], name: str) -> Floats:
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
    return tagged_metric(sums + added, kinds, name)


def pseudo_sentences(predictions: TaggedPredictions, name: str) -> tuple[Floats, Floats]:
    """Returns the features of a right and of a wrong pseudo-observation, float64 [3 · types + 5] each.

    A macro average takes an equal part of one of every type, so that it weighs as much as in a metric over all.

    Args:
        predictions: at least one sentence that the metric rests on.
        name: the metric.
    """
    right = np.zeros(3 * len(predictions.kinds) + TOKEN_FEATURES)
    entities, tokens, inside = right[:-TOKEN_FEATURES].reshape(-1, 3), right[-TOKEN_FEATURES:-3], right[-3:]
    sizes = predictions.counts.entities[..., [TRUE, PREDICTED]].mean(axis=-1)  # [sentences, types]
    metric, _, of = name.partition("/")
    if of:
        place = predictions.kinds.index(of)
        entities[place] = _mean_of_some(sizes[:, place])
    elif metric.endswith("_macro"):
        present = sizes.any(axis=0)
        for place in np.flatnonzero(present):
            entities[place] = _mean_of_some(sizes[:, place]) / present.sum()
    elif metric.startswith("entity"):
        entities[0] = _mean_of_some(sizes.sum(axis=1))  # sums over types are all that counts
    elif metric == "token_accuracy":
        tokens[:] = _mean_of_some(predictions.counts.tokens[:, 0])
    else:
        inside[:] = _mean_of_some(predictions.counts.inside[:, [TRUE, PREDICTED]].mean(axis=-1))
    wrong = right.copy()
    wrong[:-TOKEN_FEATURES].reshape(-1, 3)[:, CORRECT] = 0
    wrong[-4] = 0
    wrong[-3:][CORRECT] = 0
    return right, wrong


def _rests_on(predictions: TaggedPredictions, name: str) -> npt.NDArray[np.bool_]:
    counts = predictions.counts
    metric, _, of = name.partition("/")
    if metric == "token_accuracy":
        return np.ones(len(predictions), bool)
    if metric == "token_f1_without_o":
        pair = counts.inside[:, [TRUE, PREDICTED]] > 0
    else:
        entities = counts.entities[:, predictions.kinds.index(of)] if of else counts.entities.sum(axis=1)
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
