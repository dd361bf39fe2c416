"""What the page shows of stages that learn from a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from progressive_tf.reporting.figures.stream import stream_figure
from progressive_tf.reporting.reading import read_history
from progressive_tf.reporting.records import Candidate, RunRecord

MOST_POINTS = 400
MODELS = ("learner", "released", "start")


@dataclass(frozen=True)
class StreamView:
    """A stage that learns from a stream.

    Attributes:
        stage: its name.
        learnt: rows learnt so far.
        window: rows of the sliding window at its end.
        figure: accuracy over it.
        candidates: in order, without the stage's end.
    """

    stage: str
    learnt: int
    window: int
    figure: Markup
    candidates: Sequence[Candidate]


def stream_views(run: RunRecord) -> list[StreamView]:
    """Returns a view of each stage that has learnt from a stream."""
    views = []
    for stage in run.stages:
        folder = run.path / "stages" / f"{stage.number:02d}-{stage.name}"
        history = read_history(folder / "stream" / "windows.csv")
        if not history or not history["learnt"]:
            continue
        learnt = history["learnt"]
        shown = sorted({*range(0, len(learnt), max(len(learnt) // MOST_POINTS, 1)), len(learnt) - 1})
        views.append(
            StreamView(
                stage.name,
                int(learnt[-1]),
                int(history["rows"][-1]),
                stream_figure(
                    f"stream-{stage.number}",
                    stage.name,
                    [learnt[place] for place in shown],
                    {key: [history[key][place] for place in shown] for key in MODELS},
                    [(each.rows, each.decision.decision) for each in stage.candidates],
                ),
                stage.candidates,
            )
        )
    return views
