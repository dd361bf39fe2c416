"""How the page shows which inputs a stage takes for unknown, and how well its score tells them."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from progressive_tf.evaluation.records import record_of
from progressive_tf.evaluation.unknown_inputs import UnknownFacts
from progressive_tf.reporting.figures.unknown import unknown_figure
from progressive_tf.reporting.records import RunRecord, SavedStage


@dataclass(frozen=True)
class UnknownView:
    """A stage's unknown inputs.

    Attributes:
        stage: its name.
        facts: as recorded.
        figure: both histograms of the score.
    """

    stage: str
    facts: UnknownFacts
    figure: Markup


def unknown_views(run: RunRecord) -> list[UnknownView]:
    """Returns a view of each stage that says which inputs are unknown."""
    return [view for stage in run.stages if (view := unknown_view(stage)) is not None]


def unknown_view(stage: SavedStage) -> UnknownView | None:
    """Returns the view of a stage; None where it does not say which inputs are unknown.

    Raises:
        InputError: what is recorded of them cannot be read.
    """
    recorded = stage.metrics.unknown_inputs if stage.metrics else {}
    if not recorded:
        return None
    facts = record_of(recorded, UnknownFacts, f"metrics.json of {stage.name}: unknown_inputs")
    return UnknownView(stage.name, facts, unknown_figure(f"unknown-{stage.number}", stage.name, facts))
