"""How far a metric, or the difference of two models on the same rows, could be off: a smoothed paired bootstrap.

Rows are drawn with replacement and each metric is computed from the sums over a draw (Efron & Tibshirani 1993). Where
all answers are right, or two models answer alike, every draw is the same and the plain bootstrap claims certainty.
Metrics of right and wrong answers are therefore drawn from the rows plus pseudo-observations: for one model one right
and one wrong (Laplace; compare Agresti & Coull 1998), for two models two that only the first gets right and two that
only the second does (after Bonett & Price 2012, who add one each). The counts are those whose error rates came nearest
to the stated ones; see docs/decisions/0004-smoothed-paired-bootstrap.md. Of tagged sentences, sentences are what is
drawn, and pseudo-observations are sentences; see `tagged_metrics`. Of translations they are texts; see
`translation_metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.evaluation.class_draws import ClassDraws, draw_answers
from progressive_tf.evaluation.draws import PSEUDO_OBSERVATIONS, draw_sums, merge_rows
from progressive_tf.evaluation.metrics import (
    CALIBRATION_FEATURES,
    CALIBRATION_METRICS,
    Floats,
    calibration_features,
    calibration_metric,
    measure,
)
from progressive_tf.evaluation.predictions import Predictions
from progressive_tf.evaluation.tagged_metrics import pseudo_sentences, sentence_features, smoothed_tagged_metric
from progressive_tf.evaluation.tagged_predictions import AnyPredictions, TaggedPredictions
from progressive_tf.evaluation.translation_metrics import pseudo_texts, text_features, translation_metric
from progressive_tf.evaluation.translations import Translations
from progressive_tf.seeds import derive_seed

RESAMPLES = 10_000
# Of more rows than this, those within a tenth of a standard deviation of each other are drawn as one kind.
MOST_EXACT_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric, or a drop, with what it became in each resample.

    Attributes:
        value: on the rows as they are.
        samples: float64 [resamples], NaN where a resample leaves it undefined.
    """

    value: float
    samples: Floats


@dataclass(frozen=True, eq=False)
class _Summed:
    """One model's rows as what metrics are functions of.

    Attributes:
        features: float64 [rows, features].
        pseudo: a metric's name → float64 [features] of its right and of its wrong pseudo-observation.
        metric: sums over draws, float64 [resamples, features], those of their pseudo-observations, and a name → the
            metric, float64 [resamples].
    """

    features: Floats
    pseudo: Callable[[str], tuple[Floats, Floats]]
    metric: Callable[[Floats, Floats, str], Floats]


def resample_metrics(
    predictions: AnyPredictions, names: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Resampled]:
    """Bootstraps metrics of one model; see `each_resampled`."""
    return dict(each_resampled(predictions, names, resamples, seed))


