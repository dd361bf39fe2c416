"""How it reads that a stage does not answer everything."""

from __future__ import annotations

from progressive_tf.evaluation.records import Measure
from progressive_tf.plan.metric_names import COVERAGE, SELECTIVE_ERROR
from progressive_tf.reporting.records import RunRecord, SavedStage
from progressive_tf.reporting.wording import number


def abstaining_lines(run: RunRecord) -> list[str]:
    """Returns a line for each stage that may abstain, as `full: answers 87 % of the test rows, 3.1 % of these …`."""
    return [f"{stage.name}: {abstaining_words(stage)}" for stage in run.stages if abstaining_words(stage)]


def abstaining_words(stage: SavedStage) -> str:
    """Returns how much of its test rows a stage answers, and how well; of validation rows where it has no test rows.

    Nothing for a stage that answers everything.
    """
    if stage.metrics is None or stage.metrics.abstain is None:
        return ""
    rows, measured = ("test", stage.test) if stage.test else ("validation", stage.validation)
    share, error, accuracy = (_value(measured.get(name)) for name in (COVERAGE, SELECTIVE_ERROR, "accuracy"))
    if share is None or accuracy is None:
        return ""
    if error is None:
        return f"answers none of the {rows} rows; without abstaining {_percent(1 - accuracy)} are wrong"
    return (
        f"answers {_percent(share, 0)} of the {rows} rows, {_percent(error)} of these wrong; "
        f"without abstaining {_percent(1 - accuracy)}"
    )


def _value(measure: Measure | None) -> float | None:
    return None if measure is None else measure.value


def _percent(share: float, digits: int = 1) -> str:
    return f"{number(100 * share, digits)} %"
