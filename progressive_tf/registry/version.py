"""What the registry knows about one released version."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from progressive_tf.plan.tasks import TASKS, Inputs, Task
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
        """Returns the content of manifest.json, or None where it is missing or broken."""
        return read_manifest(self.folder)

    @property
    def task(self) -> Task:
        """What it answers, and what follows from that."""
        return task_of(self.manifest() or {})


def task_of(manifest: Mapping[str, Any], inputs: Collection[str] = ()) -> Task:
    """Returns the task of a version; where its manifest is older than that key, what it has tells.

    Args:
        manifest: content of its manifest.json.
        inputs: names of the inputs that it is served with, where they are known; they tell more of an old manifest.
    """
    return TASKS.get(str(manifest.get("task"))) or TASKS[_inferred(manifest, inputs)]


def input_kind_of(manifest: Mapping[str, Any], inputs: Collection[str] = ()) -> Inputs:
    """Returns what a row is for a version; the arguments are those of `task_of`."""
    if manifest.get("input_kind") in get_args(Inputs):
        return manifest["input_kind"]
    kind = task_of(manifest, inputs).inputs
    return "vectors" if kind == "columns" and not manifest.get("preprocessing") else kind


def _inferred(manifest: Mapping[str, Any], inputs: Collection[str]) -> str:
    labels, facts = manifest.get("labels"), manifest.get("inputs")
    if labels == []:
        return "translation"
    if labels and labels[0] == "O" and all(label[:2] in ("B-", "I-") for label in labels[1:]):
        return "token-classification"
    if manifest.get("preprocessing") or "features" in inputs:
        return "tabular-classification"
    if "image" in inputs or (facts and "size" in facts):
        return "image-classification"
    # Rows of numbers are those of which a caller has to know nothing.
    return "text-classification" if facts or facts is None or "text" in inputs else "tabular-classification"
