"""Where a plan lies between training without retention and training on everything at once."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.evaluation.records import Bounds
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw

MARKS = {"naive": ("|", "muted"), "plan": ("o", "blue"), "joint": ("|", "muted")}
NAMES = {"naive": "naive", "plan": "this plan", "joint": "joint"}
HEIGHTS = {"naive": -0.6, "plan": 0.6, "joint": -0.6}


def bounds_figure(name: str, bounds: Bounds, decimals: int = 3) -> Markup | None:
    """Returns a line with a mark for the ACC of naive, plan and joint; None where one has none.

    Args:
        name: prefix of the figure's ids.
        bounds: as recorded.
        decimals: of the numbers.
    """
    values = {key: acc for key in MARKS if (acc := getattr(bounds, key).acc) is not None}
    if len(values) < len(MARKS):
        return None
    described = "; ".join(f"{NAMES[key]} {values[key]:.{decimals}f}" for key in MARKS)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([values["naive"], values["joint"]], [0, 0], color=colour("line"), linewidth=2, zorder=1)
        for key, (marker, shade) in MARKS.items():
            axes.plot(values[key], 0, marker=marker, color=colour(shade), markersize=11, markeredgewidth=2, zorder=2)
            axes.annotate(
                f"{NAMES[key]}\n{values[key]:.{decimals}f}",
                (values[key], HEIGHTS[key]),
                ha="center",
                va="center",
                fontsize=10,
            )
        axes.set_ylim(-1.1, 1.1)
        axes.set_yticks([])
        axes.margins(x=0.2)
        axes.set_xlabel("ACC on gate rows")
        clear_frame(axes, keep=("bottom",))

    return draw(name, f"ACC on gate rows: {described}", paint, 1.8)
