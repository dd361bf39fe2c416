"""Every metric as a function of sums over rows, so that a bootstrap needs the sums only.

What happens where a quotient has no denominator follows scikit-learn with `zero_division=0`: a class with rows that is
never predicted has precision 0. A class with neither rows nor predictions has no value and is left out of macro
averages. A class that is predicted but has no rows has precision and F1 0 and counts with recall 0 in macro averages;
its own recall is left undefined, where scikit-learn says 0: there is nothing to recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from progressive_tf.errors import unknown_name
from progressive_tf.evaluation.calibration import BINS, bin_of
from progressive_tf.evaluation.predictions import Predictions
from progressive_tf.evaluation.tagged_metrics import has_type, tagged_measure, tagged_metric_list, tagged_support
from progressive_tf.evaluation.tagged_predictions import AnyPredictions, TaggedPredictions
from progressive_tf.evaluation.translation_metrics import translation_measure
from progressive_tf.evaluation.translations import Translations
from progressive_tf.plan.metric_names import (
    METRICS,
    PER_CLASS_METRICS,
    TRANSLATION_METRICS,
    Answers,
    find_metric,
    metric_fits,
)

Floats = npt.NDArray[np.float64]
# A probability of exactly 0 for the true class would make the mean infinite; one such row costs 16.1 instead.
SMALLEST_PROBABILITY = 1e-7
CALIBRATION_METRICS = ("log_loss", "ece")
CALIBRATION_FEATURES = 1 + BINS


@dataclass(frozen=True)
class ClassSums:
    """Sums from which accuracy, precision, recall and F1 follow; leading axes are resamples.

    Attributes:
        true: float64 [..., classes], rows of each class.
        predicted: float64 [..., classes], rows predicted as each class.
        right: float64 [..., classes], rows of each class that are predicted right.
    """

    true: Floats
    predicted: Floats
    right: Floats

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """bool [..., classes]: whether a class has rows or predictions."""
        return (self.true + self.predicted) > 0

    def of(self, index: int) -> ClassSums:
        """Returns those of a single class: float64 [..., 1] each."""
        return ClassSums(*(part[..., index, np.newaxis] for part in (self.true, self.predicted, self.right)))

    def plus(self, spread: Floats, answers: Floats, right_answers: Floats) -> ClassSums:
        """Adds pseudo-observations to every class.

        Args:
            spread: float64 [classes], the part of one pseudo-observation that each class takes.
            answers: float64 [...], pseudo-observations.
            right_answers: float64 [...], how many of them are right.
        """
        added = answers[..., None] * spread
        return ClassSums(self.true + added, self.predicted + added, self.right + right_answers[..., None] * spread)


def answers_of(predictions: AnyPredictions) -> Answers:
    """Returns what these predictions say about a row."""
    if isinstance(predictions, Translations):
        return "texts"
    return "tags" if isinstance(predictions, TaggedPredictions) else "classes"


def metrics_of(predictions: AnyPredictions) -> list[str]:
    """Returns the names of all metrics of these predictions."""
    if isinstance(predictions, Translations):
        return list(TRANSLATION_METRICS)
    if isinstance(predictions, TaggedPredictions):
        return tagged_metric_list(predictions.kinds)
    return metric_list(predictions.labels)


def metric_list(labels: Sequence[str]) -> list[str]:
    """Returns the names of all metrics of a task with these labels, per-class ones last."""
    return [*METRICS, *(f"{kind}/{label}" for kind in PER_CLASS_METRICS for label in labels)]


def measure(predictions: AnyPredictions, name: str) -> float | None:
    """Returns the value of a metric, or None where it is undefined.

    It is where there are no rows or no such label, and where a row's class is one that the model has no output for.

    Args:
        predictions: the rows to measure.
        name: a metric's name as in a plan: `accuracy`, `recall/negative`, `log_loss`, `entity_f1`, `chrf`, …

    Raises:
        ValueError: a name that no metric of these predictions has.
    """
    if find_metric(name) is None or not metric_fits(name, answers_of(predictions)):
        raise ValueError(unknown_name("metric", name, metrics_of(predictions)))
    if isinstance(predictions, TaggedPredictions):
        return tagged_measure(predictions, name)
    if isinstance(predictions, Translations):
        return translation_measure(predictions, name)
    if len(predictions) == 0 or not has_label(predictions, name) or not predictions.knowable.all():
        return None
    if name in CALIBRATION_METRICS:
        sums = calibration_features(predictions).sum(axis=0)
        value = float(calibration_metric(sums, len(predictions), name))
    else:
        _, _, label = name.partition("/")
        plain = class_sums(predictions).of(predictions.places[label]) if label else class_sums(predictions)
        value = float(class_metric(plain, plain.present, name))
    return None if np.isnan(value) else value


def support(predictions: AnyPredictions, name: str) -> int:
    """Returns the number of rows a metric rests on.

    That is every row, but for a class those that have it (recall), are predicted as it (precision), or either (F1).
    """
    if isinstance(predictions, TaggedPredictions):
        return tagged_support(predictions, name)
    if isinstance(predictions, Translations):
        return len(predictions)
    kind, _, label = name.partition("/")
    if not has_label(predictions, name):
        return 0
    if not label:
        return len(predictions)
    true, predicted, right = predictions.counts[:, predictions.places[label]].tolist()
    return int({"precision": predicted, "recall": true, "f1": true + predicted - right}[kind])


def has_label(predictions: AnyPredictions, name: str) -> bool:
    """Returns whether the label in a per-class metric's name exists; True for every other metric."""
    if isinstance(predictions, TaggedPredictions):
        return has_type(predictions, name)
    if isinstance(predictions, Translations):
        return True
    _, _, label = name.partition("/")
    return not label or label in predictions.places


