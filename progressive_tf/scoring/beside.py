"""Whether rows that were answered are still such as a version was released for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.monitoring.drift import DriftTest, judged_together
from progressive_tf.monitoring.origin import find_origin
from progressive_tf.monitoring.reference import WORDS, Rows, rows_of_stage
from progressive_tf.monitoring.snapshot import distinct_inputs, drift_tests
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.scoring.reading import TEXT

ALPHA = 0.01
NOBODY_JUDGED = np.zeros(0), np.zeros(0, bool)


@dataclass(frozen=True)
class Beside:
    """What was tested.

    Attributes:
        tests: those that had enough rows, judged together at a false discovery rate of 0.01.
        reference: what the rows were compared with, in words.
        rows: how many were compared.
    """

    tests: Sequence[DriftTest]
    reference: str
    rows: int


def drift_of(
    sample: Sequence[Mapping[str, Any]], model: ModelVersions | None, version: Version, runs: Path
) -> Beside | str:
    """Returns how a sample of rows differs from the gate rows of the version's stage, or why that is not known.

    Args:
        sample: `input`, `answer` and `confidence` of each row.
        model: of the version, where it stands in a registry.
        version: that answered.
        runs: the folder of all runs, by plan.
    """
    origin = None if model is None else find_origin(model, version, runs)
    if origin is None:
        return f"run {version.run} of version {version.number} is not in {runs}; name its folder with --runs"
    reference = rows_of_stage(origin.stage, version, TEXT, origin.slices)
    if reference is None:
        return f"stage {version.stage} of run {version.run} kept no predictions"
    # A row that stands on both sides would be found in the other, and taken for a difference.
    sample = [row for row in sample if _named(row["input"]) not in reference.inputs]
    confidence = np.array([np.nan if row["confidence"] is None else row["confidence"] for row in sample], float)
    answers = [_as_stated(row["answer"]) for row in sample]
    inputs = distinct_inputs([_named(row["input"]) for row in sample])
    rows = Rows("these rows", inputs, answers, confidence, NOBODY_JUDGED)
    tests = judged_together(drift_tests(reference, rows, 0, version.task), ALPHA)
    measured = [test for test in tests if test.value is not None]
    return Beside(measured, reference.name, len(sample)) if measured else "there are too few rows for a test"


def _named(value: Any) -> Mapping[str, Any]:
    """Returns an input by name, as a server keeps it."""
    if isinstance(value, Mapping):
        return value
    return {TEXT: value} if isinstance(value, str) else {WORDS: value}


def _as_stated(answer: Any) -> Any:
    """Returns an answer as a stage's record has it; of entities their kinds."""
    return [entity["kind"] for entity in answer] if isinstance(answer, list) else answer
