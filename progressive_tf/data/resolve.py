"""From a name in a plan to the files it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from progressive_tf.assets import find, is_asset, locate
from progressive_tf.assets.catalogue import catalogue
from progressive_tf.assets.entry import Asset, Reading
from progressive_tf.data.images import SUFFIXES as IMAGE_SUFFIXES
from progressive_tf.data.normalise import InputFile
from progressive_tf.data.readers import BINARY_SUFFIXES, READERS, SENTENCE_READERS
from progressive_tf.data.readers.batch import TEST, TRAIN, VALIDATION, Reader
from progressive_tf.data.readers.delimited import delimited_reader
from progressive_tf.data.readers.image_files import images_reader, images_sha256
from progressive_tf.data.readers.image_folder import FolderPart, Folders, read_image_folder
from progressive_tf.data.readers.orange_tab import orange_tab_reader
from progressive_tf.data.readers.parquet import read_parquet
from progressive_tf.data.readers.pixel_rows import pixel_rows_reader
from progressive_tf.data.readers.rated_sentences import rated_sentences_reader
from progressive_tf.data.remarks import Remark
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.tasks import Reads


@dataclass(frozen=True)
class Resolved:
    """A source's name and files, remarks on what of it is not used, and what was decided about it, a sentence each."""

    name: str
    files: tuple[InputFile, ...]
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()


def resolve(
    name_or_path: str, base: Path, place: str, reads: Reads = "rows", folders: Folders | None = None
) -> Resolved:
    """Returns the files behind an asset's name or a path.

    Args:
        name_or_path: as written in the plan.
        base: the folder that relative paths start from.
        place: where it stands in the plan; errors begin with it.
        reads: what rows are to be.
        folders: what the folders of a folder of images are; None finds out.

    Raises:
        InputError: no asset and no file of a known kind has this name, or a folder can be read in two ways.
    """
    if is_asset(name_or_path):
        _refuse_folders(folders, name_or_path, place)
        return _asset(find(name_or_path), place, reads)
    path = base / name_or_path
    try:
        path = base / Path(name_or_path).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        names = [name for name, asset in catalogue().items() if _is_read(asset, reads)]
        hint = f"; {unknown_name('asset', name_or_path, names)}" if path.suffix.lower() not in _readers(reads) else ""
        raise InputError(f"{place}: there is no file {path}{hint}") from None
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # a name too long, a zero byte, an unknown ~user
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{place}: {path} cannot be read: {reason}") from None
    if path.is_dir():
        return _folder(path, place, reads, folders)
    _refuse_folders(folders, path.name, place)
    return _file(path, place, reads)


def _refuse_folders(folders: Folders | None, name: str, place: str) -> None:
    if folders is not None and place == "data.source":
        raise InputError(f"data.folders: {name} is no folder of images; drop it")


def _folder(path: Path, place: str, reads: Reads, folders: Folders | None) -> Resolved:
    if reads != "images":
        divided = [_table_file(part, place, reads, f"{path.name}/") for part in _parts(path, place, reads)]
        return Resolved(path.name, tuple(replace(file, may_be_empty=len(divided) > 1) for file in divided))
    found = read_image_folder(path, place, folders)
    files = [_part(path / part.folder, f"{path.name}/{part.folder}".rstrip("/"), part) for part in found.parts]
    return Resolved(path.name, tuple(files), found.remarks, found.notes)


def _file(path: Path, place: str, reads: Reads) -> Resolved:
    return Resolved(path.name, (_table_file(path, place, reads),))


def _parts(folder: Path, place: str, reads: Reads) -> list[Path]:
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
            f"{place}: {folder} is a folder; name a file ({', '.join(_readers(reads))}), or a folder with the parts of "
            f"one table (part-00000.csv and so on, with one suffix), or set task: image-classification"
        )
    return parts


def _table_file(path: Path, place: str, reads: Reads, folder: str = "") -> InputFile:
    suffix = path.suffix.lower()
    readers = _readers(reads)
    if suffix not in readers:
        raise InputError(f"{place}: {folder}{path.name}: {_wrong_suffix(suffix, reads)}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{place}: {path} cannot be read: {error.strerror}") from error
    listing = readers[suffix]
    kept = f"{reads} in {suffix}" if reads in ("sentences", "pairs") else suffix
    name = f"{folder}{path.name}"
    file = InputFile(path, name, listing, kept, binary=suffix in BINARY_SUFFIXES, paired=reads == "pairs")
    if reads == "images":
        sha256 = partial(images_sha256, listing=listing)
        file = replace(file, reader=images_reader(listing), format=f"images in {suffix}", sha256=sha256)
    return file


