"""The rules of one gate: each interval against its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from progressive_tf.reporting.figures.canvas import OUTCOME_COLOURS, clear_frame, colour, draw, shorten

MARKERS = {"pass": "o", "hold": "D", "reject": "X"}
# Each row is one high: its words stand above, its interval and threshold below.
WORDS, BAND_TOP, BAND_BOTTOM = -0.24, -0.16, 0.36


@dataclass(frozen=True)
class RuleInterval:
    """A rule's estimate and interval beside its threshold.

    Attributes:
        panel: the axis it belongs on, in words; rules of one panel share a scale.
        label: the rule in words.
        outcome: pass, hold or reject.
        estimate: in the panel's unit.
        low: lower bound, or None.
        high: upper bound, or None.
        threshold: in the panel's unit.
        floor: whether values above the threshold meet it, not those below.
    """

    panel: str
    label: str
    outcome: str
    estimate: float
    low: float | None
    high: float | None
    threshold: float
    floor: bool


def gate_rules(name: str, stage: str, rules: Sequence[RuleInterval]) -> Markup:
    """Returns a forest plot of `rules`, one row each, grouped by panel.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        rules: at least one.
    """
    panels = list(dict.fromkeys(rule.panel for rule in rules))
    grouped = [[rule for rule in rules if rule.panel == panel] for panel in panels]
    described = "; ".join(f"{rule.label}: {rule.outcome}" for rule in rules)

    def paint(figure: Figure) -> None:
        ratios = [len(group) + 0.1 for group in grouped]
        column = figure.subplots(len(panels), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axes, panel, group in zip(column, panels, grouped, strict=True):
            _panel(axes, panel, group)

    height = 0.15 + sum(0.62 * len(group) + 0.6 for group in grouped)
    return draw(name, f"Gate of stage {stage}: {described}", paint, height=height, width=4.0)


def _panel(axes: Axes, panel: str, rules: Sequence[RuleInterval]) -> None:
    ends = [value for rule in rules for value in (rule.estimate, rule.low, rule.high, rule.threshold)]
    known = [value for value in ends if value is not None]
    room = max(max(known) - min(known), 1e-3) * 0.12
    left, right = min(known) - room, max(known) + room
    axes.set_xlim(left, right)
    axes.set_ylim(len(rules) - 0.5, -0.6)
    across = axes.get_yaxis_transform()
    for row, rule in enumerate(rules):
        top, bottom = row + BAND_TOP, row + BAND_BOTTOM
        start, end = (rule.threshold, right) if rule.floor else (left, rule.threshold)
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, color=colour("soft"), linewidth=0))
        meets = Rectangle((start, top), end - start, bottom - top, color=colour("green"), alpha=0.16, linewidth=0)
        axes.add_patch(meets)
        axes.plot([rule.threshold] * 2, [top, bottom], color=colour("ink"), linewidth=1.6, solid_capstyle="butt")
        _interval(axes, row + (BAND_TOP + BAND_BOTTOM) / 2, rule, left, right)
        axes.text(0, row + WORDS, shorten(rule.label, 48), transform=across, va="bottom", ha="left")
        axes.text(1, row + WORDS, rule.outcome, transform=across, va="bottom", ha="right", fontweight="bold")
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(panel)
    clear_frame(axes)


def _interval(axes: Axes, height: float, rule: RuleInterval, left: float, right: float) -> None:
    shade = colour(OUTCOME_COLOURS.get(rule.outcome, "muted"))
    if rule.low is not None or rule.high is not None:
        low = left if rule.low is None else rule.low
        high = right if rule.high is None else rule.high
        axes.plot([low, high], [height, height], color=shade, linewidth=3.5, solid_capstyle="round")
    marker = MARKERS.get(rule.outcome, "o")
    axes.plot([rule.estimate], [height], marker=marker, color=shade, markersize=10, markeredgecolor=colour("paper"))
