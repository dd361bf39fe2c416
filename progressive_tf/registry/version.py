"""What the registry knows about one released version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.plan.tasks import Task, task_of_version
from progressive_tf.registry.folder import read_manifest


@dataclass(frozen=True)
class Version:
    """One released version.

    Args:
        model: the model's name.
        number: counts from 1; a lower number is an earlier version.
        folder: holds the SavedModel and manifest.json.
        run: the run's id.
        stage: the stage's name.
        weights_sha256: hash of the trained weights.
        manifest_sha256: hash of manifest.json, from the journal.
        token: what its entries in the journal share.
        created: when it was released; ISO 8601, UTC.
        forced: True where a person overruled the gate.
        aliases: the names that point to it now.
    """

    model: str
    number: int
    folder: Path
    run: str
    stage: str
    weights_sha256: str
    manifest_sha256: str
    token: str
    created: str
    forced: bool
    aliases: tuple[str, ...]

    def manifest(self) -> Mapping[str, Any] | None:
        """Returns the content of manifest.json, or None where it is missing, broken or not the one of the journal."""
        return read_manifest(self.folder, self.manifest_sha256)

    @property
    def task(self) -> Task:
        """What it answers, and what follows from that."""
        return task_of_version(self.manifest() or {})


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_model_name(name: str) -> str:
    """Returns `name` if it can name a model: 1 to 64 letters, digits, `.`, `_`, `-`, the first a letter or digit.

    Raises:
        InputError: it cannot, for instance because it would lead out of the registry.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name {name!r}: expected 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return name
