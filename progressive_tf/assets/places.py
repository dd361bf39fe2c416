"""Where assets stand: the user's own folders, installed modules, the samples, the cache."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import progressive_tf
from progressive_tf.assets.entry import Asset, AssetFile, InstalledFile, SampleFile
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import sha256_file

FOLDERS_VARIABLE = "PROGRESSIVE_TF_ASSETS"
CACHE_VARIABLE = "PROGRESSIVE_TF_CACHE"
SAMPLES = "data_samples"


@dataclass(frozen=True)
class Place:
    """A folder in which an asset's files may stand; only what is in the cache is written by this package."""

    kind: Literal["own", "installed", "samples", "cache"]
    folder: Path


@dataclass(frozen=True)
class Damage:
    """A file that is missing (`found` is None) or has another hash than the catalogue says."""

    path: Path
    expected: str
    found: str | None

    def __str__(self) -> str:
        return f"{self.path}: expected sha256 {self.expected}, found {self.found or 'no file'}"


def cache_root() -> Path:
    """Returns the folder of the cache: PROGRESSIVE_TF_CACHE, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("progressive_tf"))


def cache_folder(asset: Asset) -> Path:
    """Returns the folder that an asset has, or would have, in the cache."""
    return cache_root() / "assets" / asset.name


def places(asset: Asset) -> Iterator[Place]:
    """Yields where an asset is looked for, in order: the user's folders, then where it is at home."""
    for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep):
        if folder:
            yield Place("own", Path(folder).expanduser().absolute() / asset.name)
    source = asset.files[0].sources[0]
    if isinstance(source, SampleFile):
        yield Place("samples", samples_folder())
    elif isinstance(source, InstalledFile):
        yield Place("installed", installed_folder(source))
    else:
        yield Place("cache", cache_folder(asset))


def why_not_own(asset: Asset) -> list[str]:
    """Returns for each of the user's folders why an asset is not found in it; nothing where none are named."""
    reasons = []
    for folder in (place.folder.parent for place in places(asset) if place.kind == "own"):
        if not folder.is_dir():
            reasons.append(f"there is no folder {folder}")
        elif len(missing_files(asset, folder)) < len(asset.files):
            reasons.append(f"{folder} has its files, but not in a folder {asset.name}; name the folder above")
        elif not (folder / asset.name).is_dir():
            reasons.append(f"{folder} has no folder {asset.name}")
        else:
            reasons.append(f"{folder / asset.name} has none of its files")
    return reasons


def samples_folder() -> Path:
    """Returns `data_samples/`: in the package where that was built and installed, beside it in a clone."""
    package = Path(progressive_tf.__file__).parent
    installed = package / SAMPLES
    return installed if installed.is_dir() else package.parent / SAMPLES


def installed_folder(source: InstalledFile) -> Path:
    """Returns the folder of a module's file without importing the module; it need not exist."""
    spec = importlib.util.find_spec(source.module)
    home = Path(spec.origin).parent if spec is not None and spec.origin else Path(source.module)
    return (home / source.path).parent


def missing_files(asset: Asset, folder: Path) -> list[AssetFile]:
    """Returns the files of an asset that do not stand in `folder`."""
    return [file for file in asset.files if not (folder / file.name).is_file()]


def find_place(asset: Asset) -> Place | None:
    """Returns the first place that holds at least one file of an asset; hashes are not looked at."""
    return next(present_places(asset), None)


def present_places(asset: Asset) -> Iterator[Place]:
    """Yields, in order, the places that hold at least one file of an asset."""
    for place in places(asset):
        if len(missing_files(asset, place.folder)) < len(asset.files):
            yield place


def damages(asset: Asset, folder: Path) -> list[Damage]:
    """Returns what is wrong with an asset's files in `folder`, in the catalogue's order; reads every byte."""
    damaged = []
    for file in asset.files:
        path = folder / file.name
        digest = sha256_file(path) if path.is_file() else None
        if digest != file.sha256:
            damaged.append(Damage(path, file.sha256, digest))
    return damaged


TIMEOUT_SECONDS = 30


def download(url: str, target: Path) -> None:
    """Downloads `url` to `target`.

    Raises:
        ProgressiveError: if there is no network, the server refuses, or the body ends early.
        OSError: if the disk is full.
    """
    import requests
    from pooch import HTTPDownloader

    downloader = HTTPDownloader(timeout=TIMEOUT_SECONDS, chunk_size=1 << 16)
    try:
        downloader(url, str(target), None)
    except requests.exceptions.HTTPError as error:
        raise ProgressiveError(f"{url}: the server answered with an error ({error})") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise ProgressiveError(f"{url}: truncated, {target.stat().st_size:,} bytes came before it broke off") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise ProgressiveError(f"{url}: no network, or the server does not answer") from error
    except requests.exceptions.RequestException as error:
        raise ProgressiveError(f"{url}: {error}") from error
