from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.assets import fetch as fetching
from progressive_tf.assets.entry import Artefact, Asset
from progressive_tf.assets.fetch import fetch
from progressive_tf.errors import ProgressiveError
from tests.assets.toys import Server, left_in, make_asset, member, sha256, write_source_distribution, write_wheel

CONTENTS = {"a.txt": b"first file", "b.txt": b"second file"}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for pip: copies the artefact from the test's folder, and lists what was asked for."""
    asked: list[str] = []

    def download_artefact(artefact: Artefact, folder: Path) -> Path:
        asked.append(artefact.file)
        if not (tmp_path / artefact.file).exists():
            raise ProgressiveError(f"pip could not download {artefact.file}: no network")
        folder.mkdir()
        return Path(shutil.copy(tmp_path / artefact.file, folder))

    monkeypatch.setattr(fetching, "download_artefact", download_artefact)
    return asked


def from_wheel(folder: Path, contents: dict[str, bytes] = CONTENTS) -> Asset:
    wheel = write_wheel(folder, {f"package/{name}": content for name, content in contents.items()})
    return make_asset(CONTENTS, {name: [member(wheel, f"package/{name}")] for name in CONTENTS})


def from_server(server: Server) -> Asset:
    server.bodies.update(CONTENTS)
    return make_asset(CONTENTS, {name: [server.source(name)] for name in CONTENTS})


def assert_whole(folder: Path) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS


def test_takes_all_files_from_one_download_and_leaves_only_them(
    tmp_path: Path, cache: Path, packages: list[str]
) -> None:
    folder = fetch(from_wheel(tmp_path))
    assert folder == cache / "assets" / "toy"
    assert_whole(folder)
    assert left_in(cache) == ["assets/toy/a.txt", "assets/toy/b.txt"]
    assert packages == ["toy_package-1.0-py3-none-any.whl"]


def test_reads_an_archive_inside_a_source_distribution(tmp_path: Path, packages: list[str]) -> None:
    inner_folder = tmp_path / "inner"
    inner_folder.mkdir()
    inner = inner_folder / write_source_distribution(inner_folder, CONTENTS).file
    outer = write_source_distribution(tmp_path, {"more/inner.tar.gz": inner.read_bytes()})
    sources = {
        name: [member(outer, "toy_package-1.0/more/inner.tar.gz", f"toy_package-1.0/{name}")] for name in CONTENTS
    }
    assert_whole(fetch(make_asset(CONTENTS, sources)))


def test_what_is_there_is_not_fetched_again(server: Server) -> None:
    asset = from_server(server)
    fetch(asset)
    fetch(asset)
    assert server.requests == ["a.txt", "b.txt"]


def test_a_damaged_copy_is_replaced(server: Server, cache: Path) -> None:
    folder = fetch(from_server(server))
    (folder / "a.txt").write_bytes(b"flipped")
    assert_whole(fetch(from_server(server)))
    assert left_in(cache) == ["assets/toy/a.txt", "assets/toy/b.txt"]


def test_a_wrong_hash_names_both_and_keeps_nothing(tmp_path: Path, cache: Path, packages: list[str]) -> None:
    swapped = b"secind file"
    with pytest.raises(ProgressiveError) as raised:
        fetch(from_wheel(tmp_path, {**CONTENTS, "b.txt": swapped}))
    message = str(raised.value)
    for part in ("'toy'", "b.txt", sha256(CONTENTS["b.txt"]), sha256(swapped), "PROGRESSIVE_TF_ASSETS=FOLDER"):
        assert part in message
    assert left_in(cache) == []


@pytest.mark.parametrize("trouble", ["truncated", "absent", "longer", "shorter"])
def test_a_bad_answer_names_the_asset_and_keeps_nothing(server: Server, cache: Path, trouble: str) -> None:
    asset = from_server(server)
    if trouble == "truncated":
        server.truncated.add("b.txt")
    elif trouble == "absent":
        del server.bodies["b.txt"]
    else:
        server.bodies["b.txt"] = b"second file, longer" if trouble == "longer" else b"second"
    with pytest.raises(ProgressiveError, match=r"asset 'toy', file b\.txt"):
        fetch(asset)
    assert left_in(cache) == []


def test_a_failed_repair_leaves_the_old_copy(server: Server, cache: Path) -> None:
    folder = fetch(from_server(server))
    (folder / "a.txt").write_bytes(b"flipped")
    server.bodies.clear()
    with pytest.raises(ProgressiveError):
        fetch(make_asset(CONTENTS, {name: [server.source(name)] for name in CONTENTS}))
    assert (folder / "b.txt").read_bytes() == CONTENTS["b.txt"]
    assert left_in(cache) == ["assets/toy/a.txt", "assets/toy/b.txt"]


def test_the_next_source_is_tried_and_a_failing_package_only_once(
    tmp_path: Path, server: Server, packages: list[str]
) -> None:
    asset = from_wheel(tmp_path)
    (tmp_path / "toy_package-1.0-py3-none-any.whl").unlink()
    server.bodies.update(CONTENTS)
    sources = {file.name: [file.sources[0].model_dump(), server.source(file.name)] for file in asset.files}
    assert_whole(fetch(make_asset(CONTENTS, sources)))
    assert len(packages) == 1


def test_every_source_that_failed_is_named(tmp_path: Path, server: Server, packages: list[str]) -> None:
    wheel = write_wheel(tmp_path, {"other": b"x"})
    asset = make_asset({"a.txt": b"x"}, {"a.txt": [member(wheel, "absent"), server.source("nowhere")]})
    with pytest.raises(ProgressiveError, match=r"has no file 'absent'; .*nowhere.*404"):
        fetch(asset)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so_and_keeps_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(url: str, target: Path) -> None:
        target.write_bytes(b"hal")
        raise OSError(code, "full")

    monkeypatch.setattr(fetching, "download", full)
    with pytest.raises(ProgressiveError, match=r"'toy': no space left.*PROGRESSIVE_TF_CACHE"):
        fetch(from_server(server))
    assert left_in(cache) == []


def test_a_cache_that_cannot_be_written_says_so(server: Server, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(ProgressiveError, match=r"cannot write to.*PROGRESSIVE_TF_CACHE"):
        fetch(from_server(server))


def test_an_interruption_keeps_nothing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(from_server(server))
    assert left_in(cache) == []


def test_leftovers_of_killed_processes_go_and_those_of_other_assets_stay(server: Server, cache: Path) -> None:
    for name in (".toy.0000.tmp", ".toy-2.0000.tmp"):
        (cache / "assets" / name).mkdir(parents=True)
        (cache / "assets" / name / "half").write_bytes(b"x")
    fetch(from_server(server))
    assert left_in(cache) == ["assets/.toy-2.0000.tmp/half", "assets/toy/a.txt", "assets/toy/b.txt"]


def test_progress_goes_to_stderr(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(from_server(server))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "fetching toy" in captured.err
