"""What a sweep tried: best so far, each parameter on its own, and all of them at once."""

from __future__ import annotations

import itertools
import math
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw, shorten
from progressive_tf.reporting.sweeps import SweepRecord, Trial, short_key, shown_value

SHADES = {"feasible": "blue", "infeasible": "orange"}
MOST_LABELS = 6


def progress_figure(name: str, sweep: SweepRecord) -> Markup:
    """Returns the metric of each trial with the best so far, above the time spent so far.

    Args:
        name: prefix of the figure's ids.
        sweep: a finished sweep.
    """
    numbers = range(1, len(sweep.trials) + 1)
    minutes = [seconds / 60 for seconds in itertools.accumulate(trial.seconds for trial in sweep.trials)]
    best = best_so_far(sweep)
    described = f"Best validation {sweep.metric} so far over {len(sweep.trials)} trials, in {minutes[-1]:.1f} minutes"

    def paint(figure: Figure) -> None:
        metric, cost = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
        for status, shade in SHADES.items():
            shown = [(n, t.metric) for n, t in zip(numbers, sweep.trials, strict=True) if t.status == status]
            if shown:
                metric.plot(*zip(*shown, strict=True), "o", color=colour(shade), markersize=5, label=status)
        crashed = [n for n, t in zip(numbers, sweep.trials, strict=True) if t.metric is None]
        known = [trial.metric for trial in sweep.trials if trial.metric is not None]
        if crashed:
            metric.plot(crashed, [min(known)] * len(crashed), "x", color=colour("vermilion"), label="crashed")
        metric.step(numbers, best, where="post", color=colour("green"), linewidth=1.8, label="best so far")
        metric.set_title(f"Validation {sweep.metric.replace('_', ' ')}")
        cost.plot(numbers, minutes, color=colour("ink"), linewidth=1.4)
        cost.set_title("Minutes so far")
        cost.set_xlabel("trial")
        cost.set_ylim(bottom=0)
        cost.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for axes in (metric, cost):
            clear_frame(axes, keep=("bottom",))
            axes.grid(axis="y")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        figure.legend(*metric.get_legend_handles_labels(), loc="outside upper left", ncols=3, columnspacing=1.0)

    return draw(name, described, paint, height=3.8)


def parameters_figure(name: str, sweep: SweepRecord) -> Markup:
    """Returns the metric over each parameter.

    Args:
        name: prefix of the figure's ids.
        sweep: a finished sweep.
    """
    keys = list(sweep.space)
    columns = min(2, len(keys))
    rows = math.ceil(len(keys) / columns)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, key in itertools.zip_longest(panels.flat, keys):
            if key is None:
                axes.set_visible(False)
                continue
            scale = Scale(sweep, key)
            for trial in sweep.trials:
                if trial.metric is None:
                    continue
                best = trial.trial == sweep.best
                shade = colour("green" if best else SHADES[trial.status])
                place = scale.place(sweep.values(trial)[key])
                axes.plot(place, trial.metric, "D" if best else "o", color=shade, markersize=7 if best else 4.5)
            scale.dress(axes)
            axes.set_xlabel(shorten(short_key(key, keys), 24))
            clear_frame(axes, keep=("bottom",))
            axes.grid(axis="y")

    described = f"Validation {sweep.metric} over {', '.join(keys)}; the diamond is the best trial"
    return draw(name, described, paint, height=0.4 + 1.8 * rows)


