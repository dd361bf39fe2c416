"""How right the answers to a stream were, before each row was learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.reporting.figures.canvas import DECISION_COLOURS, clear_frame, colour, draw

SHADES = {"learner": ("blue", "-"), "released": ("green", "--"), "start": ("muted", ":")}
WORDS = {"learner": "learner", "released": "as released", "start": "at the start"}


def stream_figure(
    name: str,
    stage: str,
    rows: Sequence[float],
    accuracy: Mapping[str, Sequence[float]],
    candidates: Sequence[tuple[int, str]],
) -> Markup:
    """Returns accuracy over a sliding window, with an upright line for each candidate.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        rows: rows learnt at each point.
        accuracy: `learner`, `released` and `start` → in the window that ends there, in [0, 1].
        candidates: rows learnt, and the gate's decision.
    """
    last = {WORDS[key]: values[-1] for key, values in accuracy.items()}
    described = ", ".join(f"{words} {value:.3f}" for words, value in last.items())

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, decision in candidates:
            axes.axvline(place, color=colour(DECISION_COLOURS[decision]), linewidth=1, alpha=0.6)
        for key, values in accuracy.items():
            shade, style = SHADES[key]
            axes.plot(rows, values, style, color=colour(shade), linewidth=1.5, label=WORDS[key])
        axes.set_xlabel("rows learnt")
        axes.set_ylabel("accuracy in the window")
        axes.grid(axis="y")
        clear_frame(axes, keep=("bottom",))
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.8)

    return draw(
        name, f"Accuracy of {stage} before rows were learnt. In the last window: {described}", paint, height=2.6
    )
