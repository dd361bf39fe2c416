"""Which version answers: one of a registry, or one that was exported to a folder."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.files import sha256_file
from progressive_tf.monitoring.origin import find_run
from progressive_tf.registry import ModelVersions, Registry, Version
from progressive_tf.registry.folder import MANIFEST_NAME, find_damage, read_manifest
from progressive_tf.registry.history import STABLE
from progressive_tf.registry.keys import refuse_unsigned_folder
from progressive_tf.training.run.run_folder import RunFolder


def usual_columns(version: Version, runs: Path) -> tuple[str, ...]:
    """Returns how the plan of a version calls its column of texts, or of images' paths; none where its run is gone."""
    run = find_run(version, runs)
    if run is None:
        return ()
    data = RunFolder(run).plan().data
    return data.text, data.image


def find_version(
    name: str, asked: str, registry: Path, option: str = "--version"
) -> tuple[ModelVersions | None, Version]:
    """Returns a version whose files are as they were released, and its model where it stands in a registry.

    Args:
        name: of a model, or the folder of an exported version.
        asked: a number, or an alias.
        registry: the folder.
        option: by which it was asked for.

    Raises:
        InputError: there is no such version, or it is damaged.
    """
    if (Path(name) / MANIFEST_NAME).is_file():
        if asked != STABLE:
            raise InputError(f"{option} {asked}: {name} is an exported version, and the only one there; drop it")
        return None, exported_version(Path(name))
    inside = sorted(Path(name).glob(f"models/*/*/{MANIFEST_NAME}"))
    if inside:
        raise InputError(f"{name}: name the folder of the version in it: {inside[0].parent}")
    model = Registry(registry).existing_model(name)
    aliases = model.aliases()
    if not asked.isdecimal() and asked not in aliases:
        known = [*aliases, *(str(version.number) for version in model.versions())]
        raise InputError(f"{name}: {unknown_name('version or alias', asked, known)}")
    version = model.version(int(asked) if asked.isdecimal() else aliases[asked])
    model.refuse_damaged(version)
    return model, version


def exported_version(folder: Path) -> Version:
    """Returns a version that was exported to a folder; InputError where none is in it, or its files have changed."""
    if not (folder / MANIFEST_NAME).is_file():
        raise InputError(f"{folder}: no exported version: {MANIFEST_NAME} is not in it")
    refuse_unsigned_folder(folder)
    sha256 = sha256_file(folder / MANIFEST_NAME)
    manifest = read_manifest(folder, sha256) or {}
    number = int(manifest.get("version", 0))
    # What stands beside its files, as warm-up requests do, changes no answer.
    damage = [one for one in find_damage(folder, number, sha256) if one.problem != "additional"]
    if damage:
        raise InputError(f"{folder}: {damage[0].file or 'its folder'} {damage[0].problem}; export the version again")
    names = (str(manifest.get(key, "")) for key in ("model", "run", "stage", "weights_sha256"))
    model, run, stage, weights = names
    return Version(model, number, folder, run, stage, weights, sha256, "", "", False, ())
