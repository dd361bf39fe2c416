"""The reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from progressive_tf.evaluation.calibration import ReliabilityBin
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw


def reliability_diagram(name: str, stage: str, bins: Sequence[ReliabilityBin], ece: float | None) -> Markup:
    """Returns accuracy against confidence by bin, and how many rows fall into each.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        bins: in order of confidence; empty ones are left out.
        ece: the expected calibration error as recorded, or None.
    """
    error = "" if ece is None else f"; expected calibration error {ece:.3f}"
    points = [
        (one, one.confidence, one.accuracy) for one in bins if one.confidence is not None and one.accuracy is not None
    ]
    described = ", ".join(
        f"{confidence:.2f} confident and {accuracy:.2f} right ({one.count})" for one, confidence, accuracy in points
    )

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        start = min([0.5, *(one.lower for one, _, _ in points)])
        upper.plot([start, 1], [start, 1], color=colour("muted"), linestyle=":", linewidth=1.4, label="calibrated")
        for one, confidence, accuracy in points:
            gap = [confidence, accuracy]
            upper.plot([confidence] * 2, gap, color=colour("vermilion"), linewidth=4, alpha=0.4)
            lower.bar(
                one.lower,
                one.count,
                width=one.upper - one.lower,
                align="edge",
                color=colour("blue"),
                alpha=0.55,
                edgecolor=colour("paper"),
            )
        upper.plot(
            [confidence for _, confidence, _ in points],
            [accuracy for _, _, accuracy in points],
            color=colour("blue"),
            marker="o",
            markersize=6,
            linewidth=1.6,
            label="measured",
        )
        upper.set_ylim(-0.03, 1.03)
        upper.set_xlim(start - 0.02, 1.02)
        upper.set_title("Share that was right")
        upper.legend(loc="lower right")
        lower.set_title("Test rows")
        lower.set_xlabel("confidence in the predicted label")
        lower.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
        for axes in (upper, lower):
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            clear_frame(axes, keep=("bottom",))

    return draw(name, f"Reliability of stage {stage}{error}: {described}", paint, height=3.8)
