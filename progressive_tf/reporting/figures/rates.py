"""The curve of a learning-rate range test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from progressive_tf.files import atomic_path
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw, paint_png

HEIGHT = 2.8


def rate_figure(
    name: str, rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], found: float, plans: float
) -> Markup:
    """Returns the loss over the rate, with the suggested rate and the plan's.

    Args:
        name: prefix of the figure's ids.
        rates: of each step, rising.
        losses: of each step.
        smoothed: the same, smoothed.
        found: the suggested rate.
        plans: the plan's rate.
    """
    description = f"Learning-rate range test over {len(rates)} steps; {found:.2g} is suggested"
    return draw(name, description, lambda figure: _paint(figure, rates, losses, smoothed, found, plans), HEIGHT)


def save_rate_figure(
    path: Path,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    found: float,
    plans: float,
) -> None:
    """Writes the same figure as a PNG file, whole or not at all."""
    with atomic_path(path) as temporary:
        paint_png(temporary, lambda figure: _paint(figure, rates, losses, smoothed, found, plans), HEIGHT)


def _paint(
    figure: Figure,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    found: float,
    plans: float,
) -> None:
    axes = figure.subplots()
    axes.plot(rates, losses, color=colour("line"), linewidth=1, label="loss of the step")
    axes.plot(rates, smoothed, color=colour("blue"), linewidth=1.8, label="smoothed")
    axes.axvline(found, color=colour("green"), linewidth=4, alpha=0.4, label=f"suggested, {found:.2g}")
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
