"""Learning curves of one stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw

History = Mapping[str, Sequence[float]]
PANELS = ("loss", "accuracy")
# What stands before a panel's name in the history, what it is called, and how it is drawn.
LINES = (("", "train", "blue", "o--"), ("val_", "validation", "vermilion", "s-"))


def learning_curves(
    name: str, stage: str, history: History, best_epoch: int | None, accuracy: str = "Accuracy"
) -> Markup:
    """Returns loss, accuracy and learning rate over the epochs, for training and validation rows.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        history: columns of `history.csv`; those that are missing are left out.
        best_epoch: the epoch whose weights were kept, counted from 1.
        accuracy: what column `accuracy` is, in words.
    """
    rows = max((len(values) for values in history.values()), default=0)
    epochs = list(history.get("epoch", range(1, rows + 1)))
    marked = best_epoch if best_epoch in epochs else None
    description = f"Learning curves of stage {stage} over {len(epochs)} epochs"
    if marked is not None:
        description += f"; the weights of epoch {marked} were kept"

    def paint(figure: Figure) -> None:
        panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
        for axes, column, title in zip(panels, PANELS, ("Loss", accuracy), strict=False):
            for before, part, shade, style in LINES:
                values = history.get(f"{before}{column}")
                if values:
                    size = 4 if len(epochs) <= 40 else 0
                    axes.plot(epochs, values, style, label=part, color=colour(shade), markersize=size, linewidth=1.6)
            axes.set_title(title)
        rates = panels[2]
        if history.get("learning_rate"):
            rates.step(epochs, history["learning_rate"], where="mid", color=colour("ink"), linewidth=1.4)
            highest = max((rate for rate in history["learning_rate"] if math.isfinite(rate)), default=0.0) or 1.0
            rates.set_yticks([0, highest])
            rates.set_ylim(0, 1.1 * highest)
        rates.set_title("Learning rate")
        rates.set_xlabel("epoch")
        rates.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        for axes in panels:
            clear_frame(axes, keep=("bottom",))
            axes.grid(axis="y")
            if axes is not rates:
                axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            if marked is not None:
                label = f"best, epoch {marked}" if axes is panels[0] else None
                axes.axvline(marked, color=colour("green"), linewidth=5, alpha=0.3, label=label, zorder=0)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=3, columnspacing=1.0, handlelength=1.5, borderaxespad=0.2
        )

    return draw(name, description, paint, height=4.7, width=4.0)
