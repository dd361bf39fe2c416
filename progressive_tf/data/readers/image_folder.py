"""A folder of images: which of its folders are classes, which are parts of a published split, and what is not used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from progressive_tf.data.images import SUFFIXES
from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import BATCH_ROWS, TEST, TRAIN, VALIDATION, Batch, Reader
from progressive_tf.data.readers.image_tree import FilesBelow, TopFolder, fault_of, files_below, printable
from progressive_tf.data.remarks import UNREADABLE_IMAGES, UNUSED_FILES, Remark
from progressive_tf.errors import InputError, listed

Folders = Literal["classes", "parts"]
"""What the folders of a folder of images are, where a plan says it."""

PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
PART_WORDS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}
SHOWN = 3


@dataclass(frozen=True)
class FolderPart:
    """The images of one part, or of all.

    Attributes:
        folder: its folder, from the source's; empty for all.
        code: 0 train, 1 validation, 2 test, -1 where there are no parts.
        files: row and path of each image, from the part's folder. Every file that is not hidden counts as a row.
    """

    folder: str
    code: int
    files: tuple[tuple[int, str], ...]

    @property
    def listing(self) -> Reader:
        """Lists the images, with the first folder on the way to each as its class; see `Reader`."""
        return partial(_list, files=self.files)


@dataclass(frozen=True)
class ImageFolder:
    """How a folder of images is read.

    Attributes:
        parts: at least one.
        remarks: on what is not used.
        notes: what was decided for the user, a sentence each.
    """

    parts: tuple[FolderPart, ...]
    remarks: tuple[Remark, ...]
    notes: tuple[str, ...]


def read_image_folder(folder: Path, place: str, folders: Folders | None = None) -> ImageFolder:
    """Returns how a folder is read: a folder for each class, or first one for each part of a published split.

    Args:
        folder: the source.
        place: where it stands in the plan; errors begin with it.
        folders: what its folders are; None finds out from their names and what is in them.

    Raises:
        InputError: there is no image in it, it can be read in two ways, or links in it lead in a circle.
    """
    contents = files_below(folder)
    reading = _Reading(f"{place}: {folder.name}", folder.name, contents, folders)
    codes = reading.parts()
    chosen = codes or {"": -1}
    remarks, parts = [], []
    for name, code in sorted(chosen.items(), key=lambda item: item[1]):
        files, left_out = _rows_of(contents, name, contents.tops if codes else reading.used)
        if not files:
            raise InputError(f"{place}: {folder.name}/{name}: {_no_image(left_out)}")
        parts.append(FolderPart(name, code, tuple(files)))
        remarks += left_out
    remarks += _of_folders(contents, set(codes) if codes else reading.used, bool(codes))
    remarks += [
        Remark(UNUSED_FILES, 0, listed(names, SHOWN), reason, len(names))
        for reason, names in sorted(contents.skipped.items())
    ]
    return ImageFolder(tuple(parts), tuple(remarks), tuple(reading.notes(parts)))


def part_of(name: str) -> int | None:
    """Returns which part of a published split a folder's name says, in any of the usual spellings; None for none."""
    plain = re.sub(r"[\s_-]*(set|data|images|imgs)$", "", name.strip().casefold())
    return PART_NAMES.get(plain)


