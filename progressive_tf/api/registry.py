"""Released versions in Python: which there are, and what they answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.api.quiet import quiet
from progressive_tf.errors import InputError, ProgressiveError, listed
from progressive_tf.registry.history import PREVIOUS, STABLE
from progressive_tf.registry.store import Registry as RegistryFolder
from progressive_tf.registry.tables import metric, version_record
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.reporting import wording

if TYPE_CHECKING:
    from progressive_tf.scoring.predictor import Predictor


class ReleasedVersion:
    """A released version.

    Args:
        record: what the registry knows about it.

    Attributes:
        number: counts from 1; a lower number is an earlier version.
        folder: holds the SavedModel and manifest.json.
        stage: the stage that it was.
        run: the run's id.
        aliases: the names that point to it.
    """

    def __init__(self, record: Version) -> None:
        self.record = record
        self.number, self.folder, self.aliases = record.number, record.folder, record.aliases
        self.stage, self.run = record.stage, record.run

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

    @cached_property
    def _served(self) -> Predictor:
        with quiet():
            from progressive_tf.scoring.predictor import Predictor

            return Predictor(self.folder, self.manifest)

    def __repr__(self) -> str:
        names = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"<Version {self.record.model} {self.number}{names}: {self.run}/{self.stage}>"

    def _repr_html_(self) -> str:
        names = list(self.manifest.get("metrics", {}))[:8]
        figures = [(name, _number(name, metric(self.manifest, name))) for name in names]
        head = markup.heading(f"{self.record.model} version {self.number}", ", ".join(self.aliases))
        gives = self.record.task.answers.without_labels or f"classes {listed(self.manifest['labels'])}"
        origin = f"stage {self.stage} of run {self.run}; {gives}"
        shown = markup.table(("metric on test rows", "value"), figures) if figures else Markup("")
        return markup.framed(head + markup.paragraph(origin) + shown)


class Model:
    """The versions of one model.

    Args:
        versions: its part of the registry.
    """

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions
        self.name = versions.name
        versions.settle()

    @property
    def versions(self) -> list[ReleasedVersion]:
        """Every version, by number."""
        return [ReleasedVersion(record) for record in self._versions.versions()] if self._versions.exists else []

    def version(self, number: int) -> ReleasedVersion:
        """Returns one version.

        Raises:
            InputError: there is none with this number.
        """
        return ReleasedVersion(self._versions.version(number))

    def stable(self) -> ReleasedVersion:
        """Returns the version that is in use.

        Raises:
            InputError: there is none.
        """
        return self._pointed_to(STABLE, "no gate has promoted a stage of it yet")

    def previous(self) -> ReleasedVersion:
        """Returns what was stable before.

        Raises:
            InputError: there is none.
        """
        return self._pointed_to(PREVIOUS, "nothing was stable before")

    def frame(self) -> pd.DataFrame:
        """Returns a row for each version: aliases, when it was released, run, stage, test accuracy."""
        records = [version_record(version.record) for version in self.versions]
        columns = ["version", "aliases", "created", "run", "stage", "forced", "accuracy"]
        return pd.DataFrame(records, columns=columns).set_index("version")

    def _pointed_to(self, alias: str, why: str) -> ReleasedVersion:
        number = self._versions.aliases().get(alias) if self._versions.exists else None
        if number is None:
            there = ", ".join(str(version.number) for version in self.versions) or "none"
            raise InputError(
                f"{self.name} has no {alias} version: {why}. Versions: {there}. What a gate decided stands in "
                f"run.stages[0].decision"
            )
        return self.version(number)

    def __repr__(self) -> str:
        return f"Model({self.name}: {len(self.versions)} versions)"

    def _repr_html_(self) -> str:
        rows = [_cells(version) for version in self.versions]
        return markup.framed(markup.heading(self.name) + markup.table(_HEADINGS[1:], [row[1:] for row in rows]))


class Registry:
    """Released versions of every model in a folder.

    Args:
        folder: the registry's.
    """

    def __init__(self, folder: str | os.PathLike[str] = "registry") -> None:
        self._registry = RegistryFolder(Path(folder))

    @property
    def models(self) -> list[Model]:
        """Every model, by name.

        Raises:
            InputError: the folder does not exist.
        """
        return [Model(versions) for versions in self._registry.models()]

    def model(self, name: str) -> Model:
        """Returns the versions of one model; its name is its plan's.

        Raises:
            InputError: there is none with this name, or no registry.
        """
        return Model(self._registry.existing_model(name))

    def __repr__(self) -> str:
        return f"Registry({self._registry.root})"

    def _repr_html_(self) -> str:
        rows = [_cells(version) for model in self.models for version in model.versions]
        return markup.framed(markup.table(_HEADINGS, rows))


_HEADINGS = ("model", "version", "aliases", "released (UTC)", "stage", "run", "on test rows")


def _cells(version: ReleasedVersion) -> list[object]:
    record = version.record
    return [
        record.model,
        str(record.number),
        ", ".join(record.aliases),
        Markup("{}").format(record.created[:19].replace("T", " ")),
        f"{record.stage} (forced)" if record.forced else record.stage,
        Markup("{}").format(record.run),
        _tested(record),
    ]


def _tested(record: Version) -> str:
    """Returns the metric of the version's task, with its value; a dash where none is recorded."""
    name = record.task.answers.matrix_metric
    value = metric(record.manifest(), name)
    return wording.NOT_RECORDED if value is None else f"{wording.metric_words(name)} {_number(name, value)}"


def _number(name: str, value: float | None) -> str:
    return wording.number(value, wording.decimals(name))
