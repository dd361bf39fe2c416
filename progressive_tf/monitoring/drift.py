"""Whether rows still come from where they came from: a test for each column, and the false discovery rate of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, chi2_contingency, false_discovery_control, ks_2samp, mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FEWEST = 30
# Rows that are expected of a category on the smaller side, from which on χ² holds.
FEWEST_EXPECTED = 5
CALIBRATION_BINS = 5


@dataclass(frozen=True)
class DriftTest:
    """What one test says.

    Args:
        about: inputs, predictions or calibration.
        name: of what was compared.
        statistic: name of the measure in `value`.
        value: how far apart the two are; None where there are too few rows.
        p_value: of no difference, in [0, 1]; None likewise.
        rows: of the reference and of the live data.
        adjusted: the p-value after Benjamini and Hochberg, over all tests of a page.
        is_drift: whether that is below alpha.
        note: further measures, or why there is no value.
    """

    about: str
    name: str
    statistic: str
    value: float | None
    p_value: float | None
    rows: tuple[int, int]
    adjusted: float | None = None
    is_drift: bool = False
    note: str = ""


def population_stability_index(reference: np.ndarray, live: np.ndarray) -> float:
    """Returns Σ (q − p) ln(q / p) over categories, given counts [categories], with half a row more in each so that none
    is empty, less what chance alone makes of it; 0 where that is more.

    Source: Yurdakul, "Statistical properties of population stability index", 2018, where without drift its mean is
    (categories − 1) (1/n + 1/m) for n and m rows. Below 0.1 is often called stable, above 0.25 a shift.
    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, live))
    by_chance = (len(p) - 1) * (1 / reference.sum() + 1 / live.sum())
    return max(0.0, float(((q - p) * np.log(q / p)).sum() - by_chance))


