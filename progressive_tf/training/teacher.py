"""The model that a stage is distilled from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.retention_methods import Distill
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.versions import ModelVersions


def find_teacher(settings: Distill, versions: ModelVersions, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the folder of a teacher and its classes.

    Args:
        settings: the plan's section.
        versions: of the plan's model.
        folder: where relative paths start from.

    Raises:
        InputError: there is no such teacher, or it is damaged.
    """
    place = f"retention.distill.teacher: {settings.teacher}"
    if isinstance(settings.teacher, str) and settings.teacher != "stable":
        return _exported(folder / settings.teacher, place)
    number = versions.aliases().get("stable") if settings.teacher == "stable" else settings.teacher
    if number is None:
        raise InputError(f"{place}: {versions.name} has no stable version yet; name a version or an exported folder")
    try:
        version = versions.version(int(number))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    damage = find_damage(version.folder, version.number, version.manifest_sha256)
    if damage:
        raise InputError(f"{place}: version {number} is damaged ({damage[0].file}: {damage[0].problem}); name another")
    return _exported(version.folder, place)


def _exported(folder: Path, place: str) -> tuple[Path, tuple[str, ...]]:
    expected = ("saved_model.pb", "manifest.json", "variables/variables.index")
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{place}: {folder} holds no exported version; {missing[0]} is missing")
    try:
        manifest: dict[str, Any] = read_json(folder / "manifest.json")
        return folder, tuple(manifest["labels"])
    except (DamagedRecordError, KeyError, TypeError):
        raise InputError(f"{place}: {folder}/manifest.json is not a version's, or damaged; export it again") from None
