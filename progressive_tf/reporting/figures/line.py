"""A metric over the stages of a run: of each candidate, of what was released before it, and of the best until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.reporting.figures.canvas import DECISION_COLOURS, clear_frame, colour, draw

STYLES = {"best": ("blue", "-"), "released": ("green", "--"), "candidate": ("ink", ":")}


def line_figure(
    name: str,
    metric: str,
    stages: Sequence[str],
    lines: Mapping[str, Sequence[float | None]],
    decisions: Sequence[str],
) -> Markup:
    """Returns three lines over the stages; a candidate's mark has the colour of its decision.

    Args:
        name: prefix of the figure's ids.
        metric: in words.
        stages: names, in order.
        lines: `candidate`, `released` and `best` → its value on the rows that decide on each stage, or None.
        decisions: promote, hold or reject, of each stage.
    """
    last = {key: values[-1] for key, values in lines.items() if values[-1] is not None}
    described = ", ".join(f"{key} {value:.3f}" for key, value in last.items())

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(stages))
        for key, values in lines.items():
            shade, style = STYLES[key]
            shown = np.array([np.nan if value is None else value for value in values])
            axes.plot(places, shown, style, color=colour(shade), linewidth=1.6, marker=".", label=key)
        for place, value, decision in zip(places, lines["candidate"], decisions, strict=True):
            shade = colour(DECISION_COLOURS[decision])
            axes.plot(
                [place],
                [np.nan if value is None else value],
                marker="o",
                color=shade,
                markersize=8,
                markeredgecolor=colour("paper"),
            )
        axes.set_xticks(list(places), labels=list(stages), rotation=0 if len(stages) < 8 else 90)
        axes.set_ylabel(metric)
        axes.grid(axis="y")
        clear_frame(axes, keep=("bottom",))
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.8)

    return draw(name, f"{metric} on the gate rows of each stage. At the last: {described}", paint, height=2.6)