def each_resampled(
    predictions: AnyPredictions, names: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[tuple[str, Resampled]]:
    """Bootstraps metrics of one model, one after another: those of thousands of classes would fill the memory.

    Args:
        predictions: at least one row; their order does not matter.
        names: metrics that are defined on these rows.
        resamples: > 0.
        seed: of everything random here.

    Yields:
        Each metric's name, in the order of `names`, with its value and resampled values.

    Raises:
        ValueError: a metric that is undefined on these rows.
    """
    values = {name: _defined(predictions, name) for name in names}
    for name, (samples,) in _resample([predictions], names, resamples, seed):
        yield name, Resampled(values[name], samples)


def resample_drop(
    candidate: AnyPredictions, baseline: AnyPredictions, name: str, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Bootstraps how much a metric falls from baseline to candidate, drawing the same rows for both.

    Args:
        candidate: at least one row.
        baseline: the same rows in the same order, with the same labels.
        name: a metric defined for both.
        resamples: > 0.
        seed: of everything random here.

    Returns:
        baseline − candidate; whether a fall is good or bad is the caller's to know.

    Raises:
        ValueError: other rows or labels, or a metric that is undefined on these rows.
    """
    if candidate.labels != baseline.labels or not np.array_equal(candidate.truth, baseline.truth):
        raise ValueError(
            "candidate and baseline: the same rows in the same order expected; got"
            f" {len(candidate)} and {len(baseline)} rows, or other labels or texts; predict both on one slice"
        )
    value = _defined(baseline, name) - _defined(candidate, name)
    ((_, (new, old)),) = _resample([candidate, baseline], [name], resamples, seed)
    return Resampled(value, old - new)


def _resample(
    models: Sequence[AnyPredictions], names: Sequence[str], resamples: int, seed: int
) -> Iterator[tuple[str, list[Floats]]]:
    """Yields each name with float64 [resamples] of each model, the rows of a resample being the same for all models."""
    classified = [model for model in models if isinstance(model, Predictions)]
    if classified:
        yield from _resample_rows(classified, names, resamples, seed)
        return
    summed = [_summed(model) for model in models if not isinstance(model, Predictions)]
    found = _resample_sums(summed, names, resamples, derive_seed(seed, "bootstrap", "sentences"))
    yield from ((name, [samples[:, place] for samples in found]) for place, name in enumerate(names))


def _summed(model: TaggedPredictions | Translations) -> _Summed:
    if isinstance(model, TaggedPredictions):
        kinds = model.kinds
        return _Summed(
            sentence_features(model),
            lambda name: pseudo_sentences(model, name),
            lambda sums, added, name: smoothed_tagged_metric(sums, added, kinds, name),
        )
    pair = pseudo_texts(model)
    return _Summed(
        text_features(model), lambda _: pair, lambda sums, added, name: translation_metric(sums + added, name)
    )


def _resample_sums(models: Sequence[_Summed], names: Sequence[str], resamples: int, seed: int) -> list[Floats]:
    """Returns float64 [resamples, names] of each model: one draw, smoothed for each with its pseudo-observations."""
    features = np.hstack([model.features for model in models])
    distinct, counts = np.unique(features, axis=0, return_counts=True)
    width = features.shape[1] // len(models)
    rows = np.block([[distinct, np.zeros((len(distinct), 2))], [np.zeros((2, features.shape[1])), np.eye(2)]])
    counts = np.append(counts, [PSEUDO_OBSERVATIONS[len(models)]] * 2)
    sums = np.vstack(list(draw_sums(rows, counts, resamples, seed)))
    found = []
    for index, model in enumerate(models):
        own = sums[:, index * width : (index + 1) * width]
        # The first model is right in the first kind of pseudo-observation, the second in the other.
        right, wrong = sums[:, -2 + index, np.newaxis], sums[:, -1 - index, np.newaxis]
        columns = []
        for name in names:
            right_one, wrong_one = model.pseudo(name)
            columns.append(model.metric(own, right * right_one + wrong * wrong_one, name))
        found.append(np.column_stack(columns))
    return found


def _resample_rows(
    models: Sequence[Predictions], names: Sequence[str], resamples: int, seed: int
) -> Iterator[tuple[str, list[Floats]]]:
    columns: list[dict[str, Floats]] = [{} for _ in models]
    of_answers = [name for name in names if name not in CALIBRATION_METRICS]
    of_calibration = [name for name in names if name in CALIBRATION_METRICS]
    drawn: ClassDraws | None = None
    if of_answers:
        drawn = draw_answers(models, of_answers, resamples, derive_seed(seed, "bootstrap", "answers"))
    if of_calibration:
        place = derive_seed(seed, "bootstrap", "calibration")
        _resample_calibration(models, of_calibration, resamples, place, columns)
    for name in names:
        if name in CALIBRATION_METRICS or drawn is None:
            yield name, [column[name] for column in columns]
        else:
            yield name, [drawn.samples(index, name) for index in range(len(models))]


def _resample_calibration(
    models: Sequence[Predictions], names: Sequence[str], resamples: int, seed: int, columns: list[dict[str, Floats]]
) -> None:
    """Fills `columns` with log loss and calibration error, from the rows alone.

    One model's rows, where they are more than `MOST_EXACT_ROWS`, are drawn by the cells of `merge_rows`: log loss and
    the gap of confidence then spread less by at most 1/800 of their standard deviation; the ends of an interval from
    10,000 resamples are uncertain by about 1/50 of it.
    """
    rows = len(models[0])
    features = np.hstack([calibration_features(model) for model in models])
    if len(models) == 1 and rows > MOST_EXACT_ROWS:
        distinct, counts = merge_rows(features)
    else:
        distinct, counts = np.unique(features, axis=0, return_counts=True)
    sums = np.vstack(list(draw_sums(distinct, counts, resamples, seed)))
    for index, (model, column_of) in enumerate(zip(models, columns, strict=True)):
        own = sums[:, index * CALIBRATION_FEATURES : (index + 1) * CALIBRATION_FEATURES]
        for name in names:
            samples = calibration_metric(own, rows, name)
            if name == "ece":
                # Noise in the bins adds up as error, once in the estimate and again in each resample; without the
                # shift the second helping would move the whole interval above the estimate.
                samples = samples - samples.mean() + _defined(model, name)
            column_of[name] = samples


def _defined(predictions: AnyPredictions, name: str) -> float:
    value = measure(predictions, name)
    if value is None:
        raise ValueError(f"{name} is undefined on these {len(predictions)} rows; ask measure() first")
    return value
