"""From a name in a plan to the files it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from progressive_tf.assets import find, is_asset, locate
from progressive_tf.assets.catalogue import catalogue
from progressive_tf.assets.entry import Asset, Reading
from progressive_tf.data.answers import TRUTHS, Truth
from progressive_tf.data.kinds import INPUT_KINDS, InputKind
from progressive_tf.data.normalise import InputFile
from progressive_tf.data.readers import BINARY_SUFFIXES, SENTENCE_READERS
from progressive_tf.data.readers.batch import TEST, TRAIN, VALIDATION, Reader
from progressive_tf.data.readers.delimited import DelimitedReader
from progressive_tf.data.readers.image_files import images_reader
from progressive_tf.data.readers.image_folder import Folders
from progressive_tf.data.readers.orange_tab import OrangeTabReader
from progressive_tf.data.readers.parquet import read_parquet
from progressive_tf.data.readers.pixel_rows import PixelRowsReader
from progressive_tf.data.readers.rated_sentences import RatedSentencesReader
from progressive_tf.data.remarks import Remark
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.tasks import TASKS, Task


@dataclass(frozen=True)
class Resolved:
    """A source's name and files, remarks on what of it is not used, and what was decided about it, a sentence each."""

    name: str
    files: tuple[InputFile, ...]
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()


def resolve(name_or_path: str, base: Path, place: str, task: Task, folders: Folders | None = None) -> Resolved:
    """Returns the files behind an asset's name or a path.

    Args:
        name_or_path: as written in the plan.
        base: the folder that relative paths start from.
        place: where it stands in the plan; errors begin with it.
        task: says what rows are to be.
        folders: what the folders of a folder of images are; None finds out.

    Raises:
        InputError: no asset and no file of a known kind has this name, or a folder can be read in two ways.
    """
    kind, truth = INPUT_KINDS[task.inputs], TRUTHS[task.answers.name]
    if is_asset(name_or_path):
        _refuse_folders(folders, name_or_path, place)
        return _asset(find(name_or_path), place, kind, truth)
    path = base / name_or_path
    try:
        path = base / Path(name_or_path).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        formats = _formats(kind, truth)
        names = [name for name, asset in catalogue().items() if asset.reading and asset.format in formats]
        hint = f"; {unknown_name('asset', name_or_path, names)}" if path.suffix.lower() not in kind.readers else ""
        raise InputError(f"{place}: there is no file {path}{hint}") from None
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a zero byte, an unknown ~user
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{place}: {path} cannot be read: {reason}") from None
    if path.is_dir():
        return _folder(path, place, kind, truth, folders)
    _refuse_folders(folders, path.name, place)
    return Resolved(path.name, (_file(path, path.name, place, kind, truth),))


def _refuse_folders(folders: Folders | None, name: str, place: str) -> None:
    if folders is not None and place == "data.source":
        raise InputError(f"data.folders: {name} is no folder of images; drop it")


def _folder(path: Path, place: str, kind: InputKind, truth: type[Truth], folders: Folders | None) -> Resolved:
    if kind.folder is None:
        parts = [_file(part, f"{path.name}/{part.name}", place, kind, truth) for part in _parts(path, place, kind)]
        return Resolved(path.name, tuple(replace(file, may_be_empty=len(parts) > 1) for file in parts))
    image_folder = kind.folder(path, place, folders)
    files = [
        InputFile(
            path / part.folder,
            f"{path.name}/{part.folder}".rstrip("/"),
            kind.reader(part.listing),
            "image folder",
            part.code,
            truth=truth,
            sha256=kind.sha256(part.listing),
        )
        for part in image_folder.parts
    ]
    return Resolved(path.name, tuple(files), image_folder.remarks, image_folder.notes)


