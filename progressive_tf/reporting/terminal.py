"""What a run ends with on the terminal: its stages in one table, and the measures over all of them in one line."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from progressive_tf.reporting import wording
from progressive_tf.reporting.records import Bounds, Measure, RunRecord, Weights

INTERVAL_WIDTH = len("[0.000–0.000]")  # on a narrow terminal the interval goes below its value, whole
STYLES = {"promote": "green", "hold": "yellow", "reject": "red"}


def stage_table(records: RunRecord) -> Table:
    """Returns one row per stage: examples, weights, seconds, test and validation metric, decision, version."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("stage", overflow="fold")
    for heading in ("examples", "trainable\n/total", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    metric = wording.metric_words(records.metric)
    for heading in (f"test\n{metric}", f"validation\n{metric}"):
        table.add_column(heading, justify="right", min_width=INTERVAL_WIDTH)
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
            _value(stage.test.get(records.metric)),
            _value(metrics.validation.get(records.metric) if metrics else None),
            # On two lines, `hold, forced` leaves a terminal of 80 columns room for the version.
            Text(wording.decided_words(stage).replace(", ", ",\n"), style=STYLES.get(wording.decided(stage), "dim")),
            wording.count(stage.version),
        )
    return table


def measures_line(records: RunRecord) -> str:
    """Returns ACC, BWT, FWT and forgetting in one line; a dash for those that do not exist."""
    matrix = records.matrix
    if matrix is None:
        return "ACC –  BWT –  FWT –  forgetting –"
    return (
        f"ACC {wording.number(matrix.acc)}  BWT {wording.signed(matrix.bwt)}  FWT {wording.signed(matrix.fwt)}  "
        f"forgetting {wording.signed(matrix.forgetting)}"
    )


def bounds_line(bounds: Bounds) -> str:
    """Returns where the plan lies between its bounds, in one line."""
    values = f"naive {wording.number(bounds.naive.acc)}, this plan {wording.number(bounds.plan.acc)}, joint "
    return f"bounds: {values}{wording.number(bounds.joint.acc)} (ACC): {wording.position_words(bounds)}"


def _value(measure: Measure | None) -> Text:
    bounds = wording.interval(measure)
    return Text(f"{wording.number(measure.value if measure else None)}{' ' + bounds if bounds else ''}")
