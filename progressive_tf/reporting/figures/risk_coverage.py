"""The risk–coverage curve."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from progressive_tf.evaluation.abstaining import risk_coverage
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw


def risk_coverage_figure(
    name: str, stage: str, confidence: np.ndarray, right: np.ndarray, abstain_below: float
) -> Markup:
    """Returns which share of the answers is wrong where only the surest are given, and where the stage stands.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        confidence: float [rows], the probability of each answer; at least one row.
        right: bool [rows], whether it is right.
        abstain_below: the probability below which the stage abstains.
    """
    curve = risk_coverage(confidence, right)
    answered = confidence >= abstain_below
    share = float(answered.mean())
    error = float((~right[answered]).mean()) if answered.any() else None
    stands = "answers nothing" if error is None else f"answers {share:.0%} of the rows, {error:.1%} of these wrongly"
    described = ", ".join(
        f"{at:.0%}: {float(np.interp(at, curve.coverage, curve.risk)):.1%}" for at in (0.25, 0.5, 0.75, 1.0)
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(curve.coverage, curve.risk, color=colour("blue"), linewidth=1.6, drawstyle="steps-post")
        if error is not None:
            axes.plot([share], [error], marker="o", markersize=8, color=colour("vermilion"))
        axes.set_title("Share of the answers given that is wrong")
        axes.set_xlabel("share of the test rows that is answered, the surest first")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, max(0.01, 1.1 * float(curve.risk.max())))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=None if axis is axes.yaxis else 0))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        clear_frame(axes, keep=("bottom",))

    return draw(name, f"Risk and coverage of stage {stage}, which {stands}; wrong at {described}", paint, height=2.8)