def parallel_figure(name: str, sweep: SweepRecord) -> Markup:
    """Returns every trial as a line through its values and its metric (parallel coordinates, Inselberg 1985).

    Args:
        name: prefix of the figure's ids.
        sweep: a finished sweep.
    """
    keys = list(sweep.space)
    scales = [Scale(sweep, key) for key in keys]
    known = [trial.metric for trial in sweep.trials if trial.metric is not None]
    lowest, highest = min(known), max(known)

    def height(trial: Trial) -> float:
        return 0.5 if highest == lowest else ((trial.metric or 0.0) - lowest) / (highest - lowest)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        trials = [trial for trial in sweep.trials if trial.metric is not None]
        for trial in sorted(trials, key=lambda entry: entry.trial == sweep.best):
            values = sweep.values(trial)
            line = [*(scale.share(values[key]) for key, scale in zip(keys, scales, strict=True)), height(trial)]
            best = trial.trial == sweep.best
            axes.plot(
                range(len(line)),
                line,
                color=colour("green" if best else SHADES[trial.status]),
                linewidth=2.6 if best else 1.0,
                alpha=1.0 if best else 0.2 + 0.6 * height(trial),
            )
        for index, scale in enumerate(scales):
            axes.axvline(index, color=colour("line"), linewidth=1, zorder=0)
            for text, share in scale.ends():
                axes.annotate(text, (index, share), xytext=(3, 0), textcoords="offset points", va="center", fontsize=9)
        axes.axvline(len(keys), color=colour("line"), linewidth=1, zorder=0)
        for value, share in ((lowest, 0.0), (highest, 1.0)):
            axes.annotate(f"{value:.3f}", (len(keys), share), xytext=(3, 0), textcoords="offset points", va="center")
        names = [shorten(short_key(key, keys), 16) for key in keys]
        axes.set_xticks(range(len(keys) + 1), [*names, shorten(sweep.metric.replace("_", " "), 16)])
        axes.tick_params(axis="x", labelrotation=20 if len(keys) > 3 else 0)
        axes.set_xlim(-0.1, len(keys) + 0.45)
        axes.set_yticks([])
        clear_frame(axes)

    described = f"Trials as lines through {', '.join(keys)} and validation {sweep.metric}; the thick line is the best"
    return draw(name, described, paint, height=3.0)


def best_so_far(sweep: SweepRecord) -> list[float]:
    """Returns the best metric of a feasible trial up to each one; not a number before the first."""
    best, best_values = math.nan, []
    for trial in sweep.trials:
        if trial.status == "feasible" and trial.metric is not None:
            better = trial.metric < best if sweep.lower_is_better else trial.metric > best
            best = trial.metric if math.isnan(best) or better else best
        best_values.append(best)
    return best_values


class Scale:
    """Where a parameter's values lie on an axis: numbers as they are or as logarithms, everything else in order.

    Args:
        sweep: the sweep.
        key: the parameter.
    """

    def __init__(self, sweep: SweepRecord, key: str) -> None:
        values = [sweep.values(trial)[key] for trial in sweep.trials]
        self._log = bool(sweep.space[key]["log"])
        self._names: list[str] = []
        if sweep.space[key]["choice"] is not None or not all(_is_number(value) for value in values):
            choices = [*(sweep.space[key]["choice"] or []), *sorted(values, key=_order)]
            self._names = list(dict.fromkeys(shown_value(value) for value in choices))
        self._places = [self.place(value) for value in values]

    def place(self, value: Any) -> float:
        """Returns where a value lies on an axis."""
        return float(self._names.index(shown_value(value))) if self._names else float(value)

    def share(self, value: Any) -> float:
        """Returns where a value lies between the lowest and the highest, in [0, 1]."""
        lowest, highest, place = self._scaled(min(self._places)), self._scaled(max(self._places)), self.place(value)
        if self._names:
            lowest, highest = 0.0, float(len(self._names) - 1)
        return 0.5 if highest == lowest else (self._scaled(place) - lowest) / (highest - lowest)

    def ends(self) -> list[tuple[str, float]]:
        """Returns what to write on a parallel axis, and where."""
        if self._names:
            last = max(1, len(self._names) - 1)
            shown = enumerate(self._names) if len(self._names) <= MOST_LABELS else [(0, self._names[0])]
            return [(shorten(text, 12), index / last if len(self._names) > 1 else 0.5) for index, text in shown]
        return [(f"{min(self._places):.2g}", 0.0), (f"{max(self._places):.2g}", 1.0)]

    def dress(self, axes: Axes) -> None:
        """Gives an axis its ticks."""
        if self._names:
            axes.set_xticks(range(len(self._names)), [shorten(text, 10) for text in self._names])
            axes.set_xlim(-0.5, len(self._names) - 0.5)
        elif self._log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))

    def _scaled(self, place: float) -> float:
        return math.log10(place) if self._log and not self._names else place


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if _is_number(value) else (1, 0.0, str(value))