def category_drift(about: str, name: str, reference: Sequence[str], live: Sequence[str]) -> DriftTest:
    """Returns Pearson's χ² test of two lists of categories; the value is PSI, Jensen–Shannon's distance is beside.

    Categories of which fewer than five rows would be expected on either side are counted as one, as χ² holds only from
    there on (Cochran 1954).
    """
    rows = len(reference), len(live)
    if min(rows) < FEWEST:
        return _too_few(about, name, "PSI", rows)
    names, codes = np.unique([*reference, *live], return_inverse=True)
    all_counts = np.stack([np.bincount(part, minlength=len(names)) for part in np.split(codes, [rows[0]])])
    counts, merged = _without_rare(all_counts)
    p_value = float(chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0
    distance = float(jensenshannon(*counts, base=2))
    psi = population_stability_index(*counts)
    note = f"Jensen–Shannon distance {distance:.3f}, χ²"
    note += f", {merged} rare ones counted as one" if merged else ""
    return DriftTest(about, name, "PSI", psi, p_value, rows, note=note)


def _without_rare(counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns counts [sides, categories] with the rarest categories added up, and how many these are."""
    totals, sides = counts.sum(axis=0), counts.sum(axis=1)
    expected = totals * sides.min() / sides.sum()
    order = np.argsort(expected, kind="stable")
    rare = int((expected < FEWEST_EXPECTED).sum())
    # Together they may still be too few: the next rarest joins them.
    while 0 < rare < len(order) and expected[order[:rare]].sum() < FEWEST_EXPECTED:
        rare += 1
    if rare < 2:
        return counts, 0
    together = counts[:, order[:rare]].sum(axis=1, keepdims=True)
    return np.hstack([counts[:, np.sort(order[rare:])], together]), rare


def number_drift(about: str, name: str, reference: np.ndarray, live: np.ndarray) -> DriftTest:
    """Returns Kolmogorov and Smirnov's test of two samples of numbers; the value is the largest difference of the two
    distribution functions, in [0, 1].
    """
    reference, live = (np.asarray(side, np.float64)[np.isfinite(side)] for side in (reference, live))
    rows = len(reference), len(live)
    if min(rows) < FEWEST:
        return _too_few(about, name, "KS", rows)
    test = ks_2samp(reference, live)
    medians = f"median {np.median(reference):.3g} → {np.median(live):.3g}"
    return DriftTest(about, name, "KS", float(test.statistic), float(test.pvalue), rows, note=medians)


def classifier_drift(name: str, reference: np.ndarray, live: np.ndarray, seed: int) -> DriftTest:
    """Returns how well a classifier tells live embeddings from the reference's, float [rows, width]: 0.5 is not at all,
    1 always.

    A logistic regression is fitted to one half of the rows, drawn by the seed, and scores the other; p is that of Mann
    and Whitney's test of these scores, one-sided (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests").
    Scores of several folds would not be independent: their classifiers share rows, and p would be too small.
    """
    rows = len(reference), len(live)
    if min(rows) < FEWEST:
        return _too_few("inputs", name, "AUC", rows)
    is_live = np.repeat([0, 1], rows)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    fitted, scored = train_test_split(np.arange(sum(rows)), test_size=0.5, stratify=is_live, random_state=seed)
    embedded = np.concatenate([reference, live])
    scores = classifier.fit(embedded[fitted], is_live[fitted]).decision_function(embedded[scored])
    sides = [scores[is_live[scored] == side] for side in (1, 0)]
    test = mannwhitneyu(*sides, alternative="greater")
    auc = float(test.statistic) / (len(sides[0]) * len(sides[1]))
    return DriftTest("inputs", name, "AUC", auc, float(test.pvalue), rows, note="on the half it was not fitted to")


def calibration_drift(reference: tuple[np.ndarray, np.ndarray], live: tuple[np.ndarray, np.ndarray]) -> DriftTest:
    """Returns whether answers of like confidence are still right as often.

    Confidences are cut at quintiles of both together; within each bin the shares of right answers are compared, and the
    squares of their standardised differences, which are normal, add up to χ² with as many degrees of freedom as bins.
    The value is the mean difference of the shares, weighted by the live rows. Live answers are those that users chose
    to judge: what is found holds for all if that does not depend on whether they are right. A side is its confidence,
    float [rows] in [0, 1], and whether each answer was right, bool [rows].
    """
    rows = len(reference[0]), len(live[0])
    if min(rows) < FEWEST:
        return _too_few("calibration", "right at the same confidence", "difference", rows)
    cuts = np.quantile(np.concatenate([reference[0], live[0]]), np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bin_numbers = [np.searchsorted(np.unique(cuts), side[0], side="right") for side in (reference, live)]
    total = difference = 0.0
    bins = compared = 0
    for place in range(CALIBRATION_BINS):
        parts = [side[1][where == place] for side, where in zip((reference, live), bin_numbers, strict=True)]
        if min(map(len, parts)) < 5:
            continue
        pooled = (sum(part.sum() for part in parts) + 1) / (sum(map(len, parts)) + 2)
        apart = float(parts[1].mean() - parts[0].mean())
        total += apart**2 / (pooled * (1 - pooled) * sum(1 / len(part) for part in parts))
        difference += apart * len(parts[1])
        compared += len(parts[1])
        bins += 1
    if not bins:
        return replace(_too_few("calibration", "right at the same confidence", "difference", rows), note="no overlap")
    return DriftTest(
        "calibration",
        "right at the same confidence",
        "difference",
        difference / compared,
        float(chi2.sf(total, bins)),
        rows,
        note=f"{bins} bins of confidence, of answers that users chose to judge",
    )


def judged_together(tests: Sequence[DriftTest], alpha: float) -> list[DriftTest]:
    """Returns the tests with p-values adjusted so that at most a share alpha of those called drift is none, on average.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    indices = [index for index, test in enumerate(tests) if test.p_value is not None]
    judged = list(tests)
    if indices:
        adjusted = false_discovery_control([tests[index].p_value for index in indices])
        for index, value in zip(indices, adjusted, strict=True):
            judged[index] = replace(tests[index], adjusted=float(value), is_drift=bool(value < alpha))
    return judged


def _too_few(about: str, name: str, statistic: str, rows: tuple[int, int]) -> DriftTest:
    note = f"{rows[0]} and {rows[1]} rows; {FEWEST} of each are needed"
    return DriftTest(about, name, statistic, None, None, rows, note=note)
