"""Reading images: what can be decoded is kept, everything else is named and left out."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pictures
import pytest
from PIL import Image

from progressive_tf.data.findings import about_rows
from progressive_tf.data.images import MOST_PIXELS, UnreadableImageError, read_image
from progressive_tf.data.quality import QualityReport, examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.source_lines import source_lines
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS

IMAGES_TASK = TASKS["image-classification"]

PIXELS = pictures.picture("dot", np.random.default_rng(1), 20)
WHOLE = {kind: pictures.encoded(PIXELS, kind) for kind in ("PNG", "JPEG", "GIF", "BMP")}


def read(name: str, folder: Path, **changes: Any) -> Source:
    return read_source(name, Data(source=name, **changes), base=folder, cache=folder / "cache", task=IMAGES_TASK)


def examined(source: Source, **quality: Any) -> QualityReport:
    rows, keys = np.arange(len(source)), np.empty(0, np.uint64)
    return examine(source, rows, Quality(**quality), keys)


def with_rotation() -> bytes:
    image, stream = Image.fromarray(PIXELS), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def bomb() -> bytes:
    """Returns a PNG whose header claims 60,000 by 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


UNREADABLE = {
    "empty.png": (b"", "the file is empty"),
    "text.jpg": (b"no image at all", r"not an image, whatever its name says \(.jpg\)"),
    "half.png": (WHOLE["PNG"][: len(WHOLE["PNG"]) // 2], "its PNG data are damaged or cut off"),
    "half.jpg": (WHOLE["JPEG"][: len(WHOLE["JPEG"]) // 2], "its JPEG data are damaged or cut off"),
    "half.gif": (WHOLE["GIF"][: len(WHOLE["GIF"]) // 2], "its GIF data are damaged or cut off"),
    "half.bmp": (WHOLE["BMP"][: len(WHOLE["BMP"]) // 2], "its BMP data are damaged or cut off"),
    "other.png": (pictures.encoded(PIXELS, "TIFF"), "TIFF images are not read; save it as JPEG, PNG, GIF or BMP"),
    "bomb.png": (bomb(), "pixels"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_decoded_says_why(name: str) -> None:
    content, reason = UNREADABLE[name]
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(content, name)


def test_a_claim_of_too_many_pixels_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("tensorflow.io.decode_image", decode)
    with pytest.raises(UnreadableImageError):
        read_image(bomb(), "bomb.png")
    side = int(MOST_PIXELS**0.5) + 1
    with pytest.raises(UnreadableImageError, match="more than 50 million"):
        read_image(pictures.encoded(np.zeros([side, side], np.uint8)), "large.png")


MODES = {"palette": "P", "with alpha": "RGBA", "grey with alpha": "LA", "black and white": "1", "16 bits": "I;16"}


@pytest.mark.parametrize("mode", [*MODES, "CMYK"])
def test_every_kind_of_pixel_is_read(mode: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    if mode == "16 bits":
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(stream, "PNG")
    elif mode == "CMYK":
        Image.fromarray(PIXELS).convert("CMYK").save(stream, "JPEG")
    else:
        Image.fromarray(PIXELS).convert(MODES[mode]).save(stream, "PNG")
    assert read_image(stream.getvalue(), "a").thumbnail.shape == (16, 16, 3)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = io.BytesIO()
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(deep, "PNG")
    plain = read_image(pictures.encoded(PIXELS[..., 0]), "a")
    assert read_image(deep.getvalue(), "a").key == plain.key


@pytest.mark.parametrize(
    ("content", "name", "odd"),
    [
        (WHOLE["PNG"], "a.jpg", "is PNG, whatever its name says"),
        (with_rotation(), "a.jpg", r"EXIF data ask for a turn \(orientation 6\)"),
        (pictures.encoded(PIXELS[:1, :1]), "a.png", "1 by 1 pixels"),
    ],
)
def test_odd_images_are_read_and_remarked_on(content: bytes, name: str, odd: str) -> None:
    found = read_image(content, name).odd
    assert found is not None
    assert re.search(odd, found)


def test_a_folder_gives_its_classes_and_its_findings(tmp_path: Path) -> None:
    folder = pictures.write_folder(tmp_path / "shapes", 12)
    for name, (content, _) in UNREADABLE.items():
        (folder / "bar" / name).write_bytes(content)
    (folder / "dot" / "turned.jpg").write_bytes(with_rotation())
    (folder / "dot" / "notes.txt").write_text("mine")
    (folder / "loose.png").write_bytes(WHOLE["PNG"])
    (folder / ".hidden.png").write_bytes(b"")
    os.mkfifo(folder / "dot" / "pipe.png")
    (folder / "dot" / "lost.png").symlink_to(tmp_path / "nowhere")
    with open(os.fsencode(folder / "dot") + b"/\xff.png", "wb") as stream:
        stream.write(WHOLE["PNG"])
    source = read("shapes", tmp_path)
    assert source.labels == pictures.CLASSES
    assert source.kind == "images"
    assert len(source) == 37
    unreadable = {remark.path for remark in source.remarks if remark.kind == "unreadable_images"}
    assert unreadable == {f"bar/{name}" for name in UNREADABLE} | {
        "dot/notes.txt",
        "dot/lost.png",
        "dot/?.png",
        "loose.png",
    }
    assert [remark.path for remark in source.remarks if remark.kind == "odd_images"] == ["dot/turned.jpg"]
    lines = "\n".join(source_lines([source]))
    assert "shapes: cannot be read: " in lines
    assert "shapes: look at: dot/turned.jpg: its EXIF data ask for a turn" in lines
    report = examined(source)
    kinds = {finding.kind: finding for finding in report.findings}
    assert kinds["unreadable_images"].count == len(unreadable)
    assert kinds["odd_images"].count == 1
    assert any("bar/empty.png: the file is empty" in example for example in kinds["unreadable_images"].examples)
    shown = about_rows(source, np.arange(2), "label_noise", "whose label looks wrong", "warn")
    assert len(shown.images) == 2
    assert all(image.startswith("data:image/png;base64,") for image in shown.to_json()["images"])
    with pytest.raises(InputError, match=r"quality.unreadable_images: shapes has 12 files .*correct the files"):
        examined(source, unreadable_images="fail")


def test_pixels_come_back_as_they_were(tmp_path: Path) -> None:
    pictures.write_folder(tmp_path / "shapes", 3)
    source = read("shapes", tmp_path)
    order = [8, 0, 4]
    files = [tmp_path / "shapes" / path for path in source.descriptions(order)]
    assert [file.read_bytes() for file in files] == source.inputs(order)
    assert source.query("image.str.startswith('dot/')", "data.slices.dots").sum() == 3


def test_a_published_split_is_kept(tmp_path: Path) -> None:
    for part, each in (("train", 5), ("val", 2), ("test", 3)):
        pictures.write_folder(tmp_path / "split" / part, each, seed=each)
    source = read("split", tmp_path)
    assert source.published is not None
    assert np.bincount(source.published).tolist() == [15, 6, 9]
    assert source.labels == pictures.CLASSES


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_may_name_the_files(suffix: str, tmp_path: Path) -> None:
    folder = pictures.write_folder(tmp_path / "files", 4)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*.png"))
    frame = pd.DataFrame({"image": [*names, "files/none.png"], "label": [*["x", "y"] * 6, "x"], "age": range(13)})
    if suffix == ".csv":
        frame.to_csv(tmp_path / "list.csv", index=False)
    else:
        frame.to_json(tmp_path / "list.jsonl", orient="records", lines=True)
    source = read(f"list{suffix}", tmp_path)
    assert len(source) == 12
    assert source.labels == ("x", "y")
    assert [str(remark) for remark in source.remarks] == ["files/none.png: cannot be read: No such file or directory"]
    assert source.query("age >= 6", "where").sum() == 6
    before = source.sha256
    (tmp_path / names[0]).write_bytes(WHOLE["PNG"])
    assert read(f"list{suffix}", tmp_path).sha256 != before, "a changed image is another source"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "no image in it; expected a folder for each class"),
        (lambda folder: pictures.write_folder(folder, 0), "no image in it"),
        (
            lambda folder: (folder / "a").mkdir(parents=True) or (folder / "a" / "x.png").touch(),
            "none of 1 images can be read",
        ),
    ],
)
def test_a_folder_without_images_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "shapes")
    with pytest.raises(InputError, match=message):
        read("shapes", tmp_path)


def test_a_table_from_windows_is_read_and_addresses_are_not_fetched(tmp_path: Path) -> None:
    pictures.write_folder(tmp_path / "files", 2)
    names = [r"files\bar\000.png", r"files\dot\000.png", "https://example.org/a.png", r"C:\a.png"]
    pd.DataFrame({"image": names, "label": [*"xyxy"]}).to_csv(tmp_path / "list.csv", index=False)
    source = read("list.csv", tmp_path)
    assert len(source) == 2
    assert [str(remark) for remark in source.remarks] == [
        "https://example.org/a.png: an address, and nothing is fetched; download it and name the file",
        r"C:\a.png: cannot be read: No such file or directory",
    ]
    before = source.sha256
    (tmp_path / "files/bar/000.png").write_bytes(WHOLE["PNG"])
    assert read("list.csv", tmp_path).sha256 != before


def test_a_table_of_which_no_image_is_there_says_where_paths_start(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a.png"], "label": ["x"]}).to_csv(tmp_path / "list.csv", index=False)
    with pytest.raises(InputError, match=r"No such file or directory; paths start from the folder of list\.csv"):
        read("list.csv", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("photos.zip", "an archive, or compressed; unpack it"), ("a.png", "a single image; name a folder")],
)
def test_what_is_no_folder_says_what_to_name_instead(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WHOLE["PNG"])
    with pytest.raises(InputError, match=f"data.source: {name}: {message}"):
        read(name, tmp_path)


def test_folders_are_of_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,label\n")
    with pytest.raises(InputError, match=r"data\.folders: list\.csv is no folder of images; drop it"):
        read("list.csv", tmp_path, folders="classes")


def test_a_folder_is_refused_where_texts_are_expected(tmp_path: Path) -> None:
    pictures.write_folder(tmp_path / "shapes", 1)
    with pytest.raises(InputError, match=r"is a folder; .* or set task: image-classification"):
        read_source("shapes", Data(source="shapes"), base=tmp_path, cache=tmp_path / "cache")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return read("digits", tmp_path_factory.mktemp("digits"))


def test_digits_that_only_resemble_one_another_stay_apart(digits: Source) -> None:
    counts = np.unique(np.unique(digits.keys, return_counts=True)[1])
    assert counts.max() <= 2, "digits of different writers were taken for the same"


def test_digits_are_read_as_images_too(digits: Source, tmp_path: Path) -> None:
    vectors = read_source("digits", Data(source="digits"), base=tmp_path, cache=tmp_path / "cache")
    pixels = np.asarray(Image.open(io.BytesIO(digits.inputs([5])[0])))
    assert pixels.shape == (8, 8)
    np.testing.assert_array_equal(pixels.ravel(), np.rint(vectors.inputs([5])[0] * 255))
    assert digits.labels == vectors.labels
    assert {"pair", "parity"} <= set(digits.column_names)
