"""From an asset's name to a folder with its verified files."""

from __future__ import annotations

import logging
from pathlib import Path

from progressive_tf.assets.catalogue import find
from progressive_tf.assets.entry import Asset
from progressive_tf.assets.fetch import by_hand, fetch
from progressive_tf.assets.places import FOLDERS_VARIABLE, Place, damages, find_place, missing_files, why_not_own
from progressive_tf.errors import InputError

log = logging.getLogger(__name__)


def locate(name: str, *, download: bool = True) -> Path:
    """Returns the folder that holds an asset's files, each with the hash the catalogue names.

    Looked up in the folders of PROGRESSIVE_TF_ASSETS (`<folder>/<name>/<file>`), then in the cache, then downloaded
    into the cache. Every call reads and hashes all files, about 0.1 s for 90 MB.

    Args:
        name: a name in the catalogue.
        download: whether an asset that is nowhere may be fetched.

    Raises:
        InputError: if there is no such asset, or what is there is damaged, or it is nowhere and `download` is false.
        ProgressiveError: if it cannot be fetched.
    """
    asset = find(name)
    place = find_place(asset)
    if place is None or (place.kind == "cache" and missing_files(asset, place.folder)):
        return _fetched(asset, download=download)
    return _checked(asset, place)


def provide(asset: Asset) -> Path:
    """As `locate`, but a damaged copy in the cache is replaced: the user asked for a download.

    Raises:
        InputError: if the asset stands in a folder that this package does not write, and is damaged there.
        ProgressiveError: if it cannot be fetched.
    """
    place = find_place(asset)
    if place is None or place.kind == "cache":
        return _fetched(asset, download=True)
    return _checked(asset, place)


def _checked(asset: Asset, place: Place) -> Path:
    try:
        damaged_files = damages(asset, place.folder)
    except OSError as error:
        raise InputError(f"asset {asset.name!r} in {place.folder} cannot be read: {error}") from error
    if damaged_files:
        listed = "; ".join(map(str, damaged_files))
        raise InputError(f"asset {asset.name!r} is damaged: {listed}. {_remedy(asset, place)}")
    return place.folder


def _fetched(asset: Asset, *, download: bool) -> Path:
    kind = asset.files[0].sources[0].kind
    if kind == "samples":
        raise InputError(
            f"asset {asset.name!r} comes with the package, in data_samples/, and is not there; install the package "
            "again, or restore data_samples/ in the clone"
        )
    if kind == "installed":
        raise InputError(f"asset {asset.name!r} is {asset.files[0].sources[0]}, which is not there; install it")
    if not download:
        raise InputError(
            f"asset {asset.name!r} is neither in {FOLDERS_VARIABLE} nor in the cache; "
            f"run `python -m progressive_tf.assets fetch {asset.name}`"
        )
    if reasons := why_not_own(asset):
        log.info("asset %s is not in %s: %s", asset.name, FOLDERS_VARIABLE, "; ".join(reasons))
    return fetch(asset)


def _remedy(asset: Asset, place: Place) -> str:
    if place.kind == "cache":
        return f"Fetch it again: `python -m progressive_tf.assets fetch {asset.name}`"
    if place.kind == "own":
        return f"Remove {place.folder} or put the right files there. {by_hand(asset)}"
    if place.kind == "samples":
        return "Install the package again; in a clone restore the file, or run data_samples/generate.py"
    return "Install the version of the package that the requirements name"
