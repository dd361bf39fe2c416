"""Whether it is time for the next stage: enough new labels, enough days, or a class that comes more often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta

from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.serving.answers import served_answers

# Rows that say how often a class usually comes, and the trailing window in which it may come more often.
BASELINE, WINDOW = 500, 200
# False alerts are this many rows apart on average, or more, over all classes together.
ROWS_BETWEEN_FALSE_ALERTS = 100_000
# The rises that are looked for: so much of the way from the usual share to 1.
SURE, HIGHEST = 0.99, 0.99
RISES = (0.4, 0.7)


@dataclass(frozen=True)
class Rise:
    """A class that comes more often than before.

    Args:
        label: the class.
        row: at which it was noticed, from 0.
        usual: its share of the first rows.
        now: its share of the trailing window.
    """

    label: str
    row: int
    usual: float
    now: float


@dataclass(frozen=True)
class Triggers:
    """What makes the next stage due, any of them.

    Args:
        labels: so many new ones, >= 1; None for not looking.
        days: so many since the version was released, > 0; None for not looking.
        rises: whether a class that comes more often does.
    """

    labels: int | None
    days: float | None
    rises: bool


@dataclass(frozen=True)
class ScheduleCheck:
    """Whether the next stage is due, as any of the triggers is met, and why or why not, a sentence for each of them."""

    is_due: bool
    reasons: tuple[str, ...]


def check_schedule(
    live: LiveRows, triggers: Triggers, now: float, since: str, kind: AnswerKind, version: int = 0
) -> ScheduleCheck:
    """Returns whether the next stage is due since a version was released.

    Args:
        live: what was answered.
        triggers: any of them suffices.
        now: seconds since 1970.
        since: when the stable version was released; ISO 8601.
        kind: of the answers; some have no classes that could come more often.
        version: its number. Answers and feedback since then are counted from where a server noted it among its rows;
            only where none has, by the clocks of both machines.
    """
    mark = live.mark(version)
    released = datetime.fromisoformat(since).astimezone(timezone.utc).timestamp()
    set_back = f"the clock says a time before the stable version was released ({since}); wait, or set it"
    if now < released and mark is None:
        return ScheduleCheck(False, (set_back,))
    checks: list[tuple[bool, str]] = []
    if triggers.labels is not None:
        is_new = live.answers["judged_at"] >= released if mark is None else live.answers["feedback"] > mark.feedback
        new = int((is_new & (live.answers["right"].notna() | live.answers["truth"].notna())).sum())
        checks.append((new >= triggers.labels, f"{new} of {triggers.labels} new labels"))
    if triggers.days is not None:
        passed = (now - released) / 86_400
        checks.append((passed >= triggers.days, f"{passed:.1f} of {triggers.days:g} days" if passed >= 0 else set_back))
    if triggers.rises:
        since_then = live.answers["time"] >= released if mark is None else live.answers["request"] > mark.request
        checks.append(_rise_in_words(_one_a_day(live.answers[since_then])["label"], kind))
    return ScheduleCheck(any(met for met, _ in checks), tuple(reason for _, reason in checks))


def _one_a_day(answers: pd.DataFrame) -> pd.DataFrame:
    """Returns the first answer of each caller on each day (UTC): what one asks in a row is alike, and no rise."""
    return answers[~pd.DataFrame({"caller": answers["caller"], "day": answers["time"] // 86_400}).duplicated()]


def first_rise(labels: Sequence[str]) -> Rise | None:
    """Returns the first rise of a class's share over a trailing window, or None.

    The first rows say how often each class usually comes, at most: the upper end of a 99 % interval (Clopper and
    Pearson 1934) is taken. From then on the Shiryaev–Roberts statistic adds up, over every row of the window at which a
    rise may have begun, the likelihood ratio of the rows since then; averaged over rises of two sizes. While nothing
    changes its mean is at most the number of rows looked at, so that the time to a false alert is on average at least
    the threshold (Shin, Ramdas and Rinaldo 2022, "E-detectors", https://arxiv.org/abs/2203.03532); the threshold is
    100,000 rows times the number of classes.

    Args:
        labels: in the order of time.
    """
    names = sorted(set(labels))
    if len(labels) <= BASELINE or len(names) < 2:
        return None
    codes = np.searchsorted(names, labels)
    rises = (_rise_of(codes == code, name, len(names)) for code, name in enumerate(names))
    return min((rise for rise in rises if rise is not None), key=lambda rise: rise.row, default=None)


def _rise_of(is_class: np.ndarray, name: str, classes: int) -> Rise | None:
    count = int(is_class[:BASELINE].sum())
    at_most = float(beta.ppf(SURE, count + 1, BASELINE - count)) if count < BASELINE else 1.0
    if at_most > HIGHEST:
        return None  # it can hardly come more often
    raised = [at_most + (1 - at_most) * rise for rise in RISES]
    # Of a row of the class and of another row, for each size of rise.
    ratios = [(share / at_most, (1 - share) / (1 - at_most)) for share in raised]
    later = is_class[BASELINE:]
    # Statistics of each possible beginning, the newest first.
    begun = np.zeros((len(RISES), WINDOW))
    for row, own in enumerate(later):
        begun[:, 1:] = begun[:, :-1]
        begun[:, 0] = 1.0
        begun *= np.array([[of_class if own else of_other] for of_class, of_other in ratios])
        if begun.sum() / len(RISES) >= ROWS_BETWEEN_FALSE_ALERTS * classes:
            window = later[max(0, row + 1 - WINDOW) : row + 1]
            return Rise(name, BASELINE + row, count / BASELINE, float(window.mean()))
    return None


def _rise_in_words(labels: Iterable[Any], kind: AnswerKind) -> tuple[bool, str]:
    served = served_answers(kind)
    if not served.has_categories:
        return False, f"answers are {kind.name}, of which no class rises"
    categories = [str(served.category(label)) for label in labels]
    if len(categories) <= BASELINE:
        return False, f"{len(categories)} answers since the stable version; whether a class rises takes {BASELINE + 1}"
    rise = first_rise(categories)
    if rise is None:
        return False, f"no class comes more often than in the first {BASELINE} answers"
    return True, (
        f"{rise.label} comes more often since about answer {rise.row + 1}: {rise.now:.0%} of the last {WINDOW}, "
        f"usually {rise.usual:.0%}"
    )
