from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from progressive_tf.assets import Asset, catalogue, find, is_asset, locate
from progressive_tf.assets.entry import Reading
from progressive_tf.assets.places import damages, samples_folder
from progressive_tf.errors import InputError

NAMES = [
    *("minilm-l6", "movie-reviews", "tweets", "amazon-reviews", "nyt-editorials", "newsgroups-20", "reuters-8"),
    *(
        "reuters-52",
        "mnist-5k",
        "digits",
        "banking77",
        "wnut17",
        "sample-reviews",
        "sample-table",
        "sample-numbers",
        "sample-vocabulary",
        "sample-shapes",
        "sample-entities",
        "sample-entities-vocabulary",
    ),
]


def test_the_catalogue_has_these_assets() -> None:
    assert list(catalogue()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_survives_a_round_trip(name: str) -> None:
    asset = find(name)
    assert asset.name == name
    assert Asset.model_validate_json(asset.model_dump_json()) == asset


@pytest.mark.parametrize("name", NAMES)
def test_all_files_of_an_asset_are_at_home_in_one_place(name: str) -> None:
    first_choices = {file.sources[0].kind for file in find(name).files}
    in_place = first_choices & {"installed", "samples"}
    assert not in_place or len(first_choices) == 1


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue()["new"] = find("tweets")  # type: ignore[index]
    with pytest.raises(ValidationError):
        find("tweets").title = "other"


def test_an_unknown_name_lists_the_nearest_first() -> None:
    assert not is_asset("movie-review")
    with pytest.raises(InputError, match=r"unknown asset 'movie-review'; did you mean 'movie-reviews'\?") as raised:
        find("movie-review")
    assert raised.value.exit_code == 2


def test_the_hashes_of_the_samples_are_current() -> None:
    assert damages(find("sample-reviews"), samples_folder()) == []
    assert damages(find("sample-table"), samples_folder()) == []
    assert damages(find("sample-entities"), samples_folder()) == []
    assert damages(find("sample-entities-vocabulary"), samples_folder()) == []
    assert damages(find("sample-vocabulary"), samples_folder()) == []


def _digit_rows(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="ascii") as stream:
        return [line.rstrip("\n").split(",") for line in stream]


def test_digits_stand_where_scikit_learn_keeps_them_and_are_as_described() -> None:
    reading = find("digits").reading
    assert reading is not None
    assert reading.image is not None
    rows = _digit_rows(locate("digits", download=False) / reading.parts["all"])
    assert len(rows) == reading.rows["all"]
    assert {len(row) for row in rows} == {reading.image[0] * reading.image[1] + 1}
    assert {row[-1] for row in rows} == set(reading.labels or ())
    assert max(float(pixel) for row in rows for pixel in row[:-1]) == reading.pixel_maximum


def test_the_sample_reviews_are_as_described() -> None:
    reading = find("sample-reviews").reading
    assert reading is not None
    with (locate("sample-reviews") / reading.parts["all"]).open(encoding=reading.encoding, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == reading.rows["all"]
    assert {row[reading.label or ""] for row in rows} == set(reading.labels or ())


def _fields() -> dict[str, Any]:
    return find("sample-reviews").model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(colour="red"), "colour"),
        (lambda f: f.update(name="Up/../per"), "name"),
        (lambda f: f.update(files=[]), "files"),
        (lambda f: f.update(files=f["files"] * 2), "each name once"),
        (lambda f: f.update(reading=None), "a data set has `reading`"),
        (lambda f: f["files"][0].update(name="../reviews.csv"), "pattern"),
        (lambda f: f["files"][0].update(sha256="abc"), "sha256"),
        (lambda f: f["files"][0].update(sources=[]), "sources"),
        (lambda f: f["files"][0].update(sources=[{"kind": "url", "url": "file:///etc/hosts"}]), "url"),
        (lambda f: f["reading"].update(parts={"all": "other.csv"}), "'other.csv', which is not among files"),
        (lambda f: f["reading"].update(rows={"train": 1}), "must name the same parts"),
        (lambda f: f["reading"].update(label=None), "from exactly one of them"),
        (lambda f: f["reading"].update(rating="stars", neutral=1.0), "from exactly one of them"),
        (lambda f: f["reading"].update(label=None, rating="stars"), "rating and neutral come together"),
        (lambda f: f["reading"].update(columns=["text"]), "'label' is not among columns"),
    ],
)
def test_a_wrong_entry_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    fields = _fields()
    assert Asset.model_validate(fields) == find("sample-reviews")
    change(fields)
    with pytest.raises(ValidationError, match=message):
        Asset.model_validate(fields)


def test_readings_name_the_published_parts() -> None:
    published = {name: list(asset.reading.parts) for name, asset in catalogue().items() if asset.reading}
    for name in ("newsgroups-20", "reuters-8", "reuters-52", "banking77"):
        assert published[name] == ["train", "test"]
    assert published["wnut17"] == ["train", "validation", "test"]
    assert isinstance(find("movie-reviews").reading, Reading)
    assert published["movie-reviews"] == ["all"]
