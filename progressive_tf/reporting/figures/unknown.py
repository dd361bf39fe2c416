"""How far apart known rows and rows that no class fits lie, by the score of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from progressive_tf.evaluation.unknown_inputs import UnknownFacts
from progressive_tf.reporting.figures.canvas import clear_frame, colour, draw


def unknown_figure(name: str, stage: str, facts: UnknownFacts) -> Markup:
    """Returns the share of rows in each bin of the score, of known rows and of those that no class fits.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        facts: what metrics.json says of it.
    """
    edges, beyond = facts.histogram.edges, facts.out_of_scope
    part = "test" if facts.test is not None else "gate"
    sides = [(f"known {part} rows", facts.histogram.known, "blue")]
    if beyond is not None:
        sides.append((beyond.source, facts.histogram.unknown, "vermilion"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for label, counts, name_of_colour in sides:
            axes.stairs(_shares(counts), edges, fill=True, alpha=0.35, color=colour(name_of_colour), label=label)
            axes.stairs(_shares(counts), edges, color=colour(name_of_colour), linewidth=1.4)
        axes.axvline(facts.threshold, color=colour("ink"), linestyle=":", linewidth=1.4, label="threshold")
        axes.set_title("Share of rows")
        axes.set_xlabel(f"score ({facts.score})")
        axes.legend(loc="best")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        clear_frame(axes, keep=("bottom",))

    flagged = facts.gate if facts.test is None else facts.test
    shares = [f"{100 * (flagged.value or 0):.1f} % of known {part} rows"]
    if beyond is not None:
        shares.append(f"{100 * (beyond.flagged.value or 0):.1f} % of the rows of {beyond.source}")
    described = f"Scores of stage {stage}: above the threshold {facts.threshold:.4g} are {' and '.join(shares)}"
    return draw(name, described, paint, height=2.6)


def _shares(counts: Sequence[int]) -> list[float]:
    return [count / max(sum(counts), 1) for count in counts]
