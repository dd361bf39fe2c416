"""Released versions in Python: which there are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from progressive_tf.api import markup
from progressive_tf.api.released_version import ReleasedVersion, number_shown
from progressive_tf.errors import InputError
from progressive_tf.registry.history import PREVIOUS, STABLE
from progressive_tf.registry.store import Registry as RegistryFolder
from progressive_tf.registry.tables import metric, version_record
from progressive_tf.registry.version import Version
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.reporting import wording

if TYPE_CHECKING:
    pass


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
        return (
            [ReleasedVersion(record, self._versions) for record in self._versions.versions()]
            if self._versions.exists
            else []
        )

    def version(self, number: int) -> ReleasedVersion:
        """Returns one version.

        Raises:
            InputError: there is none with this number.
        """
        return ReleasedVersion(self._versions.version(number), self._versions)

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

    @staticmethod
    def exported(folder: str | os.PathLike[str]) -> ReleasedVersion:
        """Returns a version that was exported to a folder, with no registry.

        Raises:
            InputError: there is none in it, or its files are not those that were released.
        """
        from progressive_tf.scoring.versions import exported_version

        return ReleasedVersion(exported_version(Path(folder)))

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
    return wording.NOT_RECORDED if value is None else f"{wording.metric_words(name)} {number_shown(name, value)}"
