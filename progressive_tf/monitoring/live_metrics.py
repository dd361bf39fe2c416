"""Live metrics by week and slice: how much was asked, how fast, how often it failed, and how often it was right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from progressive_tf.monitoring.live_rows import LiveRows, confidence
from progressive_tf.serving.answers.base import ServedAnswers

ALL = "all"
# Slices by what was said, at most so many, the most frequent ones.
MOST_LABELS = 10


@dataclass(frozen=True)
class LiveMetrics:
    """One slice in one week.

    Args:
        week: its Monday, UTC, ISO 8601.
        slice: all, `version N`, or `says LABEL`.
        requests: in it; None for slices of answers.
        failed: share of the requests with a status from 500 on; None likewise, or without any.
        p95_seconds: 95th percentile of what answered requests took; None likewise.
        answers: instances that were answered.
        cut: share of these of whose text a part was not read; None where no version says so.
        confidence: mean probability of what was said; None without probabilities.
        judged: answers that users have called right or wrong.
        accuracy: share of these that are right; None without any.
        low: lower end of its 95 % interval, see `interval_of_accuracy`.
        high: upper end.
        abstained: share of the answers that their version abstained from; None where none of them may abstain.
        unknown: share of the answers whose input was like nothing the version had learnt; None where none says so.
        unknown_low: lower end of its 95 % interval, likewise.
        unknown_high: upper end.
    """

    week: str
    slice: str
    requests: int | None
    failed: float | None
    p95_seconds: float | None
    answers: int
    cut: float | None
    confidence: float | None
    judged: int
    accuracy: float | None
    low: float | None
    high: float | None
    abstained: float | None = None
    unknown: float | None = None
    unknown_low: float | None = None
    unknown_high: float | None = None


def live_metrics(rows: LiveRows, kind: ServedAnswers) -> list[LiveMetrics]:
    """Returns the metrics of every week with a request, the newest week first, and in it all before its slices.

    Args:
        rows: what was asked and answered.
        kind: of the answers; what it counts them as makes slices.
    """
    counted = rows.answers["label"].map(kind.category)
    common = list(counted.value_counts().index[:MOST_LABELS])
    weeks = [_mondays(frame["time"]) for frame in (rows.requests, rows.answers)]
    return [
        _metrics(week, name, requests, answers)
        for week in sorted(set(weeks[0]), reverse=True)
        for name, requests, answers in _slices(
            rows.requests[weeks[0] == week], rows.answers[weeks[1] == week], counted, common
        )
    ]


def _slices(
    requests: pd.DataFrame, answers: pd.DataFrame, counted: pd.Series, labels: list[str]
) -> Iterator[tuple[str, pd.DataFrame | None, pd.DataFrame]]:
    yield ALL, requests, answers
    for version in sorted(set(requests["version"])):
        yield f"version {version}", requests[requests["version"] == version], answers[answers["version"] == version]
    for label in labels:
        yield f"says {label}", None, answers[counted[answers.index] == label]


def _metrics(week: str, name: str, requests: pd.DataFrame | None, answers: pd.DataFrame) -> LiveMetrics:
    failed = p95 = accuracy = low = high = unknown = unknown_low = unknown_high = None
    if requests is not None and len(requests):
        failed = float((requests["status"] >= 500).mean())
        seconds = requests.loc[requests["status"] == 200, "seconds"]
        p95 = float(seconds.quantile(0.95)) if len(seconds) else None
    judged = answers[answers["right"].notna()]
    right = judged["right"].to_numpy().astype(bool)
    if len(right):
        accuracy, (low, high) = float(right.mean()), interval_of_accuracy(right, judged["caller"].to_numpy())
    marked = answers[answers["is_unknown"].notna()]
    if len(marked):
        flags = marked["is_unknown"].to_numpy() > 0
        unknown, (unknown_low, unknown_high) = (
            float(flags.mean()),
            interval_of_accuracy(flags, marked["caller"].to_numpy()),
        )
    cut, abstained = answers["was_cut"].dropna(), answers["abstained"].dropna()
    stated = confidence(answers)
    stated = stated[np.isfinite(stated)]
    return LiveMetrics(
        week,
        name,
        None if requests is None else len(requests),
        failed,
        p95,
        len(answers),
        float(cut.mean()) if len(cut) else None,
        float(stated.mean()) if len(stated) else None,
        len(right),
        accuracy,
        low,
        high,
        float(abstained.mean()) if len(abstained) else None,
        unknown,
        unknown_low,
        unknown_high,
    )


def interval_of_accuracy(right: np.ndarray, callers: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % interval of a share, such as that of right answers, bool [rows], of which some come from the
    same caller.

    Wilson's interval (1927) of as many independent rows as these are worth: their number over the design effect (Kish
    1965), the variance between callers over that of independent rows, or as many as there are callers where all rows
    are right or all wrong. Compare Dean and Pagano 2015, "Evaluating confidence interval methods for binomial
    proportions in clustered surveys".
    """
    rows, share = len(right), float(right.mean())
    _, codes = np.unique(callers, return_inverse=True)
    count = int(codes.max()) + 1
    worth = float(count)
    if count > 1 and 0 < share < 1:
        apart = np.bincount(codes, right - share)
        variance = count / (count - 1) * float((apart**2).sum()) / rows**2
        worth = min(float(rows), share * (1 - share) / variance) if variance else float(rows)
    z = float(norm.ppf(0.975))
    middle = (share + z**2 / (2 * worth)) / (1 + z**2 / worth)
    half = z / (1 + z**2 / worth) * math.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2))
    # The ends are 0 and 1 where all are wrong or right, but for rounding; no interval leaves its share out.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def _mondays(times: pd.Series) -> pd.Series:
    moments = pd.to_datetime(times, unit="s", utc=True)
    return (moments.dt.normalize() - pd.to_timedelta(moments.dt.day_of_week, unit="D")).dt.strftime("%Y-%m-%d")