def class_sums(predictions: Predictions) -> ClassSums:
    """Returns the sums over all rows, float64 [classes] each."""
    return ClassSums(*predictions.counts)


def class_metric(sums: ClassSums, present: npt.NDArray[np.bool_], name: str) -> Floats:
    """Computes a metric of right and wrong answers from sums.

    With t, p and r the true, predicted and right rows of a class: precision r/p, recall r/t, F1 2r/(t + p). Macro is
    their mean over the classes present, weighted the mean by t; accuracy is Σr/Σt.

    Args:
        sums: with leading axes of any shape; for a class's own metric of that class alone.
        present: bool [..., classes], the classes that macro averages run over.
        name: any metric but `log_loss` and `ece`.

    Returns:
        float64 [...], NaN where undefined.
    """
    if name == "accuracy":
        return _quotient(sums.right.sum(axis=-1), sums.true.sum(axis=-1))
    kind, _, label = name.partition("/")
    if label:
        undefined = sums.true == 0 if kind == "recall" else ~sums.present
        return np.where(undefined, np.nan, _per_class(sums, kind))[..., 0]
    kind, _, average = name.partition("_")
    values = np.nan_to_num(_per_class(sums, kind), nan=0.0)
    weights = present.astype(np.float64) if average == "macro" else sums.true
    return _quotient((values * weights).sum(axis=-1), weights.sum(axis=-1))


def calibration_features(predictions: Predictions) -> Floats:
    """Returns what log loss and calibration error need of each row.

    float64 [rows, 16]: −log p of the true class, then confidence − right in the column of the row's bin.
    """
    rows = np.arange(len(predictions))
    likelihood = np.clip(predictions.probabilities[rows, predictions.truth], SMALLEST_PROBABILITY, 1)
    features = np.zeros((len(predictions), CALIBRATION_FEATURES))
    features[:, 0] = -np.log(likelihood)
    features[rows, 1 + bin_of(predictions.confidence)] = predictions.confidence - predictions.right
    return features


def calibration_metric(sums: Floats, rows: int, name: str) -> Floats:
    """Computes log loss or the expected calibration error from sums of `calibration_features`.

    ECE (Guo et al. 2017) is Σ_bins |Σ confidence − Σ right| / n over fifteen bins of equal width of the confidence in
    the predicted class; the bins' counts cancel. Log loss is the mean −log of the true class' probability, which is
    clipped below at 1e-7.

    Args:
        sums: float64 [..., 16].
        rows: how many rows were summed, > 0.
        name: `log_loss` or `ece`.

    Returns:
        float64 [...].
    """
    if name == "log_loss":
        return sums[..., 0] / rows
    return np.abs(sums[..., 1:]).sum(axis=-1) / rows


def _per_class(sums: ClassSums, kind: str) -> Floats:
    if kind == "f1":
        return _quotient(2 * sums.right, sums.true + sums.predicted)
    values = _quotient(sums.right, sums.predicted if kind == "precision" else sums.true)
    return np.where(np.isnan(values) & sums.present, 0.0, values)


def _quotient(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
