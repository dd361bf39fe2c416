from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pytest

from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.monitoring.schedule_check import BASELINE, ScheduleCheck, Triggers, check_schedule, first_rise
from progressive_tf.plan.metric_names import CLASSES, TEXTS, AnswerKind
from progressive_tf.serving.store_schema import ReleaseMark

RELEASED = "2026-01-01T00:00:00+00:00"
BEGAN = datetime.fromisoformat(RELEASED).astimezone(timezone.utc).timestamp()
DAY = 86_400.0


def rows(
    labels: list[str], judged_at: float = float("nan"), right: bool | None = None, truth: str | None = None
) -> LiveRows:
    count = len(labels)
    answers = pd.DataFrame({"time": BEGAN + np.arange(count), "label": labels, "judged_at": [judged_at] * count})
    answers["caller"] = np.arange(count)
    answers["right"] = pd.Series([right] * count, dtype=object)
    answers["truth"] = pd.Series([truth] * count, dtype=object)
    return LiveRows(answers[["time"]], answers)


def check(
    live: LiveRows,
    now: float,
    triggers: tuple[int | None, float | None, bool],
    kind: AnswerKind = CLASSES,
    version: int = 0,
) -> ScheduleCheck:
    return check_schedule(live, Triggers(*triggers), now, RELEASED, kind, version)


def replayed(count: int, share: float, seed: int) -> list[str]:
    draws = np.random.default_rng(seed).random(count)
    return ["negative" if draw < share else "positive" for draw in draws]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_burst_is_noticed_within_200_rows(share: float, seed: int) -> None:
    usual = replayed(3000, share, seed)
    rise = first_rise(usual + replayed(200, share + 0.4, seed + 100))
    assert rise is not None
    assert rise.label == "negative"
    assert 3000 <= rise.row < 3200
    assert rise.now > rise.usual


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_stationary_rows_give_at_most_one_alert_in_ten_thousand(share: float) -> None:
    alerts = sum(first_rise(replayed(10_000 + BASELINE, share, seed)) is not None for seed in range(8))
    assert alerts <= 1


def test_too_few_rows_and_one_class_say_nothing() -> None:
    assert first_rise(["negative"] * BASELINE) is None
    assert first_rise(["positive"] * (BASELINE + 300)) is None
    due = check(rows(["a", "b"]), BEGAN + DAY, (2, 3.0, True))
    assert due.is_due is False
    assert due.reasons == (
        "0 of 2 new labels",
        "1.0 of 3 days",
        f"2 answers since the stable version; whether a class rises takes {BASELINE + 1}",
    )


def test_no_class_rises_where_answers_are_texts() -> None:
    texts = rows([f"text {number}" for number in range(BASELINE + 200)])
    found = check(texts, BEGAN + DAY, (None, None, True), kind=TEXTS)
    assert (found.is_due, found.reasons) == (False, ("answers are texts, of which no class rises",))


def test_each_trigger_alone_is_enough() -> None:
    judged = rows(["a", "b"], judged_at=BEGAN + 5, right=True)
    assert check(judged, BEGAN + DAY, (2, None, False)).is_due
    assert not check(judged, BEGAN + DAY, (3, None, False)).is_due
    assert check(judged, BEGAN + 3 * DAY, (None, 3.0, False)).is_due
    burst = rows(replayed(1000, 0.3, 0) + ["negative"] * 100)
    found = check(burst, BEGAN + DAY, (10, None, True))
    assert found.is_due
    assert found.reasons[1].startswith("negative comes more often since about answer 10")


def test_what_one_caller_asks_on_a_day_counts_once() -> None:
    """A front end that asks sixty alike questions in a row is no rise."""
    burst = rows(replayed(1000, 0.3, 0) + ["negative"] * 100)
    alike = replace(burst, answers=burst.answers.assign(caller=[*range(1000), *[1000] * 100]))
    found = check(alike, BEGAN + DAY, (None, None, True))
    assert not found.is_due
    days = alike.answers.assign(time=[BEGAN] * 1000 + [BEGAN + DAY * day for day in range(100)])
    assert check(replace(alike, answers=days), BEGAN + 100 * DAY, (None, None, True)).is_due


def test_labels_from_before_the_newest_version_are_not_new() -> None:
    assert not check(rows(["a"], judged_at=BEGAN - 1, right=True), BEGAN + DAY, (1, None, False)).is_due


def test_a_clock_that_was_set_back_waits_and_says_so() -> None:
    found = check(rows(["a"]), BEGAN - 60, (1, 0.001, True))
    assert not found.is_due
    assert found.reasons[0].startswith("the clock says a time before the stable version was released (2026-01-01")


def test_a_label_that_no_version_knows_is_a_new_one_too() -> None:
    assert check(rows(["a", "b"], judged_at=BEGAN, truth="odd"), BEGAN, (2, None, False)).reasons == (
        "2 of 2 new labels",
    )


def test_where_a_server_has_noted_the_release_its_rows_count_and_no_clock_does() -> None:
    judged = rows(["a"] * 6, judged_at=BEGAN - 3600, right=True)  # the server's clock is an hour late
    judged.answers["request"] = judged.answers["feedback"] = range(1, 7)
    noted = replace(judged, releases={3: ReleaseMark(4, 4)})
    since = check(noted, BEGAN - 60, (2, 1.0, True), version=3)
    assert since.is_due
    assert since.reasons[0] == "2 of 2 new labels"
    assert since.reasons[1].startswith("the clock says a time before")
    assert since.reasons[2].startswith("2 answers since the stable version")
    # No server has run since version 4 was released.
    until = check(noted, BEGAN, (2, None, False), version=4)
    assert until.reasons == ("0 of 2 new labels",)
