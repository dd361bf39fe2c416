"""How each class fared from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw, shorten, shorten_all

MOST_CLASSES = 12
SHADES = ("blue", "vermilion", "green", "orange", "ink", "muted")
STYLES = ("-", "--")


def class_curves(name: str, stages: Sequence[str], scores: Mapping[str, Sequence[float | None]]) -> Markup:
    """Returns a line for each class, or for the twelve that end lowest where there are more.

    Args:
        name: prefix of the figure's ids.
        stages: the stages' names, in order.
        scores: class → its F1 after each stage; None where it has none.
    """
    ended = {
        label: next((score for score in reversed(values) if score is not None), 0.0) for label, values in scores.items()
    }
    shown = sorted(scores, key=lambda label: ended[label])[:MOST_CLASSES]
    shown.sort(key=lambda label: -ended[label])
    described = "; ".join(
        f"{label}: {', '.join('none' if score is None else f'{score:.3f}' for score in scores[label])}"
        for label in shown
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        positions = range(len(stages))
        for index, (label, short) in enumerate(zip(shown, shorten_all(shown), strict=True)):
            shade, style = SHADES[index % len(SHADES)], STYLES[index // len(SHADES) % len(STYLES)]
            values = [float("nan") if score is None else score for score in scores[label]]
            axes.plot(
                positions,
                values,
                style,
                color=colour(shade),
                marker="o",
                markersize=4,
                linewidth=1.4,
                label=short,
            )
        axes.set_xticks(positions, [shorten(stage, 12) for stage in stages])
        axes.set_xlim(-0.3, len(stages) - 0.7)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("F1")
        axes.grid(axis="y")
        clear_frame(axes, keep=("bottom",))
        figure.legend(loc="outside right upper", handlelength=1.8, labelspacing=0.3)

    return draw(name, f"F1 by class after each stage. {described}", paint, height=2.2 + 0.13 * len(shown))
