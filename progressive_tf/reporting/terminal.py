"""What a run ends with on the terminal: its stages in one table, and the measures over all of them in one line each."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from progressive_tf.evaluation.records import Bounds, Matrix, Measure, Weights
from progressive_tf.output import ByWidth
from progressive_tf.reporting import wording
from progressive_tf.reporting.records import RunRecord

STYLES = {"promote": "green", "hold": "yellow", "reject": "red"}


def stage_table(records: RunRecord) -> ByWidth:
    """Returns one row per stage: examples, weights, seconds, test and validation metric, decision, version.

    On a narrow terminal intervals go below their values, and names are folded.
    """
    return ByWidth(_stage_table(records), _stage_table(records, "\n"))


def _stage_table(records: RunRecord, between: str = " ") -> Table:
    """Returns the table; `between` stands between values and their intervals."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("stage", overflow="fold")
    metric = wording.metric_words(records.metric)
    decimals = 3 if wording.highest(records.metric) <= 1 else 1  # [98.7–100.0] is no wider than [0.987–1.000]
    for heading in ("examples", "trainable\n/total", "seconds", f"test\n{metric}", f"validation\n{metric}"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("version", justify="right", no_wrap=True)
    for stage in records.stages:
        metrics = stage.metrics
        weights = metrics.weights if metrics else Weights()
        table.add_row(
            Text(stage.name),
            wording.count(stage.data.train if stage.data else None),
            f"{wording.short_count(weights.trainable)}/{wording.short_count(weights.total)}",
            wording.number(wording.total_seconds(stage), 1),
            _value(stage.test.get(records.metric), decimals, between),
            _value(stage.validation.get(records.metric), decimals, between),
            # On two lines, `hold, forced` leaves a terminal of 80 columns room for the version.
            Text(wording.decided_words(stage).replace(", ", ",\n"), style=STYLES.get(wording.decided(stage), "dim")),
            wording.count(stage.version),
        )
    return table


def measures_line(records: RunRecord) -> str:
    """Returns ACC, BWT, FWT and forgetting in a line, or in one for each metric; a dash for what does not exist."""
    if records.matrix is None:
        return "ACC –  BWT –  FWT –  forgetting –"
    matrices = records.matrix.of_metrics
    words = f"\n(the R matrix is {records.matrix.labels})" if records.matrix.labels else ""
    if len(matrices) == 1:
        return measures_of(records.matrix) + words
    widest = max(len(wording.metric_words(metric)) for metric in matrices)
    lines = [f"{wording.metric_words(metric):{widest}}  {measures_of(matrix)}" for metric, matrix in matrices.items()]
    return "\n".join(lines) + words


def measures_of(matrix: Matrix) -> str:
    """Returns ACC, BWT, FWT and forgetting of one metric in one line."""
    decimals = wording.decimals(matrix.metric)
    bwt, fwt, forgetting = (wording.signed(value, decimals) for value in (matrix.bwt, matrix.fwt, matrix.forgetting))
    return f"ACC {wording.number(matrix.acc, decimals)}  BWT {bwt}  FWT {fwt}  forgetting {forgetting}"


def bounds_line(bounds: Bounds, metric: str = "accuracy") -> str:
    """Returns where the plan lies between its bounds, in one line; `metric` is the run's."""
    acc = {"naive": bounds.naive.acc, "this plan": bounds.plan.acc, "joint": bounds.joint.acc}
    values = ", ".join(f"{name} {wording.number(value, wording.decimals(metric))}" for name, value in acc.items())
    return f"bounds: {values} (ACC): {wording.position_words(bounds)}"


def _value(measure: Measure | None, decimals: int, between: str) -> Text:
    bounds = wording.interval(measure, decimals)
    value = wording.number(measure.value if measure else None, decimals)
    return Text(f"{value}{between}{bounds}" if bounds else value)
