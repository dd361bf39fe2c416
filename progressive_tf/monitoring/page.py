"""The page about live models: one self-contained HTML file that runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import groupby

from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.monitoring.live_metrics import ALL, LiveMetrics
from progressive_tf.monitoring.snapshot import Snapshot
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw
from progressive_tf.reporting.templates import page_environment

# Fewer weeks than this are read faster in the table.
FEWEST_WEEKS = 2


def render(snapshots: Sequence[Snapshot], now: float) -> str:
    """Returns the page as HTML, of snapshots taken now, seconds since 1970; the same snapshots give the same bytes."""
    environment = page_environment("progressive_tf.monitoring")
    environment.filters.update(percent=_percent, number=_number, p_value=_p_value)
    moment = datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%d %H:%M")
    return environment.get_template("monitor.html").render(
        moment=moment,
        models=[
            {
                "snapshot": snapshot,
                "weeks": [(week, list(rows)) for week, rows in groupby(snapshot.metrics, lambda row: row.week)],
                "figure": accuracy_figure(f"m{place}", snapshot.metrics),
            }
            for place, snapshot in enumerate(snapshots)
        ],
    )


def accuracy_figure(name: str, metrics: Sequence[LiveMetrics]) -> Markup | None:
    """Returns the live accuracy of each week, the newest first, with its interval; None with too few weeks that were
    judged.

    `name` is the prefix of the figure's ids.
    """
    weeks = [week for week in reversed(metrics) if week.slice == ALL and week.accuracy is not None]
    if len(weeks) < FEWEST_WEEKS:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        positions = list(range(len(weeks)))
        values = [week.accuracy or 0.0 for week in weeks]
        low = [value - (week.low or 0.0) for week, value in zip(weeks, values, strict=True)]
        high = [(week.high or 0.0) - value for week, value in zip(weeks, values, strict=True)]
        axes.errorbar(positions, values, yerr=[low, high], color=colour("blue"), marker="o", capsize=3)
        axes.set_xticks(positions, [week.week[5:] for week in weeks])
        axes.set_title("Live accuracy by week, 95 % interval")
        clear_frame(axes)

    last = weeks[-1]
    return draw(name, f"Live accuracy of {len(weeks)} weeks, {last.accuracy:.3f} in the last", paint, 2.4)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
