from __future__ import annotations

import os
from pathlib import Path

import pytest

from progressive_tf.assets import locate, lookup
from progressive_tf.assets.catalogue import find
from progressive_tf.assets.entry import Asset
from progressive_tf.assets.lookup import provide
from progressive_tf.errors import InputError
from tests.assets.toys import Server, make_asset, sha256

CONTENTS = {"a.txt": b"first file", "b.txt": b"second file"}


@pytest.fixture
def toy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """An asset `toy` in the catalogue, which the server has."""
    server.bodies.update(CONTENTS)
    asset = make_asset(CONTENTS, {name: [server.source(name)] for name in CONTENTS})
    monkeypatch.setattr(lookup, "find", {"toy": asset}.__getitem__)
    return asset


def write_own(folder: Path, contents: dict[str, bytes] = CONTENTS) -> Path:
    (folder / "toy").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "toy" / name).write_bytes(content)
    return folder / "toy"


def test_own_folders_come_first_in_their_order(
    toy: Asset, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate("toy")
    second, third = write_own(tmp_path / "2"), write_own(tmp_path / "3")
    folders = os.pathsep.join(str(tmp_path / name) for name in ("1", "2", "3"))
    monkeypatch.setenv("PROGRESSIVE_TF_ASSETS", folders)
    assert locate("toy") == second
    (second / "a.txt").rename(tmp_path / "a")
    (second / "b.txt").rename(tmp_path / "b")
    assert locate("toy") == third
    assert server.requests == ["a.txt", "b.txt"]


def test_then_the_cache_then_the_download(toy: Asset, server: Server, cache: Path) -> None:
    assert locate("toy") == cache / "assets" / "toy"
    assert locate("toy", download=False) == cache / "assets" / "toy"
    assert server.requests == ["a.txt", "b.txt"]


def test_before_a_download_it_says_why_ones_own_folders_do_not_do(
    toy: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = write_own(tmp_path / "own")
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("PROGRESSIVE_TF_ASSETS", os.pathsep.join(map(str, (own, tmp_path / "none", tmp_path / "other"))))
    with caplog.at_level("INFO", "progressive_tf"):
        locate("toy")
    assert f"{own} has its files, but not in a folder toy; name the folder above" in caplog.text
    assert f"there is no folder {tmp_path / 'none'}" in caplog.text
    assert f"{tmp_path / 'other'} has no folder toy" in caplog.text


def test_without_download_it_says_how_to_fetch(toy: Asset, server: Server) -> None:
    with pytest.raises(InputError, match=r"neither in PROGRESSIVE_TF_ASSETS nor in the cache.*assets fetch toy"):
        locate("toy", download=False)
    assert server.requests == []


def test_a_damaged_file_of_ones_own_names_both_hashes(
    toy: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_own(tmp_path / "own", {**CONTENTS, "b.txt": b"flipped"})
    monkeypatch.setenv("PROGRESSIVE_TF_ASSETS", str(tmp_path / "own"))
    for use in (lambda: locate("toy"), lambda: provide(toy)):
        with pytest.raises(InputError) as raised:
            use()
        message = str(raised.value)
        for part in ("'toy' is damaged", str(folder / "b.txt"), sha256(CONTENTS["b.txt"]), sha256(b"flipped")):
            assert part in message
        assert str(folder / "a.txt") not in message


def test_an_incomplete_folder_of_ones_own_is_not_passed_over(
    toy: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path / "own", {"a.txt": CONTENTS["a.txt"]})
    monkeypatch.setenv("PROGRESSIVE_TF_ASSETS", str(tmp_path / "own"))
    with pytest.raises(InputError, match=r"b\.txt: expected sha256 .* found no file"):
        locate("toy")


def test_a_damaged_cache_is_an_error_that_fetch_mends(toy: Asset) -> None:
    folder = locate("toy")
    (folder / "a.txt").write_bytes(b"flipped")
    with pytest.raises(InputError, match=r"expected sha256 .*, found .*Fetch it again: .*assets fetch toy"):
        locate("toy")
    assert provide(toy) == folder
    assert locate("toy") == folder


def test_an_incomplete_cache_is_completed(toy: Asset) -> None:
    (locate("toy") / "a.txt").unlink()
    assert (locate("toy") / "a.txt").read_bytes() == CONTENTS["a.txt"]


def test_samples_that_are_missing_are_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (locate("sample-reviews") / "reviews.csv").is_file()
    monkeypatch.setattr("progressive_tf.assets.places.samples_folder", lambda: tmp_path / "data_samples")
    with pytest.raises(
        InputError, match="comes with the package, in data_samples/, and is not there; install the package again"
    ):
        locate("sample-reviews")


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = find("digits").model_dump(mode="json")
    digits["files"][0]["sources"][0]["module"] = "no_such_module"
    with pytest.raises(InputError, match="installed module no_such_module, which is not there"):
        provide(Asset.model_validate(digits))


def test_an_unknown_name_is_an_input_error() -> None:
    with pytest.raises(InputError, match="unknown asset 'nothing'"):
        locate("nothing")
