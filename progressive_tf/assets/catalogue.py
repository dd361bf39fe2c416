"""The catalogue of assets, read from catalogue.yaml."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from progressive_tf.assets.entry import Asset
from progressive_tf.errors import InputError, unknown_name

CATALOGUE_FILE = Path(__file__).with_name("catalogue.yaml")


@functools.cache
def catalogue() -> Mapping[str, Asset]:
    """Returns every known asset by name."""
    return read_catalogue(CATALOGUE_FILE)


def read_catalogue(path: Path) -> Mapping[str, Asset]:
    """Returns the assets of a catalogue file by name.

    Args:
        path: a YAML file with `artefacts` (package name → version, file, sha256, bytes) and `assets` (name → the
            fields of `Asset`); a source of kind `package` names its artefact by the key under `artefacts`.

    Raises:
        pydantic.ValidationError: if an entry is not as `Asset` says.
    """
    from ruamel.yaml import YAML

    content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    artefacts = {name: {"package": name, **fields} for name, fields in content["artefacts"].items()}
    assets = {
        name: Asset.model_validate({"name": name, **fields, "files": _with_artefacts(fields["files"], artefacts)})
        for name, fields in content["assets"].items()
    }
    return MappingProxyType(assets)


def _with_artefacts(files: list[dict[str, Any]], artefacts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **file,
            "sources": [
                {**source, "artefact": artefacts[source["artefact"]]} if source["kind"] == "package" else source
                for source in file["sources"]
            ],
        }
        for file in files
    ]


def is_asset(name: str) -> bool:
    """Returns whether the catalogue has an asset of this name."""
    return name in catalogue()


def find(name: str) -> Asset:
    """Returns the asset of this name.

    Raises:
        InputError: if there is none; the message lists the known ones, nearest first.
    """
    if not is_asset(name):
        raise InputError(unknown_name("asset", name, catalogue()))
    return catalogue()[name]
