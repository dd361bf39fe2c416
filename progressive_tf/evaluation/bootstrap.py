"""How far a metric, or the difference of two models on the same rows, could be off: a smoothed paired bootstrap.

Rows are drawn with replacement and each metric is computed from the sums over a draw (Efron & Tibshirani 1993). Where
all answers are right, or two models answer alike, every draw is the same and the plain bootstrap claims certainty.
Metrics of right and wrong answers are therefore drawn from the rows plus pseudo-observations: for one model one right
and one wrong (Laplace; compare Agresti & Coull 1998), for two models two that only the first gets right and two that
only the second does (after Bonett & Price 2012, who add one each). Scores of probabilities get one that costs nothing
and one that costs the most, for two models one of each kind. The counts are those whose error rates came nearest to the
stated ones; see docs/decisions/0004-smoothed-paired-bootstrap.md. What is summed of a row, and how large a
pseudo-observation is, the kind of answer says: `Answers.summed`.

Where answers have groups, groups are drawn instead of rows (the cluster bootstrap: Field & Welsh 2007, section 3), each
with all of its rows, and a pseudo-observation is as many rows as the group of a row has in the mean; see
docs/decisions/0013-groups-are-drawn.md.

How two methods differ over the same seeds stands here too: `paired_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.answers.base import Answers, Floats, Summed
from progressive_tf.evaluation.drawing import Features, distinct_groups, distinct_rows, draw_sums
from progressive_tf.plan.metric_names import find_metric
from progressive_tf.seeds import derive_seed

RESAMPLES = 10_000


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric, or a drop, with what it became in each resample.

    Attributes:
        value: on the rows as they are.
        samples: float64 [resamples], NaN where a resample leaves it undefined.
    """

    value: float
    samples: Floats


def resample_metrics(
    answers: Answers, names: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Resampled]:
    """Bootstraps metrics of one model; see `each_resampled`."""
    return dict(each_resampled(answers, names, resamples, seed))


