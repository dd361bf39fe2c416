"""Right and wrong answers over resamples, kept so that thousands of classes cost as much more as there are more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from progressive_tf.evaluation.draws import PSEUDO_OBSERVATIONS, draw_sums
from progressive_tf.evaluation.metrics import ClassSums, Floats, class_metric, class_sums
from progressive_tf.evaluation.predictions import Predictions

Counts = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class ClassDraws:
    """What resamples of one or two models' rows have: metrics over all classes, and the counts of single ones.

    Attributes:
        over_all: for each model, a metric's name → float64 [resamples].
        counts: for each model, a class → its true, predicted and right rows, unsigned [3, resamples]. These are a
            quarter of the memory that its precision, recall and F1 would take, or less.
        pseudo: float64 [resamples], pseudo-observations in each.
        right_pseudo: for each model, how many of them are right.
    """

    over_all: Sequence[dict[str, Floats]]
    counts: Sequence[dict[str, Counts]]
    pseudo: Floats
    right_pseudo: Sequence[Floats]

    def samples(self, model: int, name: str) -> Floats:
        """Returns what a metric became in each resample, float64 [resamples]; NaN where it is undefined.

        Args:
            model: its number.
            name: one of those that rows were drawn for.
        """
        _, _, label = name.partition("/")
        if not label:
            return self.over_all[model][name]
        drawn = ClassSums(*self.counts[model][label].astype(np.float64)[..., np.newaxis])
        # A class takes a whole pseudo-observation: spread over all classes, one with few rows would look certain.
        smoothed = drawn.plus(np.ones(1), self.pseudo, self.right_pseudo[model])
        return class_metric(smoothed, drawn.present, name)


def draw_answers(models: Sequence[Predictions], names: Sequence[str], resamples: int, seed: int) -> ClassDraws:
    """Draws rows, and the pseudo-observations that smooth metrics of right and wrong answers.

    Args:
        models: one or two on the same rows.
        names: metrics of right and wrong answers.
        resamples: > 0.
        seed: ≥ 0.
    """
    single = list(dict.fromkeys(label for _, _, label in (name.partition("/") for name in names) if label))
    over_all = [name for name in names if "/" not in name]
    places = [models[0].places[label] for label in single]
    features, counts = _features(models)
    kept = np.min_scalar_type(int(counts.sum()))
    held: list[Counts] = [np.empty([len(single), 3, resamples], kept) for _ in models]
    parts: list[dict[str, list[Floats]]] = [{name: [] for name in over_all} for _ in models]
    plain = [class_sums(model) for model in models]
    pseudo = []
    begin = 0
    for sums in draw_sums(features, counts, resamples, seed):
        end = begin + len(sums)
        true, *answers = np.split(sums[:, :-2], 1 + 2 * len(models), axis=1)
        pseudo.append(sums[:, -2:].copy())  # a view would keep the whole chunk
        for index in range(len(models)):
            drawn = ClassSums(true, answers[2 * index], answers[2 * index + 1])
            for place, part in enumerate((drawn.true, drawn.predicted, drawn.right)):
                held[index][:, place, begin:end] = part[:, places].T
            smoothed: dict[str, ClassSums] = {}
            for name in over_all:
                kind = "macro" if name.endswith("_macro") else "weighted"
                if kind not in smoothed:
                    right = sums[:, _right_column(index)]
                    smoothed[kind] = drawn.plus(_spread(kind, plain[index]), sums[:, -2:].sum(axis=1), right)
                parts[index][name].append(class_metric(smoothed[kind], drawn.present, name))
        begin = end
    joined = np.concatenate(pseudo)
    return ClassDraws(
        [{name: np.concatenate(chunks) for name, chunks in part.items()} for part in parts],
        [dict(zip(single, each, strict=True)) for each in held],
        joined.sum(axis=1),
        [joined[:, _right_column(index)] for index in range(len(models))],
    )


def _features(models: Sequence[Predictions]) -> tuple[sparse.csr_array, npt.NDArray[np.int64]]:
    """Returns for each distinct row one for its class, and for each model one for its answer and for a right answer.

    The two last rows and columns are the two kinds of pseudo-observation, counted apart, spread per metric.

    Returns:
        float64 [distinct rows + 2, classes × (1 + 2 models) + 2] and how often each row occurs.
    """
    keys = np.column_stack([models[0].truth, *(model.predicted for model in models)])
    # Sorting the distinct rows makes the result independent of the rows' order.
    distinct, counts = np.unique(keys, axis=0, return_counts=True)
    size, truth = len(models[0].labels), distinct[:, 0]
    shape = (len(distinct), size)
    rows = np.arange(len(distinct))
    blocks = [sparse.csr_array((np.ones(len(rows)), (rows, truth)), shape)]
    for column in range(1, 1 + len(models)):
        predicted = distinct[:, column]
        blocks.append(sparse.csr_array((np.ones(len(rows)), (rows, predicted)), shape))
        right = (predicted == truth).astype(np.float64)
        blocks.append(sparse.csr_array((right, (rows, truth)), shape))
    features = sparse.block_diag([sparse.hstack(blocks), sparse.eye_array(2)], format="csr")
    return features, np.append(counts, [PSEUDO_OBSERVATIONS[len(models)]] * 2)


def _right_column(index: int) -> int:
    """The first model is right in the first kind of pseudo-observation, the second in the other."""
    return -2 + index


def _spread(kind: str, plain: ClassSums) -> Floats:
    """Returns the part of a pseudo-observation that each class takes, as the metric weighs the classes."""
    weights = plain.present.astype(np.float64) if kind == "macro" else plain.true
    return weights / weights.sum()