def _parts(folder: Path, place: str, kind: InputKind) -> list[Path]:
    """Returns the files of a folder that holds one table in parts, as Spark, Dask and Arrow write it."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    shown = [entry for entry in entries if not entry.name.startswith((".", "_"))]
    divided = next((entry.name for entry in shown if entry.is_dir() and "=" in entry.name), None)
    if divided is not None:
        raise InputError(
            f"{place}: {folder}: the table is divided by a column, whose values are names of folders ({divided}); "
            f"write it without (in Spark, leave partitionBy out), or as one file"
        )
    parts = [entry for entry in shown if entry.name.startswith("part") and entry.is_file() and entry.stat().st_size]
    suffixes = {part.suffix.lower() for part in parts}
    if not parts or len(suffixes) > 1 or any(entry.is_dir() for entry in shown):
        raise InputError(
            f"{place}: {folder} is a folder; name a file ({', '.join(kind.readers)}), or a folder with the parts of "
            f"one table (part-00000.csv and so on, with one suffix), or set task: image-classification"
        )
    return parts


def _file(path: Path, name: str, place: str, kind: InputKind, truth: type[Truth]) -> InputFile:
    suffix = path.suffix.lower()
    if suffix not in kind.readers:
        raise InputError(f"{place}: {name}: {_wrong_suffix(suffix, kind)}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{place}: {path} cannot be read: {error.strerror}") from error
    listing = kind.readers[suffix]
    return InputFile(
        path,
        name,
        kind.reader(listing),
        " in ".join(filter(None, (truth.form, kind.form, suffix))),
        binary=suffix in BINARY_SUFFIXES,
        truth=truth,
        sha256=kind.sha256(listing),
    )


_WAYS_OUT = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "a workbook is not read; save its sheet as CSV in UTF-8"),
    **dict.fromkeys(
        (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".rar"),
        "an archive, or compressed; unpack it, and name the file or the folder that comes out",
    ),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro"), "it is not read; write the table as Parquet"),
    **dict.fromkeys((".pkl", ".pickle", ".h5", ".npz", ".npy"), "it is not read; write the table as Parquet"),
}


def _wrong_suffix(suffix: str, kind: InputKind) -> str:
    if suffix in kind.advice:
        return kind.advice[suffix]
    if suffix in _WAYS_OUT:
        return f"{_WAYS_OUT[suffix]}; known: {', '.join(kind.readers)}"
    tasks = [name for name, task in TASKS.items() if suffix in INPUT_KINDS[task.inputs].readers]
    elsewhere = f"; task {tasks[0]} reads it" if len(tasks) == 1 else "; other tasks read it" if tasks else ""
    return unknown_name("file suffix", suffix, kind.readers) + elsewhere


def _formats(kind: InputKind, truth: type[Truth]) -> set[str]:
    """Returns the formats of assets that can be read as this kind of rows and of answers."""
    readable = set(_ASSET_READERS.get(kind.name, ()))
    of_others = {name for other in TRUTHS.values() for name in other.asset_formats}
    return readable & truth.asset_formats if truth.asset_formats else readable - of_others


def _asset(asset: Asset, place: str, kind: InputKind, truth: type[Truth]) -> Resolved:
    if asset.reading is None or asset.format not in _formats(kind, truth):
        raise InputError(f"{place}: {asset.name} is {asset.title}; expected {truth.expected.format(rows=kind.rows)}")
    reader = _ASSET_READERS[kind.name][asset.format](asset.reading)
    folder = locate(asset.name)
    forms = (kind.form, "" if truth.asset_formats else truth.form)
    files = tuple(
        InputFile(
            folder / file,
            f"{asset.name}/{file}",
            reader,
            f"{asset.name}/{' as '.join(filter(None, (asset.format, *forms)))}",
            _PARTS[part],
            binary=asset.format in _BINARY_FORMATS,
            truth=truth,
        )
        for part, file in sorted(asset.reading.parts.items(), key=lambda item: _PARTS[item[0]])
    )
    return Resolved(asset.name, files)


def _renamed(reading: Reading) -> dict[str, str]:
    pairs = ((reading.text, "text"), (reading.label, "label"))
    return {name: usual for name, usual in pairs if name is not None}


def _rated_sentences(reading: Reading) -> Reader:
    columns, rating, neutral, labels = reading.columns, reading.rating, reading.neutral, reading.labels
    if columns is None or rating is None or neutral is None or labels is None:
        raise InputError("the catalogue says no columns, rating, neutral or labels for a set of rated sentences")
    return RatedSentencesReader(columns, rating, neutral, labels, _renamed(reading))


def _pixel_rows(reading: Reading, as_images: bool = False) -> Reader:
    if reading.image is None or reading.pixel_maximum is None:
        raise InputError("the catalogue says no image or pixel_maximum for a set of pixels")
    return PixelRowsReader(reading.image, reading.pixel_maximum, as_images)


_BINARY_FORMATS = frozenset({"mnist-csv", "sklearn-digits", "image-parquet"})
_PARTS = {"all": -1, "train": TRAIN, "validation": VALIDATION, "test": TEST}
_ROW_READERS: dict[str, Callable[[Reading], Reader]] = {
    "csv": lambda reading: DelimitedReader(",", _renamed(reading)),
    "csv-split": lambda reading: DelimitedReader(",", _renamed(reading)),
    "orange-tab": lambda reading: OrangeTabReader(_renamed(reading)),
    "rated-sentences": _rated_sentences,
    "mnist-csv": _pixel_rows,
    "sklearn-digits": _pixel_rows,
}
_IMAGE_READERS: dict[str, Callable[[Reading], Reader]] = {
    **{name: partial(_pixel_rows, as_images=True) for name in ("mnist-csv", "sklearn-digits")},
    "image-parquet": lambda reading: images_reader(read_parquet),
}
_ASSET_READERS: dict[str, dict[str, Callable[[Reading], Reader]]] = {
    "texts": _ROW_READERS | {"csv-pairs": lambda _: DelimitedReader(",")},
    "words": {"conll": lambda _: SENTENCE_READERS[".conll"]},
    "images": _IMAGE_READERS,
    "columns": _ROW_READERS,
}
"""By the kind of input, and by the asset's format."""
