from __future__ import annotations

from progressive_tf.evaluation.calibration import ReliabilityBin
from progressive_tf.reporting.figures.calibration import reliability_diagram

EMPTY = ReliabilityBin(0.0, 0.5, 0, None, None)


def test_bins_are_described_and_empty_ones_left_out() -> None:
    source = reliability_diagram("r", "full", [EMPTY, ReliabilityBin(0.5, 1.0, 8, 0.75, 0.625)], ece=0.125)
    assert "expected calibration error 0.125: 0.75 confident and 0.62 right (8)" in source


def test_no_rows_and_no_error_are_drawn_too() -> None:
    assert "calibrated" in reliability_diagram("r", "full", [EMPTY], ece=None)
