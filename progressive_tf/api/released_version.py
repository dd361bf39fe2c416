"""A released version in Python, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.api.batch_function import BatchFunction
from progressive_tf.api.quiet import quiet
from progressive_tf.errors import InputError, ProgressiveError, listed, unknown_name
from progressive_tf.registry.tables import metric
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.reporting import wording

if TYPE_CHECKING:
    from progressive_tf.scoring.predictor import Predictor
    from progressive_tf.scoring.score import Summary


class ReleasedVersion:
    """A released version.

    Args:
        record: what the registry knows about it.
        model: of it; None for an exported one.

    Attributes:
        number: counts from 1; a lower number is an earlier version.
        folder: holds the SavedModel and manifest.json.
        stage: the stage that it was.
        run: the run's id.
        aliases: the names that point to it.
    """

    def __init__(self, record: Version, model: ModelVersions | None = None) -> None:
        self.record = record
        self._model = model
        self.number, self.folder, self.aliases = record.number, record.folder, record.aliases
        self.stage, self.run = record.stage, record.run
        self._intact = set[int]()

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Content of manifest.json: hashes, parent, labels, metrics, the decision that let it out.

        Raises:
            ProgressiveError: it is missing or broken.
        """
        manifest = self.record.manifest()
        if manifest is None:
            raise ProgressiveError(
                f"{self.folder}: its manifest.json is missing or broken; see python -m progressive_tf.release verify"
            )
        return manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities.

        Raises:
            InputError: the version writes texts, and has none.
        """
        without = self.record.task.answers.without_labels
        if without:
            raise InputError(f"{self.record.model} version {self.number} {without}; it has no classes")
        return tuple(self.manifest["labels"])

    def predict(self, inputs: Any, task: str | Sequence[str] | None = None, batch_size: int = 64) -> pd.DataFrame:
        """Returns what the version answers to raw inputs, with what was released alone; it is loaded once.

        Args:
            inputs: what the model reads. Texts: strings. Images: paths or the bytes of files, or uint8
                [batch, height, width, 3]. Rows of numbers: float [batch, width]. Tables: a DataFrame, or mappings
                from column to cell. Taggers: texts, or lists of words. Translators: texts.
            task: of all inputs or of each, for a version with tasks.
            batch_size: how many at once.

        Returns:
            A row for each input: `label`, and `probability/<class>` for each class. A tagger gives a row for each
            span: `input` (from 0), `kind`, `words`, `start`, `end`, `score`; places count characters of a text, or
            words of a list. A translator gives a row for each text: `text`, `translation` and `confidence`, the
            geometric mean of the probabilities of the tokens it wrote.

        Raises:
            InputError: inputs that this model cannot read; the message says what it reads.
        """
        return self._served.answer(inputs, task, batch_size)

    def predict_table(
        self,
        rows: Any,
        *,
        column: str | None = None,
        keep_columns: str | Sequence[str] = "all",
        probabilities: bool = False,
        against: ReleasedVersion | int | str | None = None,
        runs: str | os.PathLike[str] = "runs",
    ) -> pd.DataFrame:
        """Returns a table with what the version answers beside its own columns, as the command predict writes it.

        Args:
            rows: a DataFrame, mappings from column to cell, or files or folders as the command takes them.
            column: the column of texts, or of images' paths; by default that of the plan.
            keep_columns: which columns stay: `all`, `none`, or names.
            probabilities: give the probability of every class, not only of the answer.
            against: another version, its number or alias, which is asked the same.
            runs: where runs are kept, by plan; for the name of the plan's column.

        Returns:
            A row for each row, with its index; of files with `row`, and of several with `file`. `predicted` and
            `confidence`, or a tagger's `entities`, or a translator's `translation`; with `against` what that one
            answers, and `differs`; and `problem`: why a row has no answer. A warning says how many have none.

        Raises:
            InputError: the version cannot read such rows; the message says what it reads.
        """
        answered = self.batch_function(
            column=column, keep_columns=keep_columns, probabilities=probabilities, against=against, runs=runs
        )
        return answered(rows)

    def batch_function(
        self,
        *,
        column: str | None = None,
        keep_columns: str | Sequence[str] = "all",
        probabilities: bool = False,
        against: ReleasedVersion | int | str | None = None,
        runs: str | os.PathLike[str] = "runs",
    ) -> BatchFunction:
        """Returns `predict_table` as a function of rows alone, which can be sent to workers; see `BatchFunction`."""
        with quiet():
            from progressive_tf.scoring.released import columns_kept
            from progressive_tf.scoring.versions import usual_columns

        other = self._beside(against)
        self._refuse_damaged(self.record)
        usual = usual_columns(self.record, Path(runs))
        keep = columns_kept(keep_columns)
        against_folder = None if other is None else other.folder.absolute()
        return BatchFunction(self.folder.absolute(), against_folder, keep, column, usual, probabilities)

    def predict_files(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        to: str | os.PathLike[str],
        *,
        column: str | None = None,
        keep_columns: str | Sequence[str] = "all",
        probabilities: bool = False,
        against: ReleasedVersion | int | str | None = None,
        runs: str | os.PathLike[str] = "runs",
    ) -> Summary:
        """Writes a table of what the version answers to files of any size, as the command predict does.

        A call that was stopped goes on when it is made again, and ends with the same bytes. Rows that have no answer
        stand beside the table, in `<to>.bad.csv`.

        Args:
            files: tables, folders of tables, or folders of images.
            to: what is written: .csv, .tsv, .jsonl or .parquet.
            column: see `predict_table`, as for the others.

        Returns:
            How many rows were answered, and what: `rows`, `bad`, `answers`, `differ`, `abstained`, `unknown`,
            `unread.remark()`, and `drift` against the gate rows of the version's stage.

        Raises:
            InputError: a file cannot be read, or not by this version, or `to` cannot be written or is there already.
        """
        several = [files] if isinstance(files, str | os.PathLike) else files
        with quiet():
            from progressive_tf.scoring.output import refuse_output
            from progressive_tf.scoring.released import answer_files, columns_kept
            from progressive_tf.scoring.score import Asked
            from progressive_tf.scoring.versions import usual_columns
            from progressive_tf.training.notebook_display import shown_here

            refuse_output(Path(to))
            usual = usual_columns(self.record, Path(runs))
            paths, keep = [Path(file) for file in several], columns_kept(keep_columns)
            asked = Asked(paths, Path(to), keep, column, usual, probabilities)
            other = self._beside(against)
            self._refuse_damaged(self.record)
            with shown_here() as display:
                return answer_files(self._model, self.record, other, asked, Path(runs), display)

    def _beside(self, against: ReleasedVersion | int | str | None) -> Version | None:
        """Returns what the registry knows of the version that another is compared with, whose files are intact."""
        if against is None:
            return None
        if isinstance(against, ReleasedVersion):
            against._refuse_damaged(against.record)
            return against.record
        if self._model is None:
            raise InputError(f"against: {against!r}: an exported version has no others beside it; give a version")
        aliases = self._model.aliases()
        if isinstance(against, str) and against not in aliases:
            raise InputError(f"against: {unknown_name('alias', against, list(aliases))}")
        other = self._model.version(aliases[against] if isinstance(against, str) else against)
        self._refuse_damaged(other)
        return other

    def _refuse_damaged(self, record: Version) -> None:
        """Refuses files that are not those that were released; looks once, since it reads them all."""
        if self._model is not None and record.number not in self._intact:
            self._model.refuse_damaged(record)
            self._intact.add(record.number)

    @cached_property
    def _served(self) -> Predictor:
        self._refuse_damaged(self.record)
        with quiet():
            from progressive_tf.scoring.predictor import Predictor

            return Predictor(self.folder, self.manifest)

    def __repr__(self) -> str:
        names = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"<Version {self.record.model} {self.number}{names}: {self.run}/{self.stage}>"

    def _repr_html_(self) -> str:
        names = list(self.manifest.get("metrics", {}))[:8]
        figures = [(name, number_shown(name, metric(self.manifest, name))) for name in names]
        head = markup.heading(f"{self.record.model} version {self.number}", ", ".join(self.aliases))
        gives = self.record.task.answers.without_labels or f"classes {listed(self.manifest['labels'])}"
        origin = f"stage {self.stage} of run {self.run}; {gives}"
        shown = markup.table(("metric on test rows", "value"), figures) if figures else Markup("")
        return markup.framed(head + markup.paragraph(origin) + shown)


def number_shown(name: str, value: float | None) -> str:
    """Returns the value of a metric with as many decimals as it is shown with."""
    return wording.number(value, wording.decimals(name))
