"""A run in Python: its stages, its R matrix and its report, read from the run's folder."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.api.matrix import Matrix
from progressive_tf.api.named import Stages
from progressive_tf.api.registry import Model
from progressive_tf.api.stage import Stage, table_headings
from progressive_tf.errors import InputError
from progressive_tf.evaluation.records import Measure
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.registry.store import Registry as RegistryFolder
from progressive_tf.reporting import wording
from progressive_tf.reporting.next_steps import next_steps, ways_text
from progressive_tf.reporting.page import render, write_report
from progressive_tf.reporting.records import PAGE, RunRecord, read_run
from progressive_tf.reporting.terminal import measures_line
from progressive_tf.reporting.views import bounds_view, class_curves_view, stage_views


class Run:
    """A run, finished or not, as its records are when it is opened; `Run.open` or `run` makes one.

    Args:
        record: everything on disk about it.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Returns the run in a folder, runs/<plan>/<run>.

        Raises:
            InputError: this is no run's folder, or a record in it cannot be read.
        """
        return cls(read_run(Path(path)))

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.record.path

    @property
    def name(self) -> str:
        """The plan's name, which is the model's in the registry."""
        return str(self.record.plan.get("name", self.path.resolve().parent.name))

    @property
    def promoted(self) -> bool:
        """Whether every stage was released, by its gate or by a person."""
        return all(stage.promoted for stage in self.record.stages)

    @property
    def summary(self) -> str:
        """What came of the run, in one sentence."""
        return wording.summary(self.record)

    @property
    def ways_on(self) -> str:
        """What can be done about stages that were not released, with commands to copy; empty where there is nothing."""
        return "\n\n".join(ways_text(steps) for steps in next_steps(self.record))

    @cached_property
    def stages(self) -> Stages[Stage]:
        """The stages, by place (from 0) or name."""
        views = stage_views(self.record)
        return Stages([Stage(view, self.path / "stages" / view.record.folder) for view in views])

    @property
    def matrix(self) -> Matrix:
        """The R matrix.

        Raises:
            InputError: there is none yet.
        """
        if self.record.matrix is None:
            raise InputError(
                f"{self.path}: no R matrix yet; it is written when the stages are through: run the plan again"
            )
        return Matrix(self.record.matrix)

    def frame(self) -> pd.DataFrame:
        """Returns a row for each stage: decision, version, examples, test and validation metric, seconds."""
        metric = self.record.metric
        rows = [
            {
                "stage": stage.name,
                "decision": stage.state,
                "version": stage.version,
                "examples": stage.record.data.train if stage.record.data else None,
                f"test {metric}": stage.record.test.get(metric, Measure()).value,
                f"validation {metric}": stage.record.validation.get(metric, Measure()).value,
                "seconds": wording.total_seconds(stage.record),
            }
            for stage in self.stages
        ]
        return pd.DataFrame(rows).set_index("stage").astype({"version": "Int64", "examples": "Int64"})

    @property
    def figures(self) -> markup.Figures:
        """Figures about the whole run: the R matrix, classes from stage to stage, the run between its bounds."""
        figures = markup.Figures()
        if self.record.matrix is not None:
            figures |= {f"{part} matrix": picture for part, picture in self.matrix.figures.items()}
        curves, bounds = class_curves_view(self.record), bounds_view(self.record)
        if curves is not None:
            figures["classes"] = markup.Figure(
                curves, "F1 of each class after each stage, on the last one's test rows."
            )
        if bounds is not None and self.record.bounds is not None:
            position = wording.position_words(self.record.bounds)
            figures["bounds"] = markup.Figure(
                bounds, f"Naive trains without retention, joint on all rows at once; the plan is {position}."
            )
        return figures

    @property
    def report(self) -> Path:
        """The run's HTML page; it is drawn if it is not there."""
        page = self.path / PAGE
        return page if page.is_file() else write_report(self.path)

    def show_report(self, height: int = 700) -> Page:
        """Returns the whole report for a notebook to show.

        Args:
            height: of its frame, in pixels.
        """
        return Page(render(self.record), height)

    @property
    def registry(self) -> Model:
        """The versions of the run's model, in the registry that the run released to.

        Raises:
            InputError: the run does not say which registry that is.
        """
        place = self.path / "environment.json"
        try:
            folder = Path(read_json(place)["registry"])
        except (FileNotFoundError, KeyError, TypeError, DamagedRecordError):
            raise InputError(
                f'{place}: does not say which registry; use Registry("registry").model({self.name!r})'
            ) from None
        return Model(RegistryFolder(folder).model(self.name))

    def __repr__(self) -> str:
        return f"Run({self.path})\n{self.frame().to_string()}\n{measures_line(self.record)}\n{self.summary}"

    def _repr_html_(self) -> str:
        metric = self.record.metric
        head = markup.heading(self.name, self.path.name)
        table = markup.table(table_headings(metric), [stage.cells(metric) for stage in self.stages])
        note = "Brackets are 95 % intervals. Test rows are reported and never decide."
        return markup.framed(
            head
            + markup.paragraph(self.summary)
            + table
            + Markup("").join(map(markup.paragraph, measures_line(self.record).splitlines()))
            + markup.paragraph(markup.muted(note))
        )


class Page:
    """A page that a notebook shows in a frame of its own.

    Args:
        html: a self-contained document.
        height: of the frame, in pixels.
    """

    def __init__(self, html: str, height: int) -> None:
        self.html = html
        self.height = height

    def _repr_html_(self) -> str:
        return markup.page_frame(self.html, self.height)

    def __repr__(self) -> str:
        return f"<Page of {len(self.html):,} characters>"
