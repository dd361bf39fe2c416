"""The curve of a learning-rate range test."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from progressive_tf.files import atomic_path
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw, paint_png
from progressive_tf.reporting.sweeps import RateTest

HEIGHT = 2.8


def rate_figure(name: str, test: RateTest) -> Markup:
    """Returns the loss over the rate, with the suggested rate and the plan's.

    Args:
        name: prefix of the figure's ids.
        test: the curve, and what it suggests.
    """
    description = f"Learning-rate range test over {len(test.rates)} steps; {test.suggested:.2g} is suggested"
    return draw(name, description, lambda figure: _paint(figure, test), HEIGHT)


def save_rate_figure(path: Path, test: RateTest) -> None:
    """Writes the same figure as a PNG file, whole or not at all."""
    with atomic_path(path) as temporary:
        paint_png(temporary, lambda figure: _paint(figure, test), HEIGHT)


def _paint(figure: Figure, test: RateTest) -> None:
    suggested, plans, smoothed = test.suggested, test.plans, test.smoothed
    axes = figure.subplots()
    axes.plot(test.rates, test.losses, color=colour("line"), linewidth=1, label="loss of the step")
    axes.plot(test.rates, smoothed, color=colour("blue"), linewidth=1.8, label="smoothed")
    axes.axvline(suggested, color=colour("green"), linewidth=4, alpha=0.4, label=f"suggested, {suggested:.2g}")
    axes.axvline(plans, color=colour("vermilion"), linestyle="--", linewidth=1.2, label=f"the plan's, {plans:.2g}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    lowest, highest = min(smoothed), max(smoothed[: max(2, len(smoothed) // 2)])
    margin = 0.3 * (highest - lowest) or 0.1
    axes.set_ylim(lowest - margin, highest + 2 * margin)
    axes.set_xlabel("learning rate")
    axes.set_title("Loss")
    axes.grid(axis="y")
    clear_frame(axes, keep=("bottom",))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, handlelength=1.5)
