"""Which folders are classes, which are parts, and that nothing is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from progressive_tf.data.readers.batch import TEST, TRAIN, VALIDATION
from progressive_tf.data.readers.image_folder import Folders, ImageFolder, part_of, read_image_folder
from progressive_tf.errors import InputError


def read(tmp_path: Path, *files: str, folders: Folders | None = None) -> ImageFolder:
    """Makes empty files, of which only the names are looked at here, and reads their folder."""
    for file in files:
        (tmp_path / "photos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / file).touch()
    return read_image_folder(tmp_path / "photos", "data.source", folders)


def classes(found: ImageFolder) -> set[str]:
    return {name.partition("/")[0] for part in found.parts for _, name in part.files}


def remarks(found: ImageFolder) -> list[str]:
    return sorted(f"{remark.kind[:6]} {remark.count} {remark}" for remark in found.remarks)


def both(*names: str) -> list[str]:
    return [f"{part}/{name}" for part in ("train", "test") for name in names]


@pytest.mark.parametrize(
    "names",
    [
        ("models", "data"),
        ("test", "blood", "urine"),
        ("train", "bus"),
        ("red fox", "Füchse", "7"),
        ("Cat", "cat"),
        ("dev", "ops"),
        ("steam_train", "crash_test"),
    ],
)
def test_a_folder_with_images_is_a_class_whatever_it_is_called(names: tuple[str, ...], tmp_path: Path) -> None:
    found = read(tmp_path, *(f"{name}/1.png" for name in names))
    assert classes(found) == set(names)
    assert [part.code for part in found.parts] == [-1]
    assert not found.remarks


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "valid", "Testing"),
        ("TRAIN", "dev", "TEST"),
        ("train_set", "x", "test-data"),
    ],
)
def test_parts_are_known_in_the_usual_spellings(train: str, validation: str, test: str, tmp_path: Path) -> None:
    parts = {train: TRAIN, validation: VALIDATION, test: TEST}
    if part_of(validation) is None:
        del parts[validation]
    found = read(tmp_path, *(f"{part}/{label}/1.png" for part in parts for label in ("cat", "dog")))
    assert {part.folder: part.code for part in found.parts} == parts
    assert classes(found) == {"cat", "dog"}
    assert "its folders are parts: " in found.notes[0]


@pytest.mark.parametrize(
    "extra", ["__MACOSX/train/bar/._1.png", "models/a.h5", "Train/.keep", ".git/1.png", "Val/x.txt"]
)
def test_what_holds_no_image_is_neither_class_nor_part_and_is_named(extra: str, tmp_path: Path) -> None:
    found = read(tmp_path, *both("bar/1.png", "row/1.png"), extra)
    assert [part.folder for part in found.parts] == ["train", "test"]
    assert any(extra.partition("/")[0] in line for line in remarks(found)), remarks(found)


def test_everything_that_is_not_used_is_counted_and_the_first_are_named(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        *(f"cat/{number}.png" for number in range(3)),
        *(f"dog/{number}.webp" for number in range(5)),
        *(f"cat/._{number}.png" for number in range(9)),
        "fox/1.jfif", "cat/Thumbs.db", "cat/notes.txt", "fox/notes.txt", "labels.csv", "loose.png", "empty/.keep",
    )  # fmt: skip
    assert remarks(found) == [
        "unread 1 cat/notes.txt: not called like an image",
        "unread 1 fox/notes.txt: not called like an image",
        "unread 1 labels.csv: not called like an image",
        "unread 1 loose.png: stands in no folder, so it has no class",
        "unread 5 dog/0.webp, dog/1.webp, dog/2.webp, … and 2 more: WEBP images are not read; "
        "save it as JPEG, PNG, GIF or BMP",
        "unused 1 cat/Thumbs.db: left by an operating system",
        "unused 1 dog/: holds no image, so it is no class (5 files)",
        "unused 1 empty/: holds no image, so it is no class",
        "unused 10 cat/._0.png, cat/._1.png, cat/._2.png, … and 7 more: hidden, so not looked at",
    ]
    assert classes(found) == {"cat", "fox"}


def test_an_empty_class_within_a_part_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, *both("a/1.png", "b/deep/1.png"), "train/c/deep/notes.txt", "test/.keep", "train/a/d/.keep")
    assert "unused 2 train/a/d/, train/c/: no image in it" in remarks(found)


def test_rows_are_numbered_as_every_file_that_is_not_hidden(tmp_path: Path) -> None:
    """Runs of before refer to these numbers."""
    found = read(tmp_path, "cat/.x.png", "cat/0.png", "cat/Thumbs.db", "cat/a.txt", "cat/b.png", "dog/1.png", "z.png")
    assert found.parts[0].files == ((1, "cat/0.png"), (4, "cat/b.png"), (5, "dog/1.png"))
    assert [remark.row for remark in found.remarks if remark.row] == [3, 6]


TWO_WAYS = r"can be read in two ways: .* as parts without .*, or .* as classes; set data.folders to parts or to classes"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([*both("a/1.png", "b/1.png"), "models/1.png"], TWO_WAYS),
        (["train/1.png", "test/1.png", "bus/1.png"], TWO_WAYS),
        (["train/a/1.png", "train/b/1.png", "bus/city/1.png"], TWO_WAYS),
        ([*both("a/1.png"), "Train/a/1.png"], "'Train' and 'train' are all called like the training part"),
        (both("1.png"), "the images of 'test' and 'train' stand in no class folder; expected photos/test/<class>"),
        ([*both("a/1.png")[:1], "test/1.png"], "the images of 'test' stand in no class folder"),
        (["val/a/1.png", "test/a/1.png"], "no folder is called train; add photos/train/<class>/<image>, or set"),
        (["seg_train/a/1.png", "seg_test/a/1.png"], "'seg_test' and 'seg_train' seem to be parts of a published split"),
        (["cat/train/1.png", "cat/test/1.png", "dog/train/1.png"], "'cat' has 'test' and 'train', which are called"),
        (["photos/cat/1.png", "photos/dog/1.png"], r"below its folder 'photos'; name that folder \(photos/photos\)"),
        (["1.png", "2.png"], "no image in it; the first of 2 files: 1.png, 2.png: stands in no folder"),
        (["cat/1.webp"], "no image in it; the first of 1 files: cat/1.webp: WEBP images are not read"),
    ],
)
def test_two_readings_or_none_are_refused_with_what_to_do(files: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"data.source: photos.*{message}"):
        read(tmp_path, *files)


def test_the_plan_may_say_which_reading_is_meant(tmp_path: Path) -> None:
    files = [*both("a/1.png", "b/1.png"), "models/1.png", "models/2.png"]
    found = read(tmp_path, *files, folders="parts")
    assert classes(found) == {"a", "b"}
    assert remarks(found) == ["unused 1 models/: has 2 images, but is no part"]
    found = read(tmp_path, folders="classes")
    assert classes(found) == {"train", "test", "models"}
    assert found.notes == (
        "photos: 4 images stand in further folders of a class (test/a/1.png); the first folder is the class",
    )
    with pytest.raises(InputError, match=r"data\.folders says parts, but no folder with images is called train"):
        read_image_folder(tmp_path / "photos" / "train", "data.source", "parts")


def test_links_to_folders_are_followed_and_circles_refused(tmp_path: Path) -> None:
    read(tmp_path, "cat/1.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.png").touch()
    (tmp_path / "photos" / "dog").symlink_to(tmp_path / "elsewhere")
    assert classes(read(tmp_path)) == {"cat", "dog"}
    (tmp_path / "photos" / "cat" / "again").symlink_to(tmp_path / "photos")
    with pytest.raises(InputError, match="again: this link leads back to a folder that it stands in"):
        read(tmp_path)
    (tmp_path / "photos" / "cat" / "again").unlink()
    (tmp_path / "photos" / "self").symlink_to("self")
    with pytest.raises(InputError, match="self: this link cannot be followed"):
        read(tmp_path)
