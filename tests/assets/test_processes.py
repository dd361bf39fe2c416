"""Several processes and killed ones: real processes against a server of this test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.assets.toys import Server, left_in, make_asset

CONTENTS = {"a.txt": b"first file", "b.txt": b"second file"}
FETCH = """
import sys
from pathlib import Path
from progressive_tf.assets.catalogue import read_catalogue
from progressive_tf.assets.fetch import fetch
print(fetch(read_catalogue(Path(sys.argv[1]))["toy"]))
"""


@pytest.fixture
def catalogue_file(server: Server, tmp_path: Path) -> Path:
    server.bodies.update(CONTENTS)
    asset = make_asset(CONTENTS, {name: [server.source(name)] for name in CONTENTS})
    fields = asset.model_dump(mode="json", exclude={"name", "reading"})
    path = tmp_path / "catalogue.yaml"
    with path.open("w") as stream:
        YAML(typ="safe").dump({"artefacts": {}, "assets": {"toy": fields}}, stream)
    return path


def start(catalogue_file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(catalogue_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_both_succeed_and_download_once(server: Server, catalogue_file: Path, cache: Path) -> None:
    server.held.add("a.txt")
    first = start(catalogue_file)
    assert server.reached.wait(60)
    second = start(catalogue_file)
    assert second.stderr is not None
    assert "another process is fetching toy" in second.stderr.readline()
    server.released.set()
    for process in (first, second):
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert output.strip() == str(cache / "assets" / "toy")
    assert sorted(server.requests) == ["a.txt", "b.txt"]
    assert left_in(cache) == ["assets/toy/a.txt", "assets/toy/b.txt"]


def test_killed_in_the_middle_leaves_nothing_that_the_next_one_keeps(
    server: Server, catalogue_file: Path, cache: Path
) -> None:
    server.held.add("b.txt")
    killed = start(catalogue_file)
    assert server.reached.wait(60)
    killed.kill()
    killed.communicate(timeout=60)
    assert not (cache / "assets" / "toy").exists()
    assert len(left_in(cache)) > 0
    server.released.set()
    follower = start(catalogue_file)
    _, errors = follower.communicate(timeout=60)
    assert follower.returncode == 0, errors
    assert left_in(cache) == ["assets/toy/a.txt", "assets/toy/b.txt"]
