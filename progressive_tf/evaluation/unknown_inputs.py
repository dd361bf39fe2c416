"""How well a score tells inputs that no class fits from known ones, and what `metrics.json` says of such inputs.

The higher a score, the less an input is like what was learnt. Two measures of how far known and unknown rows are apart
do without a threshold: the area under the ROC curve, and the share of unknown rows that pass as known from where 95 %
of the known ones pass (the false-positive rate at 95 % true-positive rate, known rows being the positive ones, as in
Liang, Li & Srikant 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.evaluation.bootstrap import Resampled, bounds
from progressive_tf.evaluation.records import Measure

PASSING = 0.95
CONFIDENCE = 0.95
RESAMPLES = 1_000
BINS = 30
BEFORE_LAST = 0.995  # of all rows lie before the last edge of a histogram


@dataclass(frozen=True)
class Separation:
    """How far known and unknown rows are apart by one score.

    Attributes:
        auroc: chance that an unknown row has the higher score of the two, ties counted half, in [0, 1].
        passing: share of unknown rows that pass where 95 % of the known ones do.
    """

    auroc: Measure
    passing: Measure


@dataclass(frozen=True)
class OutOfScope:
    """What a stage says to rows that no class fits.

    Attributes:
        source: their source.
        flagged: share that counts as unknown.
        known: the part, test or gate, whose rows so far they are compared with.
        scores: by name, the stage's own score first.
    """

    source: str
    flagged: Measure
    known: str
    scores: dict[str, Separation]


@dataclass(frozen=True)
class Histogram:
    """How many rows have which score; what lies beyond the last edge counts to the last bin.

    Attributes:
        edges: ascending, one more than there are bins.
        known: of known rows, by bin.
        unknown: of rows that no class fits; empty without any.
    """

    edges: tuple[float, ...]
    known: tuple[int, ...]
    unknown: tuple[int, ...] = ()


@dataclass(frozen=True)
class UnknownFacts:
    """`unknown_inputs` of `metrics.json`.

    Attributes:
        score: by which inputs are told, as plans name it.
        threshold: above it an input counts as unknown.
        train: rows it was fitted to: of the stage and of those it builds on.
        validation: rows the threshold was read from, of the same stages.
        gate: share of the gate rows so far that counts as unknown.
        test: the same of test rows; None without any.
        histogram: of known test rows so far, or gate rows without any, and of rows that no class fits.
        out_of_scope: None where the plan names no such rows.
    """

    score: str
    threshold: float
    train: int
    validation: int
    gate: Measure
    histogram: Histogram
    test: Measure | None = None
    out_of_scope: OutOfScope | None = None


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Scores of rows.

    Attributes:
        values: float64 [rows], finite.
        groups: int64 [rows], equal for rows that are alike; None where each row is its own.
    """

    values: np.ndarray
    groups: np.ndarray | None = None


def quantile_above(values: np.ndarray, share: float) -> float:
    """Returns the least score that at most a share of further rows is expected to exceed.

    It is the ⌈(n + 1)(1 − share)⌉-th smallest of n (Vovk, Gammerman & Shafer 2005): a further row that is exchangeable
    with these exceeds it with a probability of at most the share. Of fewer than 1 / share − 1 rows it is the largest,
    and a further row exceeds that with a probability of 1 / (n + 1).

    Args:
        values: at least one score.
        share: in (0, 1).
    """
    ordered = np.sort(values)
    rank = int(np.ceil((len(ordered) + 1) * (1 - share) - 1e-9))
    return float(ordered[min(rank, len(ordered)) - 1])