class _Reading:
    """Which folders are parts and which are classes; `asked` is what the plan says, if it does."""

    def __init__(self, place: str, name: str, contents: FilesBelow, asked: Folders | None) -> None:
        self.place, self.name, self.asked, self.contents = place, name, asked, contents
        self.used = {top: top_folder for top, top_folder in contents.tops.items() if top_folder.images}
        self.called = {top: code for top in self.used if (code := part_of(top)) is not None}

    def parts(self) -> dict[str, int]:
        """Returns the folders that are parts, with what each is; empty where folders are classes."""
        if not self.used:
            raise InputError(f"{self.place}: {_no_image(_rows_of(self.contents, '', self.contents.tops)[1])}")
        if self.asked == "classes":
            return {}
        trained, others = TRAIN in self.called.values(), [top for top in self.used if top not in self.called]
        if self.asked == "parts" and not trained:
            raise InputError(f"{self.place}: data.folders says parts, but no folder with images is called train")
        if self.asked is None and not self._clear(trained, others):
            return {}
        flat = [top for top in self.called if not self.used[top].inner]
        if flat:
            raise InputError(
                f"{self.place}: {_quoted(self.called)} are called like parts, but the images of {_quoted(flat)} stand "
                f"in no class folder; expected {self.name}/{flat[0]}/<class>/<image>: move them, or take them out, or "
                f"set data.folders: classes if {_quoted(self.called)} are the classes"
            )
        for code, words in PART_WORDS.items():
            twice = [top for top, part_code in self.called.items() if part_code == code]
            if len(twice) > 1:
                raise InputError(
                    f"{self.place}: {_quoted(twice)} are all called like the {words} part; put their images into one "
                    f"folder, or take out what is not meant"
                )
        return self.called

    def _clear(self, trained: bool, others: list[str]) -> bool:
        """Returns whether the folders are parts, and refuses what could be either."""
        self._refuse_wrapped(trained)
        self._refuse_parts_in_classes()
        if not self.called:
            self._refuse_parts_of_other_names()
            return False
        kinds = set(self.called.values())
        if trained and not others:
            return True
        nested = any(self.used[top].inner for top in self.called)
        if len(kinds) == 1 and not (trained and nested):
            return False  # `train` beside `bus`, `test` beside `blood`: a split has two parts, with classes in them
        if not trained:
            raise InputError(
                f"{self.place}: {_quoted(self.called)} are called like parts, but no folder is called train; add "
                f"{self.name}/train/<class>/<image>, or set data.folders: classes to make classes of them"
            )
        raise InputError(
            f"{self.place} can be read in two ways: {_quoted(self.called)} as parts without {_quoted(others)}, or "
            f"{_quoted(self.used)} as classes; set data.folders to parts or to classes, or take out what is not meant"
        )

    def _refuse_wrapped(self, trained: bool) -> None:
        if len(self.used) > 1 or trained:
            return
        ((top, top_folder),) = self.used.items()
        if top_folder.inner and not top_folder.directly:
            raise InputError(
                f"{self.place}: all images stand below its folder {top!r}; name that folder "
                f"({self.name}/{top}) if the classes are in it, or set data.folders: classes if it is one class"
            )

    def _refuse_parts_in_classes(self) -> None:
        for top, top_folder in self.used.items():
            inner = [name for name in top_folder.inner if part_of(name) is not None]
            codes = {part_of(name) for name in inner}
            if top not in self.called and TRAIN in codes and len(codes) > 1:
                raise InputError(
                    f"{self.place}: its folder {top!r} has {_quoted(inner)}, which are called like parts; a published "
                    f"split is read as {self.name}/train/<class>/<image>: move them, or set data.folders: classes to "
                    f"take all images of a class together"
                )

    def _refuse_parts_of_other_names(self) -> None:
        nested = [top for top, top_folder in self.used.items() if top_folder.inner and not top_folder.directly]
        kinds = {part_of(word) for top in nested for word in re.split(r"[\W_]+", top)} - {None}
        if len(nested) == len(self.used) and TRAIN in kinds and len(kinds) > 1:
            raise InputError(
                f"{self.place}: {_quoted(self.used)} seem to be parts of a published split; call them train, "
                f"validation and test, or set data.folders: classes if they are the classes"
            )

    def notes(self, parts: Sequence[FolderPart]) -> Iterator[str]:
        """Yields what was decided, a sentence each."""
        if parts[0].folder:
            kinds = [f"{part.folder}/ {PART_WORDS[part.code]}" for part in parts]
            yield f"{self.name}: its folders are parts: {', '.join(kinds)}"
        elif self.called and self.asked is None:
            yield f"{self.name}: its folders are classes, {_quoted(self.called)} too"
        deep = [name for part in parts for _, name in part.files if name.count("/") > 1]
        if deep:
            yield (
                f"{self.name}: {len(deep):,} image{'s stand' if len(deep) > 1 else ' stands'} in further folders of a "
                f"class ({deep[0]}); the first folder is the class"
            )


def _rows_of(
    contents: FilesBelow, part: str, used: Mapping[str, TopFolder]
) -> tuple[list[tuple[int, str]], list[Remark]]:
    """Returns row and path of each image of a part, from its folder, and remarks on its other files."""
    prefix = f"{part}/" if part else ""
    rows: list[tuple[int, str]] = []
    faults: dict[tuple[str, str], list[tuple[int, str]]] = {}
    own = (name for name in contents.files if name.startswith(prefix))
    for row, name in enumerate(own, start=1):
        below, fault, top = name[len(prefix) :], fault_of(name), name.partition("/")[0]
        if fault is None and "/" not in below:
            fault = "stands in no folder, so it has no class"
        if fault is None:
            rows.append((row, below))
        elif fault and (top == name or top in used or contents.tops[top].unread):
            place = below.partition("/")[0] if "/" in below else ""
            faults.setdefault((place, fault), []).append((row, printable(name)))
    return rows, [
        Remark(UNREADABLE_IMAGES, files[0][0], listed([name for _, name in files], SHOWN), fault, len(files))
        for (_, fault), files in faults.items()
    ]


def _of_folders(contents: FilesBelow, used: Iterable[str], parts: bool) -> list[Remark]:
    """Returns remarks on folders, and on loose files beside parts, that nothing is made of."""
    remarks = []
    kind = "part" if parts else "class"
    for top, top_folder in contents.tops.items():
        if top not in used:
            what = (
                f"has {top_folder.images:,} images, but is no part"
                if top_folder.images
                else f"holds no image, so it is no {kind}"
            )
            files = (
                f" ({top_folder.files:,} file{'s' * (top_folder.files > 1)})"
                if top_folder.files and not top_folder.images
                else ""
            )
            remarks.append(Remark(UNUSED_FILES, 0, f"{printable(top)}/", what + files))
    loose = [printable(name) for name in contents.files if "/" not in name and fault_of(name) != ""] if parts else []
    if loose:
        remarks.append(Remark(UNUSED_FILES, 0, listed(loose, SHOWN), "not in a part", len(loose)))
    empty = [f"{printable(name)}/" for name in contents.without_images()]
    if empty:
        remarks.append(Remark(UNUSED_FILES, 0, listed(empty, SHOWN), "no image in it", len(empty)))
    return remarks


def _no_image(left_out: Sequence[Remark]) -> str:
    because = f"; the first of {sum(remark.count for remark in left_out):,} files: {left_out[0]}" if left_out else ""
    return f"no image in it{because}; expected a folder for each class, with files {', '.join(SUFFIXES)}"


def _quoted(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    shown = quoted if len(quoted) <= 6 else [*quoted[:5], f"{len(quoted) - 5:,} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _list(
    path: Path, text: str | None, label: str | None, problems: Problems, *, files: tuple[tuple[int, str], ...]
) -> Iterator[Batch]:
    for begin in range(0, len(files), BATCH_ROWS):
        part = files[begin : begin + BATCH_ROWS]
        rows = [row for row, _ in part]
        inputs, labels = [name for _, name in part], [name.partition("/")[0] for _, name in part]
        yield Batch(rows, rows, inputs, labels, {}, "text")
