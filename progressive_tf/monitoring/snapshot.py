"""One model at one moment: its live metrics, and whether what it gets and answers has drifted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from progressive_tf.monitoring.drift import (
    FEWEST,
    DriftTest,
    calibration_drift,
    category_drift,
    judged_together,
    number_drift,
)
from progressive_tf.monitoring.input_drift import input_drift, text_drift
from progressive_tf.monitoring.live_metrics import LiveMetrics, live_metrics
from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.monitoring.origin import Origin
from progressive_tf.monitoring.reference import Rows, rows_of_live, rows_of_stage
from progressive_tf.monitoring.unknown_labels import in_words, unknown_labels
from progressive_tf.monitoring.unknown_share import UnknownShare, unknown_share
from progressive_tf.plan.tasks import Task
from progressive_tf.registry import Version
from progressive_tf.serving.answers import served_answers

DAY = 86_400.0


@dataclass(frozen=True)
class Snapshot:
    """A model as it is.

    Args:
        model: its name.
        metrics: by week and slice.
        tests: of drift, judged together.
        reference: what the live rows were compared with, in words; None where there is nothing.
        live: which rows these are, in words.
        alpha: the false discovery rate.
        released: which version is stable, and by what it became so, in words; "" where nothing is stable.
        unknown_labels: what users say is right and no version knows, in words; "" where there is nothing.
        unknown: how many of the inputs of these days are like nothing the version has learnt; None where none says so.
    """

    model: str
    metrics: Sequence[LiveMetrics]
    tests: Sequence[DriftTest]
    reference: str | None
    live: str
    alpha: float
    released: str = ""
    unknown_labels: str = ""
    unknown: UnknownShare | None = None

    @property
    def drifted(self) -> list[DriftTest]:
        """The tests that found drift."""
        return [test for test in self.tests if test.is_drift]


@dataclass(frozen=True)
class Comparison:
    """Which live rows are tested, and how.

    Args:
        now: seconds since 1970.
        days: so many of the last ones, > 0.
        alpha: the false discovery rate, in (0, 1).
        seed: of samples and folds.
    """

    now: float
    days: float
    alpha: float
    seed: int


def take_snapshot(version: Version, live: LiveRows, reference: Rows | None, comparison: Comparison) -> Snapshot:
    """Returns what the rows of the last days say beside a reference.

    Args:
        version: the one in use. What its stage answered is compared with its own answers alone, and not with those of a
            canary or of what was stable before.
        live: everything that was kept.
        reference: what the version's stage answered; None for the live rows before these days, of any version.
        comparison: which days, and how they are tested.
    """
    since = comparison.now - comparison.days * DAY
    recent, earlier = live.between(since, float("inf")), live.between(0.0, since)
    window = rows_of_live(recent, f"the last {comparison.days:g} days", comparison.seed)
    asked = recent
    described = f"{len(recent.answers):,} answers of {window.name} to {_callers(recent)}"
    before = rows_of_live(earlier, f"{len(earlier.answers):,} live answers before these", comparison.seed)
    if reference is not None:
        asked = recent.by(version.number)
        window = replace(rows_of_live(asked, window.name, comparison.seed), inputs=window.inputs)
        if reference.inputs:
            window = replace(window, inputs=distinct_inputs(window.inputs))
        described += f", {len(asked.answers):,} of them by version {version.number}"
        if not reference.inputs:  # a run keeps no images and no cells
            reference = replace(reference, inputs=before.inputs)
    elif len(earlier.answers):
        reference = before
    task, tests, name = version.task, list[DriftTest](), None
    if reference is not None:
        tests = judged_together(drift_tests(reference, window, comparison.seed, task), comparison.alpha)
        name = reference.name
    metrics = live_metrics(live, served_answers(task.answers))
    return Snapshot(
        version.model,
        metrics,
        tests,
        name,
        described,
        comparison.alpha,
        unknown_labels=in_words(unknown_labels(live.answers)),
        unknown=unknown_share(asked, reference),
    )


def distinct_inputs(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns each input once, as gate rows have each text once: many callers write "thanks"."""
    return list({json.dumps(given, sort_keys=True): given for given in inputs}.values())


def _callers(live: LiveRows) -> str:
    """Returns how many there are, in words; where they are too few for a test, what may tell more of them apart."""
    callers = live.answers["caller"].nunique()
    few = f" (a test takes {FEWEST}; X-Caller-Key tells callers apart)" if callers < FEWEST <= len(live.answers) else ""
    return f"{callers:,} callers, of each of whom one is compared{few}"


def drift_tests(reference: Rows, live: Rows, seed: int, task: Task) -> list[DriftTest]:
    """Returns the tests of inputs, predictions and calibration."""
    stated = [side.confidence[np.isfinite(side.confidence)] for side in (reference, live)]
    test = ANSWER_TESTS.get(task.answers.name, _number_tests)
    flagged = [["unknown" if flag else "known" for flag in side.unknown] for side in (reference, live)]
    return [
        *input_drift(reference.inputs, live.inputs, task.inputs, seed),
        *([category_drift("inputs", "unknown to the version", *flagged)] if all(flagged) else []),
        *test(task, reference.answers, live.answers, seed),
        number_drift("predictions", "confidence", *stated),
        calibration_drift(reference.judged, live.judged),
    ]


AnswerTests = Callable[[Task, Sequence[Any], Sequence[Any], int], list[DriftTest]]


def _label_tests(task: Task, reference: Sequence[Any], live: Sequence[Any], seed: int) -> list[DriftTest]:
    category = served_answers(task.answers).category
    return [
        category_drift("predictions", "labels", *(list(map(str, map(category, side))) for side in (reference, live)))
    ]


def _written_tests(task: Task, reference: Sequence[Any], live: Sequence[Any], seed: int) -> list[DriftTest]:
    before, now = ([answer for answer in side if isinstance(answer, str)] for side in (reference, live))
    return text_drift("translation", before, now, seed, about="predictions")


def _number_tests(task: Task, reference: Sequence[Any], live: Sequence[Any], seed: int) -> list[DriftTest]:
    """Returns the test of a kind of answers that is not in the table: of those answers that are numbers."""
    before, now = ([answer for answer in side if isinstance(answer, int | float)] for side in (reference, live))
    return [number_drift("predictions", task.answers.name, np.array(before, float), np.array(now, float))]


ANSWER_TESTS: dict[str, AnswerTests] = {"classes": _label_tests, "tags": _label_tests, "texts": _written_tests}


def reference_of(origin: Origin, live: LiveRows) -> Rows | None:
    """Returns what the stage of a version answered to the gate rows it was released for; None where it kept nothing.

    Args:
        origin: of the version.
        live: what was asked, which says under which name texts come.
    """
    kept: dict[str, Any] = next((given for given in live.answers["input"] if given is not None), {})
    text_name = next((name for name, value in kept.items() if isinstance(value, str)), "text")
    return rows_of_stage(origin.stage, origin.version, text_name, origin.slices)
