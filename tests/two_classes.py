"""Answers about rows of two classes, of which some are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from progressive_tf.evaluation.answers.classes import ClassAnswers


def model(right: Any, rows: int, confidence: float = 0.9) -> ClassAnswers:
    """Answers `rows` rows of two classes; `right`: how many of the first are right, or which."""
    truth = np.arange(rows) % 2
    chosen = np.arange(rows) < right if isinstance(right, int) else np.asarray(right)
    predicted = np.where(chosen, truth, 1 - truth)
    probabilities = np.where(np.eye(2)[predicted] > 0, confidence, 1 - confidence)
    return ClassAnswers(("no", "yes"), truth, probabilities)