def _readers(reads: Reads) -> dict[str, Reader]:
    return SENTENCE_READERS if reads == "sentences" else READERS


_WAYS_OUT = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "a workbook is not read; save its sheet as CSV in UTF-8"),
    **dict.fromkeys(
        (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".rar"),
        "an archive, or compressed; unpack it, and name the file or the folder that comes out",
    ),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro"), "it is not read; write the table as Parquet"),
    **dict.fromkeys((".pkl", ".pickle", ".h5", ".npz", ".npy"), "it is not read; write the table as Parquet"),
}


def _wrong_suffix(suffix: str, reads: Reads) -> str:
    if suffix in IMAGE_SUFFIXES and reads == "images":
        return "a single image; name a folder with a folder for each class, or a table of paths and labels"
    if suffix in _WAYS_OUT:
        return f"{_WAYS_OUT[suffix]}; known: {', '.join(_readers(reads))}"
    elsewhere = (
        ""
        if suffix not in {**READERS, **SENTENCE_READERS}
        else ("; task token-classification reads it" if reads != "sentences" else "; other tasks read it")
    )
    return unknown_name("file suffix", suffix, _readers(reads)) + elsewhere


def _part(path: Path, name: str, part: FolderPart) -> InputFile:
    sha256 = partial(images_sha256, listing=part.listing)
    return InputFile(path, name, images_reader(part.listing), "image folder", part.code, sha256=sha256)


def _is_read(asset: Asset, reads: Reads) -> bool:
    return asset.reading is not None and asset.format in _ASSET_READERS[reads]


def _asset(asset: Asset, place: str, reads: Reads) -> Resolved:
    readers = _ASSET_READERS[reads]
    if asset.reading is None or asset.format not in readers:
        raise InputError(f"{place}: {asset.name} is {asset.title}; expected {_EXPECTED[reads]}")
    reader = readers[asset.format](asset.reading)
    folder = locate(asset.name)
    files = tuple(
        InputFile(
            folder / file,
            f"{asset.name}/{file}",
            reader,
            f"{asset.name}/{asset.format}{' as images' if reads == 'images' else ''}",
            _PARTS[part],
            binary=asset.format in _BINARY_FORMATS,
            paired=reads == "pairs",
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
    return rated_sentences_reader(columns, rating, neutral, labels, _renamed(reading))


def _pixel_rows(reading: Reading, as_images: bool = False) -> Reader:
    if reading.image is None or reading.pixel_maximum is None:
        raise InputError("the catalogue says no image or pixel_maximum for a set of pixels")
    return pixel_rows_reader(reading.image, reading.pixel_maximum, as_images)


_BINARY_FORMATS = frozenset({"mnist-csv", "sklearn-digits", "image-parquet"})
_PARTS = {"all": -1, "train": TRAIN, "validation": VALIDATION, "test": TEST}
_EXPECTED: dict[Reads, str] = {
    "rows": "labelled rows",
    "table": "labelled rows",
    "images": "labelled images",
    "sentences": "tagged sentences",
    "pairs": "pairs of texts",
}
_ROW_READERS: dict[str, Callable[[Reading], Reader]] = {
    "csv": lambda reading: delimited_reader(",", _renamed(reading)),
    "csv-split": lambda reading: delimited_reader(",", _renamed(reading)),
    "orange-tab": lambda reading: orange_tab_reader(_renamed(reading)),
    "rated-sentences": _rated_sentences,
    "mnist-csv": _pixel_rows,
    "sklearn-digits": _pixel_rows,
}
_IMAGE_READERS: dict[str, Callable[[Reading], Reader]] = {
    **{name: partial(_pixel_rows, as_images=True) for name in ("mnist-csv", "sklearn-digits")},
    "image-parquet": lambda reading: images_reader(read_parquet),
}
_ASSET_READERS: dict[Reads, dict[str, Callable[[Reading], Reader]]] = {
    "rows": _ROW_READERS,
    "table": _ROW_READERS,
    "images": _IMAGE_READERS,
    "sentences": {"conll": lambda _: SENTENCE_READERS[".conll"]},
    "pairs": {"csv-pairs": lambda _: delimited_reader(",")},
}
