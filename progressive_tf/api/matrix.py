"""The R matrix of a run, as a table and as a picture."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.evaluation.records import Matrix as MatrixRecord
from progressive_tf.reporting import wording
from progressive_tf.reporting.terminal import measures_of
from progressive_tf.reporting.views import matrix_figures

PARTS = ("gate", "test")


class Matrix:
    """R[i, j]: the metric on stage j's rows after stage i; row 0 is the model before any stage.

    Args:
        record: content of the run's matrix.json.

    Attributes:
        metric: what the cells are.
        metrics: every metric that there is a matrix of, this one's first; `of` gives that of another.
        acc: mean of the last row; None, as the next three, where a cell it needs does not exist.
        bwt: how earlier stages' rows changed since they were trained on; below zero, something was lost.
        fwt: what earlier stages gave to later rows before training on them.
        forgetting: mean fall from the best that earlier stages' rows ever had.
        labels: in whose words it is, where the labels changed between its stages, and how answers in others were read;
            None where they are the same.
    """

    def __init__(self, record: MatrixRecord) -> None:
        self._record = record
        self.metric, self.labels = record.metric, record.labels
        self.metrics = tuple(record.of_metrics)
        self.acc, self.bwt, self.fwt, self.forgetting = record.acc, record.bwt, record.fwt, record.forgetting

    def of(self, metric: str) -> Matrix:
        """Returns the matrix of another metric of the task, where it has several.

        Raises:
            InputError: there is no matrix of it.
        """
        matrices = self._record.of_metrics
        if metric not in matrices:
            raise InputError(unknown_name("metric of the R matrix", metric, self.metrics))
        return Matrix(matrices[metric])

    def frame(self, part: str = "gate") -> pd.DataFrame:
        """Returns the cells: a row for the untrained model and after each stage, a column for each stage's rows.

        Args:
            part: "gate", the rows that decide, or "test", those that are only reported.

        Raises:
            InputError: there is no such part.
        """
        if part not in PARTS:
            raise InputError(unknown_name("part of the R matrix", part, PARTS))
        cells, stages = self._record.cells(part), list(self._record.stages)
        rows = ["untrained", *(f"after {stage}" for stage in stages)][: len(cells)]
        frame = pd.DataFrame([list(row) for row in cells], index=pd.Index(rows), columns=pd.Index(stages), dtype=float)
        return frame.rename_axis(f"{self.metric} on {part} rows of", axis="columns")

    def measures(self) -> pd.DataFrame:
        """Returns ACC, BWT, FWT and forgetting, on gate and on test rows."""
        names = {key: title for key, (title, _) in wording.MEASURES.items()}
        columns = {
            "gate": {title: getattr(self, key) for key, title in names.items()},
            "test": {title: self._record.test_measures.get(key) for key, title in names.items()},
        }
        return pd.DataFrame(columns, index=pd.Index(list(names.values())), dtype=float)

    @property
    def figures(self) -> markup.Figures:
        """The matrix on gate and on test rows, as heat maps."""
        caption = "A row after each stage, a column for each stage's rows; darker is higher, hatched does not exist."
        caption += f" It is {self.labels}." if self.labels else ""
        drawn = matrix_figures(self._record)
        return markup.Figures({part: markup.Figure(svg, f"On {part} rows. {caption}") for part, svg in drawn.items()})

    def __repr__(self) -> str:
        decimals = wording.decimals(self.metric)
        return f"{self.frame().to_string(float_format=f'{{:.{decimals}f}}'.format)}\n{measures_of(self._record)}"

    def _repr_html_(self) -> str:
        others = (self.of(metric) for metric in self.metrics[1:])
        hidden = (markup.hidden(wording.metric_words(other.metric), other._body()) for other in others)
        return markup.framed(self._body() + Markup("").join(hidden))

    def _body(self) -> Markup:
        decimals = wording.decimals(self.metric)
        rows = [
            (
                title,
                (wording.number if key == "acc" else wording.signed)(getattr(self, key), decimals),
                Markup('<span class="bounds">{}</span>').format(meaning),
            )
            for key, (title, meaning) in wording.MEASURES.items()
        ]
        drawn = markup.side_by_side(markup.figure(picture.svg, picture.caption) for picture in self.figures.values())
        return drawn + markup.table(("on gate rows", "", "what it says"), rows)
