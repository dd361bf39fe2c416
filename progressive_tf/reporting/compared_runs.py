"""Runs of several methods over the same seeds, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table

from progressive_tf.errors import InputError
from progressive_tf.evaluation.bootstrap import FEWEST_SEEDS, paired_difference
from progressive_tf.evaluation.records import Matrix, StageData, StageMetrics, read_record
from progressive_tf.output import ByWidth
from progressive_tf.plan.reading import read_yaml_mapping
from progressive_tf.reporting.reading import finished_runs
from progressive_tf.reporting.wording import RIVALS, decimals, number, signed

MEASURES = ("acc", "bwt", "fwt", "forgetting")


@dataclass(frozen=True)
class Method:
    """The runs of one method.

    Attributes:
        name: of the folder they stand in.
        values: the measure by the plan's seed.
        metric: that of the R matrices.
        rivals: the same of simple classifiers on the same kept outputs, by name, where every run has them.
        labels: in whose words the R matrices are, where labels changed between their stages; see `Matrix.labels`.
    """

    name: str
    values: Mapping[int, float]
    metric: str = "accuracy"
    rivals: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()

    @property
    def beside(self) -> Iterator[Method]:
        """Its rivals, each as a method of its own."""
        for name, values in self.rivals.items():
            yield Method(f"{self.name}: {RIVALS.get(name, name)}", values, self.metric)


def read_method(folder: Path, measure: str, part: str) -> Method:
    """Returns the runs in a folder, or the one run that it is.

    Args:
        folder: `runs/<plan>` or `runs/<plan>/<run>`.
        measure: acc, bwt, fwt or forgetting.
        part: test or gate.

    Raises:
        InputError: no finished run there, two of one seed, several metrics, or a measure that a run does not have.
    """
    values: dict[int, float] = {}
    where: dict[int, Path] = {}
    metrics: dict[str, Path] = {}
    rivals: dict[str, dict[int, float]] = {}
    labels: set[str] = set()
    for run in finished_runs(folder):
        matrix = read_record(run / "matrix.json", Matrix)
        if matrix is None:
            continue
        seed = int(read_yaml_mapping(run / "plan.yaml").get("seed", 0))
        if seed in where:
            raise InputError(
                f"{folder}: {where[seed].name} and {run.name} have the same seed, {seed}; keep one of them"
            )
        value = matrix.test_measures.get(measure) if part == "test" else getattr(matrix, measure)
        if value is None:
            raise InputError(f"{run}: has no {measure} on {part} rows; compare another measure")
        values[seed], where[seed] = value, run
        for name, acc in _rival_values(run, matrix, part).items() if measure == "acc" else ():
            rivals.setdefault(name, {})[seed] = acc
        metrics.setdefault(matrix.metric, run)
        labels |= set() if matrix.labels is None else {matrix.labels}
    if len(metrics) > 1:
        listed = " and ".join(f"{metric} in {run.name}" for metric, run in metrics.items())
        raise InputError(f"{folder}: R matrices of several metrics, {listed}; compare runs of one task")
    everywhere = {name: accs for name, accs in rivals.items() if accs.keys() == values.keys()}
    return Method(str(folder), values, next(iter(metrics)), everywhere, frozenset(labels))


def _rival_values(run: Path, matrix: Matrix, part: str) -> dict[str, float]:
    """Returns the ACC of each rival of a run's last stage; none where a stage of the R matrix has no such value.

    None either where the labels changed between its stages: rivals are measured by all classes of the last one, and the
    matrix by those that all of its stages tell apart.
    """
    if matrix.labels is not None:
        return {}
    folder = run / "stages" / f"{len(matrix.stages):02d}-{matrix.stages[-1]}"
    metrics = read_record(folder / "metrics.json", StageMetrics) or StageMetrics()
    data = [read_record(path, StageData) for path in sorted((run / "stages").glob("*/data.json"))]
    slices = [each.slice for each in data[: len(matrix.stages)] if each is not None]
    found = {}
    for name, rival in metrics.rivals.items():
        values = [rival.slices.get(part, {}).get(str(each)) for each in slices]
        if values and None not in values:
            found[name] = float(np.mean(np.array(values, float)))
    return found


def comparison_table(methods: Sequence[Method], measure: str, part: str) -> ByWidth:
    """Returns a row per method, each but the first compared with it; on a narrow terminal in two lines.

    Raises:
        InputError: methods with other seeds than the first, or another metric.
    """
    first = methods[0]
    title = f"{measure} on {part} rows, seeds {', '.join(map(str, sorted(first.values)))}"
    more = f"more than {Path(first.name).name}"
    wide = _table(title, ("runs", "mean", "sd", more, "95 % interval", "p"))
    narrow = _table(title, ("runs", "mean", "sd", f"{more}\n95 % interval", "p"))
    shown: list[Mapping[int, float]] = []
    rows = [first, *first.beside, *(row for method in methods[1:] for row in (method, *method.beside))]
    for method in rows:
        if method not in methods and method.values in shown:
            continue  # another method's rivals, on the same outputs of the same rows
        shown.append(method.values)
        name, mean, spread, *compared = _cells(method, first)
        wide.add_row(name, mean, spread, *compared)
        stacked = [f"{compared[0]}\n{compared[1]}", compared[2]] if compared else []
        narrow.add_row(name, mean, spread, *stacked)
    return ByWidth(wide, narrow)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name == "runs" else "right", overflow="fold", no_wrap=name != "runs")
    return table


def _cells(method: Method, first: Method) -> list[str]:
    """Returns the cells of a method; of the first, those that compare it are left out."""
    digits = decimals(first.metric)
    if method.values.keys() != first.values.keys():
        raise InputError(
            f"{method.name}: has seeds {sorted(method.values)}, {first.name} {sorted(first.values)}; compare runs "
            f"of the same seeds"
        )
    if method.metric != first.metric:
        raise InputError(
            f"{method.name}: its R matrices are of {method.metric}, those of {first.name} of {first.metric}; "
            f"compare runs of one task"
        )
    values = [method.values[seed] for seed in sorted(method.values)]
    spread = number(float(np.std(values, ddof=1)), digits) if len(values) > 1 else "–"
    cells = [method.name, number(float(np.mean(values)), digits), spread]
    if method is first:
        return cells
    difference = paired_difference([first.values[seed] for seed in sorted(first.values)], values)
    bounds = (
        f"[{signed(difference.low, digits)}, {signed(difference.high, digits)}]" if difference.low is not None else "–"
    )
    return [*cells, signed(difference.mean, digits), bounds, f"{difference.p:.4f}"]


def caveat(methods: Sequence[Method]) -> str | None:
    """Returns what a reader must know about p, and of runs in other words, a line each; None where there is nothing."""
    seeds, lines = len(methods[0].values), []
    if seeds < FEWEST_SEEDS:
        lines.append(
            f"with {seeds} seed{'s' if seeds > 1 else ''} p cannot be below {2 / 2**seeds:g}; {FEWEST_SEEDS} or more "
            f"are needed for p < 0.05"
        )
    for method in methods:
        lines += [
            f"{method.name}: without its rivals, which are measured by other classes; its R matrix is {words}"
            for words in sorted(method.labels)
        ]
    if len({method.labels for method in methods}) > 1:
        lines.append("these R matrices are of other classes, so that their difference is not one of the methods alone")
    return "\n".join(lines) or None
