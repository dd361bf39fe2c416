from __future__ import annotations

import numpy as np

from progressive_tf.reporting.figures.risk_coverage import risk_coverage_figure

CONFIDENCE, RIGHT = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, False])


def test_the_curve_is_described_with_where_the_stage_stands() -> None:
    source = risk_coverage_figure("r", "full", CONFIDENCE, RIGHT, 0.7)
    assert "answers 75% of the rows, 33.3% of these wrongly" in source
    assert "wrong at 25%: 0.0%, 50%: 0.0%, 75%: 33.3%, 100%: 50.0%" in source


def test_a_stage_that_answers_nothing_stands_nowhere() -> None:
    assert "which answers nothing" in risk_coverage_figure("r", "full", CONFIDENCE, RIGHT, 2.0)
    assert "which answers nothing" in risk_coverage_figure("r", "full", CONFIDENCE[:1], RIGHT[:1], 2.0)
