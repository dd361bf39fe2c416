"""One version's folder: building it aside, proving it, sealing it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from progressive_tf.files import fsync, sha256_file, write_json
from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.staged import Forced, StagedVersion

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "saved_model.pb"
MANIFEST_FORMAT = 1
INCOMING_PREFIX = ".incoming-"

_WRITE_BITS = 0o222


@dataclass(frozen=True)
class Damage:
    """Something about a version that is not as it was when it was released.

    Args:
        version: the version's number.
        file: path inside the version's folder, "" for the folder itself.
        problem: what is wrong, e.g. "changed", "missing", "additional".
    """

    version: int
    file: str
    problem: str


def build_folder(folder: Path, staged: StagedVersion, number: int, forced: Forced | None) -> str:
    """Exports a stage into a new folder, describes it in manifest.json and flushes all of it to the disk.

    Args:
        folder: does not exist yet.
        staged: what to export.
        number: the version's number, written to the manifest.
        forced: why the gate was overruled, if it was.

    Returns:
        The SHA-256 of the manifest.

    Raises:
        RegistryError: what the exporter wrote is not a SavedModel, or holds links or a manifest.json.
    """
    folder.mkdir()
    staged.export(folder)
    files, strange = _listing(folder)
    if strange or MANIFEST_NAME in files:
        names = ", ".join([*strange, *(name for name in files if name == MANIFEST_NAME)])
        raise RegistryError(f"the export of stage {staged.stage!r} wrote {names}; only plain model files are kept")
    if MODEL_NAME not in files:
        raise RegistryError(f"the export of stage {staged.stage!r} wrote no {MODEL_NAME}; expected a SavedModel")
    manifest = {
        "format": MANIFEST_FORMAT,
        "model": staged.model,
        "version": number,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "run": staged.run,
        "stage": staged.stage,
        "task": staged.task,
        "input_kind": staged.input_kind,
        "parent": staged.parent,
        "weights_sha256": staged.weights_sha256,
        "plan_sha256": staged.plan_sha256,
        "data_sha256": staged.data_sha256,
        "code_sha256": staged.code_sha256,
        "labels": list(staged.labels),
        "normalize_labels": staged.normalize_labels,
        "additions": [dict(addition) for addition in staged.additions],
        "ensemble": staged.ensemble,
        **({} if staged.abstain is None else {"abstain": dict(staged.abstain)}),
        **({} if staged.costs is None else {"costs": {true: dict(of) for true, of in staged.costs.items()}}),
        **({} if staged.labels_before is None else {"labels_before": dict(staged.labels_before)}),
        **({} if staged.labels_file is None else {"labels_file": dict(staged.labels_file)}),
        "preprocessing": None if staged.preprocessing is None else dict(staged.preprocessing),
        "inputs": dict(staged.inputs),
        "metrics": dict(staged.metrics),
        "decision": dict(staged.decision),
        "release": None if staged.release is None else dict(staged.release),
        "forced": None if forced is None else {"reason": forced.reason},
        "environment": dict(staged.environment),
        "files": {name: sha256_file(folder / name) for name in files},
    }
    write_json(folder / MANIFEST_NAME, manifest)
    for path in _walk(folder):
        fsync(path)
    fsync(folder)
    return sha256_file(folder / MANIFEST_NAME)


def find_damage(folder: Path, number: int, manifest_sha256: str) -> tuple[Damage, ...]:
    """Returns what differs between a version's folder and what was released; nothing if it is intact.

    Args:
        folder: the version's folder.
        number: the version's number.
        manifest_sha256: hash of its manifest, from the journal. Where the manifest differs from it, its list of
            files cannot be trusted and only that is returned.
    """
    if folder.is_symlink():
        return (Damage(number, "", "a link; what it leads to can become something else"),)
    if not folder.is_dir():
        return (Damage(number, "", "missing"),)
    try:
        files, strange = _listing(folder)
        if MANIFEST_NAME not in files:
            return (Damage(number, MANIFEST_NAME, "missing"),)
        if sha256_file(folder / MANIFEST_NAME) != manifest_sha256:
            return (Damage(number, MANIFEST_NAME, "changed"),)
        expected = (read_manifest(folder, manifest_sha256) or {}).get("files")
        if not isinstance(expected, dict):
            return (Damage(number, MANIFEST_NAME, "not a manifest: it lists no files"),)
    except OSError as error:
        return (Damage(number, "", f"cannot be read: {error}"),)
    damages = [Damage(number, name, "a link or special file") for name in strange]
    for name in sorted({*files, *expected} - {MANIFEST_NAME}):
        problem = _file_problem(folder / name, expected.get(name), name in files)
        if problem and name not in strange:
            damages.append(Damage(number, name, problem))
    return tuple(damages)


def _file_problem(path: Path, expected: str | None, present: bool) -> str | None:
    if expected is None:
        return "additional"
    if not present:
        return "missing"
    try:
        return None if sha256_file(path) == expected else "changed"
    except OSError as error:
        return f"cannot be read: {error}"


def read_manifest(folder: Path, sha256: str) -> Mapping[str, Any] | None:
    """Returns a version's manifest, or None where it is missing, broken or another one (`find_damage` says more).

    Args:
        folder: the version's.
        sha256: hash of the manifest, from the journal.
    """
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
        manifest = json.loads(content) if hashlib.sha256(content).hexdigest() == sha256 else None
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def is_asked_for(folder: Path, name: str) -> bool:
    """Whether a version's callers give it an input of this name, as its SavedModel calls what it is served with."""
    try:
        return f"serving_default_{name}:0".encode() in (folder / MODEL_NAME).read_bytes()
    except OSError:
        return False


def seal_folder(folder: Path) -> None:
    """Takes the right to write from everything in a folder."""
    for path in _walk(folder):
        path.chmod(path.stat().st_mode & ~_WRITE_BITS)
    folder.chmod(folder.stat().st_mode & ~_WRITE_BITS)


def remove_folder(folder: Path) -> None:
    """Removes a folder that never became a version, sealed or not; a missing one is fine, and a link goes alone."""
    if folder.is_symlink():
        folder.unlink()
    if not folder.exists():
        return
    for current, _, _ in os.walk(folder):
        Path(current).chmod(0o700)
    shutil.rmtree(folder)


def _walk(folder: Path) -> Iterator[Path]:
    """Yields everything inside a folder, what lies deeper first."""
    for current, folders, files in os.walk(folder, topdown=False, onerror=_raise):
        for name in [*files, *folders]:
            yield Path(current, name)


def _raise(error: OSError) -> None:
    raise error


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the plain files of a folder and whatever is neither a file nor a folder, as sorted relative paths."""
    plain, strange = [], []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            strange.append(name)
        elif path.is_file():
            plain.append(name)
    return sorted(plain), sorted(strange)