def each_resampled(
    answers: Answers, names: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> Iterator[tuple[str, Resampled]]:
    """Bootstraps metrics of one model, one after another: those of thousands of classes would fill the memory.

    Args:
        answers: at least one row; their order does not matter.
        names: metrics that are defined on these rows.
        resamples: > 0.
        seed: of everything random here.

    Yields:
        Each metric's name, in the order of `names`, with its value and resampled values.

    Raises:
        ValueError: a metric that is undefined on these rows.
    """
    values = {name: _defined(answers, name) for name in names}
    samples = _resample([answers], names, resamples, seed)
    for name in names:
        (drawn,) = samples(name)
        yield name, Resampled(values[name], drawn)


def resample_drop(
    candidate: Answers, baseline: Answers, name: str, resamples: int = RESAMPLES, seed: int = 0
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
    if not candidate.same_rows(baseline):
        raise ValueError(
            "candidate and baseline: the same rows in the same order expected; got"
            f" {len(candidate)} and {len(baseline)} rows, or other labels or texts; predict both on one slice"
        )
    value = _defined(baseline, name) - _defined(candidate, name)
    new, old = _resample([candidate, baseline], [name], resamples, seed)(name)
    return Resampled(value, old - new)


def bounds(resampled: Resampled, confidence: float) -> tuple[float, float]:
    """Returns the lower and the upper bound that each hold with `confidence` alone: percentiles of the resamples.

    Both are widened to contain the estimate. Counting one more value beyond each bound than the resamples show (Davison
    & Hinkley 1997) makes a bound meet a threshold exactly when the p-value of `weigh` is at most 1 − confidence.

    Args:
        resampled: the estimate and its resamples; undefined resamples are left out.
        confidence: one-sided, in (0, 1).
    """
    known = np.sort(resampled.samples[~np.isnan(resampled.samples)])
    if known.size == 0:
        return resampled.value, resampled.value
    # The small addition keeps 0.05 × 2,000 from becoming 99.
    outside = max(0, math.floor((1 - confidence) * (known.size + 1) + 1e-9) - 1)
    outside = min(outside, known.size - 1)
    low, high = float(known[outside]), float(known[known.size - 1 - outside])
    return min(low, resampled.value), max(high, resampled.value)


def intervals(
    answers: Answers, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """Measures everything on a slice, with two-sided bootstrap intervals.

    Args:
        answers: on the slice; may be without rows.
        confidence: of the two-sided interval, in (0, 1).
        resamples: > 0.
        seed: the plan's seed, or one derived from it.

    Returns:
        For each metric, per-class ones included, `value`, `low`, `high` (None where undefined) and `n`, the number of
        rows it rests on.
    """
    values = {name: answers.measure(name) for name in answers.names}
    defined = [name for name, value in values.items() if value is not None]
    drawn = each_resampled(answers, defined, resamples, seed) if defined else ()
    ends = {name: _within_range(name, *bounds(resampled, (1 + confidence) / 2)) for name, resampled in drawn}
    table: dict[str, dict[str, float | int | None]] = {}
    for name, value in values.items():
        low, high = ends.get(name, (None, None))
        table[name] = {"value": value, "low": low, "high": high, "n": answers.support(name)}
    return table


def _resample(
    models: Sequence[Answers], names: Sequence[str], resamples: int, seed: int
) -> Callable[[str], list[Floats]]:
    """Draws the same rows for all models; returns what gives a metric's float64 [resamples] of each model."""
    samples: dict[str, Callable[[str], list[Floats]]] = {}
    groups = _shared_groups(models[0])
    sizes = {name: 1.0 if groups is None else max(_rows_per_group(model, name) for model in models) for name in names}
    for parts in zip(*(model.summed(names) for model in models), strict=True):
        distinct = distinct_rows(parts) if groups is None else distinct_groups(parts, groups)
        drawn = _draw(parts, *distinct, sizes, resamples, derive_seed(seed, "bootstrap", parts[0].stream))
        samples |= dict.fromkeys(parts[0].names, drawn)
    return lambda name: samples[name](name)


def _shared_groups(answers: Answers) -> npt.NDArray[np.int64] | None:
    """Returns numbers of the groups of rows, from 0; None where no group has two rows."""
    if answers.groups is None:
        return None
    distinct, groups = np.unique(answers.groups, return_inverse=True)
    return None if len(distinct) == len(groups) else groups.astype(np.int64)


def _rows_per_group(answers: Answers, name: str) -> float:
    """Returns how many rows, of those that a metric rests on, the group of a row has in the mean over rows.

    1 where it rests on none, as the precision of a class that is never predicted does.
    """
    sizes = answers.group_sizes(name)
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0


def _draw(
    models: Sequence[Summed],
    features: Features,
    counts: npt.NDArray[np.int64],
    sizes: Mapping[str, float],
    resamples: int,
    seed: int,
) -> Callable[[str], list[Floats]]:
    """Draws rows, and computes metrics of all features at once, chunk by chunk; of the others the sums are kept.

    For thousands of classes these sums are a quarter of the memory that each class' metrics would take, or less.

    Args:
        models: of the same rows.
        features: of the distinct rows or groups, of all models side by side, with those of pseudo-observations.
        counts: how often each of these occurs.
        sizes: of a pseudo-observation, in rows, by metric.
        resamples: > 0.
        seed: >= 0.
    """
    first = models[0]
    width = (features.shape[1] - 2 * first.smoothed) // len(models)
    needed = {name: columns for name in first.names if (columns := first.columns(name)) is not None}
    kept = np.unique(np.concatenate([np.zeros(0, np.int64), *needed.values()]))
    largest = int(counts.sum() * max(1, features.max())) if len(kept) else 1
    sums_of = [np.empty([len(kept), resamples], np.min_scalar_type(largest)) for _ in models]
    metrics = {name: np.empty([len(models), resamples]) for name in first.names if name not in needed}
    pseudo = np.zeros([2, resamples])
    end = 0
    for sums in draw_sums(features, counts, resamples, seed):
        begin, end = end, end + len(sums)
        if first.smoothed:
            pseudo[:, begin:end] = sums[:, -2:].T
        for index, model in enumerate(models):
            own = sums[:, index * width : (index + 1) * width]
            sums_of[index][:, begin:end] = own[:, kept].T
            for name, samples in metrics.items():
                right, wrong = _right_and_wrong(pseudo[:, begin:end] * sizes[name], index)
                samples[index, begin:end] = model.metric(own, right, wrong, name)
    for name, samples in metrics.items():
        for index, model in enumerate(models):
            if name in model.centres:
                samples[index] = samples[index] - np.nanmean(samples[index]) + model.centres[name]

    def samples_of(name: str) -> list[Floats]:
        if name not in needed:
            return list(metrics[name])
        rows = np.searchsorted(kept, needed[name])
        return [
            model.metric(own[rows].astype(np.float64).T, *_right_and_wrong(pseudo * sizes[name], index), name)
            for index, (model, own) in enumerate(zip(models, sums_of, strict=True))
        ]

    return samples_of


def _right_and_wrong(pseudo: Floats, index: int) -> tuple[Floats, Floats]:
    """The first model is right in the first kind of pseudo-observation, the second in the other."""
    return pseudo[index], pseudo[1 - index]


def _within_range(name: str, low: float, high: float) -> tuple[float, float]:
    metric = find_metric(name)
    return (low, high) if metric is None else (max(low, metric.lowest), min(high, metric.highest))


def _defined(answers: Answers, name: str) -> float:
    value = answers.measure(name)
    if value is None:
        raise ValueError(f"{name} is undefined on these {len(answers)} rows; ask measure() first")
    return value


FEWEST_SEEDS = 6  # with fewer, no outcome has a two-sided p below 0.05: the least is 2 / 2^n
MOST_EXACT = 100_000  # sign patterns that are counted one by one; of more, as many are drawn


@dataclass(frozen=True)
class PairedDifference:
    """What one method has more than another, seed by seed.

    Attributes:
        mean: of the differences.
        low, high: 95 % interval of the mean (Student's t); None with one seed.
        p: two-sided p-value of the sign-flip permutation test.
        seeds: how many.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    seeds: int


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> PairedDifference:
    """Compares two methods.

    If the methods did not differ, each seed's difference would be as likely to have the other sign: p is the share of
    all 2^n choices of signs whose mean is at least as far from 0 (Fisher 1935; Good 2005, section 3.7), exact up to 16
    seeds.

    Args:
        first: one value per seed.
        second: of the same seeds, in the same order.
        seed: draws sign patterns where there are too many to count.

    Returns:
        second − first.

    Raises:
        ValueError: no seeds, another number of them, or a value that is not finite.
    """
    differences = np.array([after - before for before, after in zip(first, second, strict=False)], np.float64)
    if len(first) != len(second) or not len(differences) or not np.isfinite(differences).all():
        raise ValueError(f"the same seeds expected, with finite values; got {list(first)} and {list(second)}")
    count = len(differences)
    low = high = None
    if count > 1:
        from scipy import stats  # a second of imports, which what refuses its input does without

        half = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / math.sqrt(count)
        low, high = float(differences.mean() - half), float(differences.mean() + half)
    if 2**count <= MOST_EXACT:
        bits = np.arange(2**count)[:, np.newaxis] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(2, size=(MOST_EXACT, count))
        bits[0] = 0  # what was observed is one of them
    means = np.abs(((1 - 2 * bits) * differences).mean(axis=1))
    # Sums of the same numbers in another order differ in the last bits.
    p = float((means >= abs(differences.mean()) - 1e-12).mean())
    return PairedDifference(float(differences.mean()), low, high, p, count)
