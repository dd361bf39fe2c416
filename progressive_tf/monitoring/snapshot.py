"""A look at one model: its live metrics, and whether what it gets and says has drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.errors import InputError
from progressive_tf.monitoring.drift import DriftTest, calibration_drift, category_drift, judged_together, number_drift
from progressive_tf.monitoring.input_drift import input_drift, text_drift
from progressive_tf.monitoring.live_metrics import LiveMetrics, live_metrics
from progressive_tf.monitoring.live_rows import LiveRows, in_a_word
from progressive_tf.monitoring.origin import Origin
from progressive_tf.monitoring.reference import Rows, rows_of_live, rows_of_stage
from progressive_tf.plan.tasks import Task

DAY = 86_400.0


@dataclass(frozen=True)
class Look:
    """What was found.

    Args:
        model: its name.
        metrics: by week and slice.
        tests: of drift, judged together.
        reference: what the live rows were compared with, in words; None where there is nothing.
        live: which rows these are, in words.
        alpha: the false discovery rate.
    """

    model: str
    metrics: Sequence[LiveMetrics]
    tests: Sequence[DriftTest]
    reference: str | None
    live: str
    alpha: float

    @property
    def drifted(self) -> list[DriftTest]:
        """The tests that found drift."""
        return [test for test in self.tests if test.is_drift]


def look_at(
    model: str,
    live: LiveRows,
    reference: Rows | None,
    now: float,
    days: float,
    alpha: float,
    seed: int,
    task: Task,
    version: int | None = None,
) -> Look:
    """Returns what the rows of the last days say beside a reference.

    Args:
        model: its name.
        live: everything that was kept.
        reference: what to compare with; None for the live rows before these days.
        now: seconds since 1970.
        days: so many, > 0.
        alpha: the false discovery rate, in (0, 1).
        seed: of samples and folds.
        task: what the model answers.
        version: whose stage the reference is; what is said is compared with this version's own answers, and not with
            those of a canary or of what was stable before. None where the reference is live rows.
    """
    since = now - days * DAY
    recent = live.between(since, float("inf"))
    window = rows_of_live(recent, f"the last {days:g} days")
    described = f"{len(window.said):,} answers of {window.name}"
    if reference is not None and version is not None:
        window = replace(rows_of_live(recent.by(version), window.name), inputs=window.inputs)
        described += f", {len(window.said):,} of them by version {version}"
    earlier = live.between(0.0, since)
    before = rows_of_live(earlier, f"{len(earlier.answers):,} live answers before these")
    if reference is None and len(earlier.answers):
        reference = before
    elif reference is not None and not reference.inputs:  # a run keeps no images and no cells
        reference = replace(reference, inputs=before.inputs)
    tests = [] if reference is None else judged_together(drift_tests(reference, window, seed, task), alpha)
    name = None if reference is None else reference.name
    return Look(model, live_metrics(live, task.writes), tests, name, described, alpha)


def drift_tests(reference: Rows, live: Rows, seed: int, task: Task) -> list[DriftTest]:
    """Returns the tests of inputs, predictions and calibration; texts that were written are tested as such."""
    stated = [each.confidence[np.isfinite(each.confidence)] for each in (reference, live)]
    if task.writes:
        before, now = ([each for each in rows.said if isinstance(each, str)] for rows in (reference, live))
        said = text_drift("translation", before, now, seed, about="predictions")
    else:
        words = ([in_a_word(each) for each in rows.said] for rows in (reference, live))
        said = [category_drift("predictions", "labels", *words)]
    return [
        *input_drift(reference.inputs, live.inputs, task.inputs, seed),
        *said,
        number_drift("predictions", "confidence", *stated),
        calibration_drift(reference.judged, live.judged),
    ]


def reference_of(origin: Origin, live: LiveRows) -> Rows | None:
    """Returns what the stage of a version said about the gate rows it was released for; None where it kept nothing.

    Args:
        origin: of the version.
        live: what was asked, which says under which name texts come.
    """
    kept: dict[str, Any] = next((each for each in live.answers["input"] if each is not None), {})
    text_name = next((name for name, value in kept.items() if isinstance(value, str)), "text")
    of = f"stage {origin.version.stage}, version {origin.version.number}"
    return rows_of_stage(origin.stage, of, origin.version.task.inputs, text_name, origin.slices)


def refuse_no_answers(live: LiveRows, path: Path) -> None:
    """Refuses a store without an answer.

    Raises:
        InputError: there is none.
    """
    if not len(live.requests):
        raise InputError(f"{path}: no request has been kept yet; serve the model first")