def separation(known: ScoredRows, unknown: ScoredRows, seed: int) -> Separation:
    """Returns how far two sets of rows are apart, with the 95 % interval of a bootstrap.

    Groups are drawn where there are some, and either side has one pseudo-observation that is on the wrong side of all
    others, so that no draw is certain where none of the rows is (decisions 0004 and 0013).

    Args:
        known: at least one row.
        unknown: at least one row.
        seed: of the draws.
    """
    levels, codes = np.unique(np.concatenate([known.values, unknown.values]), return_inverse=True)
    places = codes[: len(known.values)] + 1, codes[len(known.values) :] + 1  # 0 and the last are pseudo-observations'
    last = len(levels) + 1

    def counted(side: int, pseudo: int, drawn: tuple[np.ndarray, float]) -> np.ndarray:
        weights, further = drawn
        found = np.bincount(places[side], weights, minlength=last + 1)
        found[pseudo] += further
        return found

    def measured(drawn: Sequence[tuple[np.ndarray, float]]) -> tuple[float, float]:
        return _measures(counted(0, last, drawn[0]), counted(1, 0, drawn[1]))

    values = measured([(np.ones(len(side.values)), 0.0) for side in (known, unknown)])
    generator, draws = np.random.default_rng(seed), (_draws_of(known), _draws_of(unknown))
    samples = np.array([measured([draw(generator) for draw in draws]) for _ in range(RESAMPLES)])
    rows = len(known.values) + len(unknown.values)
    auroc, passing = (
        Measure(value, *bounds(Resampled(value, drawn), (1 + CONFIDENCE) / 2), rows)
        for value, drawn in zip(values, samples.T, strict=True)
    )
    return Separation(auroc, passing)


def _draws_of(rows: ScoredRows) -> Callable[[np.random.Generator], tuple[np.ndarray, float]]:
    """Returns what draws groups: how often each row comes, float64 [rows], and so many rows of a pseudo-observation.

    That is a group as large as the mean, drawn as any other.
    """
    codes = np.arange(len(rows.values)) if rows.groups is None else np.unique(rows.groups, return_inverse=True)[1]
    units = int(codes.max()) + 1

    def drawn(generator: np.random.Generator) -> tuple[np.ndarray, float]:
        counts = np.bincount(generator.integers(units + 1, size=units + 1), minlength=units + 1)
        return counts[codes].astype(float), float(counts[units]) * len(codes) / units

    return drawn


def _measures(known: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    """Returns both measures, given how many rows have each level of the score, float64 [levels], ascending."""
    below = np.cumsum(known)
    auroc = float((unknown * (below - known / 2)).sum() / (below[-1] * unknown.sum()))
    passes = int(np.searchsorted(below, PASSING * below[-1] - 1e-9))
    return auroc, float(unknown[: passes + 1].sum() / unknown.sum())


def histogram(known: np.ndarray, unknown: np.ndarray) -> Histogram:
    """Returns how many of some scores fall into bins of equal width; of either side, float64 [rows]."""
    together = np.concatenate([known, unknown])
    low, high = float(together.min()), float(np.quantile(together, BEFORE_LAST))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    sides = (np.histogram(np.minimum(side, edges[-1]), edges)[0] for side in (known, unknown))
    counts = [tuple(side.tolist()) for side in sides]
    return Histogram(tuple(edges.tolist()), counts[0], counts[1] if len(unknown) else ())


def unknown_words(facts: UnknownFacts) -> str:
    """Returns in a line what a stage says of unknown inputs."""
    parts = {"gate": facts.gate, "test": facts.test}
    shares = " and ".join(f"{_percent(share)} of {part} rows" for part, share in parts.items() if share is not None)
    words = f"unknown inputs: {facts.score} above {facts.threshold:.4g}, {shares}"
    beyond = facts.out_of_scope
    if beyond is None:
        return words
    own, *others = beyond.scores.items()
    beside = "".join(f", {name} {_number(apart.auroc)}" for name, apart in others)
    auroc = own[1].auroc
    bounds_words = "" if auroc.low is None or auroc.high is None else f" [{auroc.low:.3f}–{auroc.high:.3f}]"
    return (
        f"{words}; {_percent(beyond.flagged)} of {beyond.flagged.n or 0:,} rows of {beyond.source}; "
        f"AUROC {_number(auroc)}{bounds_words}{beside}"
    )


def _percent(share: Measure) -> str:
    return "–" if share.value is None else f"{100 * share.value:.1f} %"


def _number(measure: Measure) -> str:
    return "–" if measure.value is None else f"{measure.value:.3f}"
