"""The rules of one gate: each interval against its threshold."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from progressive_tf.evaluation.decision import RuleResult
from progressive_tf.reporting.figures.canvas import OUTCOME_COLOURS, clear_frame, colour, draw, shorten
from progressive_tf.reporting.wording import metric_words, rule_words

MARKERS = {"pass": "o", "hold": "D", "reject": "X"}
# Each row is one high: its words stand above, its interval and threshold below.
WORDS, BAND_TOP, BAND_BOTTOM = -0.24, -0.16, 0.36


def gate_rules(name: str, stage: str, rules: Sequence[RuleResult]) -> Markup | None:
    """Returns a forest plot of the rules that have an estimate, one row each; None where none has.

    Rules on drops of a metric share a scale, and so do those on the metric itself. A drop is worse by so much, in the
    figure as in the table and in the plan.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        rules: of its decision.
    """
    groups: dict[str, list[tuple[RuleResult, float]]] = {}
    for rule in rules:
        if rule.estimate is not None:
            words = metric_words(rule.rule.metric)
            is_drop = rule.rule.drop_allowed is not None
            panel = f"drop of {words} (gains are below zero)" if is_drop else words
            panel = panel if rule.rule.at_least_rival is None else f"{words} behind a rival (ahead is below zero)"
            groups.setdefault(panel, []).append((rule, rule.estimate))
    if not groups:
        return None
    described = "; ".join(f"{_label(rule)}: {rule.outcome}" for rule in rules if rule.estimate is not None)

    def paint(figure: Figure) -> None:
        ratios = [len(group) + 0.1 for group in groups.values()]
        column = figure.subplots(len(groups), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axes, (panel, group) in zip(column, groups.items(), strict=True):
            _panel(axes, panel, group)

    height = 0.15 + sum(0.62 * len(group) + 0.6 for group in groups.values())
    return draw(name, f"Gate of stage {stage}: {described}", paint, height=height, width=4.0)


def _label(rule: RuleResult) -> str:
    return rule_words(rule.rule, rule.slice, rule.against)


def _panel(axes: Axes, panel: str, rules: Sequence[tuple[RuleResult, float]]) -> None:
    ends = [value for rule, estimate in rules for value in (estimate, rule.low, rule.high, rule.threshold)]
    known = [value for value in ends if value is not None]
    room = max(max(known) - min(known), 1e-3) * 0.12
    left, right = min(known) - room, max(known) + room
    axes.set_xlim(left, right)
    axes.set_ylim(len(rules) - 0.5, -0.6)
    across = axes.get_yaxis_transform()
    for row, (rule, estimate) in enumerate(rules):
        top, bottom = row + BAND_TOP, row + BAND_BOTTOM
        start, end = (rule.threshold, right) if rule.rule.at_least is not None else (left, rule.threshold)
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, color=colour("soft"), linewidth=0))
        meets = Rectangle((start, top), end - start, bottom - top, color=colour("green"), alpha=0.16, linewidth=0)
        axes.add_patch(meets)
        axes.plot([rule.threshold] * 2, [top, bottom], color=colour("ink"), linewidth=1.6, solid_capstyle="butt")
        height, shade = row + (BAND_TOP + BAND_BOTTOM) / 2, colour(OUTCOME_COLOURS.get(rule.outcome, "muted"))
        if rule.low is not None or rule.high is not None:
            bounds = [left if rule.low is None else rule.low, right if rule.high is None else rule.high]
            axes.plot(bounds, [height, height], color=shade, linewidth=3.5, solid_capstyle="round")
        marker = MARKERS.get(rule.outcome, "o")
        axes.plot([estimate], [height], marker=marker, color=shade, markersize=10, markeredgecolor=colour("paper"))
        axes.text(0, row + WORDS, shorten(_label(rule), 48), transform=across, va="bottom", ha="left")
        axes.text(1, row + WORDS, rule.outcome, transform=across, va="bottom", ha="right", fontweight="bold")
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(panel)
    clear_frame(axes)
