from __future__ import annotations

import numpy as np
import pytest

from progressive_tf.evaluation.calibration import BINS, bin_of, reliability
from progressive_tf.evaluation.metrics import measure
from progressive_tf.evaluation.predictions import Predictions


def test_bins_are_closed_above() -> None:
    assert bin_of(np.array([0.0, 0.01, 0.2, 0.2001, 0.999, 1.0])).tolist() == [0, 0, 2, 3, 14, 14]


def test_bins_by_hand_and_their_gap_is_the_calibration_error() -> None:
    confidence = np.array([0.95, 0.97, 0.61, 0.65, 0.64])
    predictions = Predictions(("a", "b"), np.array([0, 1, 0, 0, 1]), np.column_stack([confidence, 1 - confidence]))
    bins = reliability(predictions.confidence, predictions.right)
    filled = {index: bar for index, bar in enumerate(bins) if bar.count}
    assert sorted(filled) == [9, 14]
    assert (filled[14].count, filled[14].accuracy) == (2, 0.5)
    assert filled[14].confidence == pytest.approx(0.96)
    assert (filled[9].count, filled[9].accuracy) == (3, pytest.approx(2 / 3))
    assert (filled[9].lower, filled[9].upper) == (pytest.approx(0.6), pytest.approx(2 / 3))
    assert bins[0].confidence is None
    assert bins[0].accuracy is None
    gap = (2 * abs(0.96 - 0.5) + 3 * abs(1.9 / 3 - 2 / 3)) / 5
    assert measure(predictions, "ece") == pytest.approx(gap)


def test_an_empty_slice_has_empty_bins() -> None:
    bins = reliability(np.zeros(0), np.zeros(0, bool))
    assert len(bins) == BINS
    assert all(bar.count == 0 for bar in bins)
