from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_fakes import MODEL, staged

from progressive_tf.registry import ModelVersions, Registry, journal
from progressive_tf.registry.folder import find_damage


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Registries whose second publication was killed, each one step later; the last got through."""
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("kill_everywhere.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [folder / str(step) for step in range(int(done.stdout))]


def copies(killed: list[Path], to: Path) -> list[ModelVersions]:
    return [Registry(shutil.copytree(path, to / path.name)).model(MODEL) for path in killed]


def states(model: ModelVersions) -> str:
    return " ".join(entry.event for entry in model.entries()[4:])


def leftovers(model: ModelVersions) -> list[str]:
    return [path.name for path in model.files.path.glob(".*") if path.name != ".lock"]


def assert_two_versions(model: ModelVersions) -> None:
    assert [(version.number, version.stage) for version in model.versions()] == [(1, "pilot"), (2, "beta")]
    assert model.aliases() == {"stable": 2, "previous": 1}
    assert json.loads((model.files.path / "aliases.json").read_text()) == {"stable": 2, "previous": 1}
    assert "value: 2" in (model.files.path / "models.config").read_text()
    assert model.verify() == ()
    assert leftovers(model) == []
    folder = model.files.path / "2"
    assert all(path.stat().st_mode & 0o222 == 0 for path in [folder, *folder.rglob("*")])


def test_the_kills_reach_every_state(killed: list[Path], tmp_path: Path) -> None:
    models = copies(killed, tmp_path)
    assert {states(model) for model in models} == {
        "",
        "intent",
        "intent prepared",
        "intent prepared commit alias",
    }
    prepared = [model for model in models if states(model) == "intent prepared"]
    assert {(model.files.path / "2").exists() for model in prepared} == {True, False}
    assert any(leftovers(model) for model in models)


def test_what_aliases_point_to_is_whole_at_every_moment(killed: list[Path]) -> None:
    for path in killed:
        model = Registry(path).model(MODEL)
        for number in json.loads((model.files.path / "aliases.json").read_text()).values():
            version = model.version(number)
            assert find_damage(version.folder, number, version.manifest_sha256) == ()
        assert model.verify() == ()


def test_the_same_command_ends_as_if_it_had_never_been_killed(killed: list[Path], tmp_path: Path) -> None:
    for model in copies(killed, tmp_path):
        assert model.publish(staged("beta", parent=1)).number == 2
        assert_two_versions(model)


def test_opening_it_again_completes_or_removes(killed: list[Path], tmp_path: Path) -> None:
    for model in copies(killed, tmp_path):
        is_prepared = "prepared" in states(model)
        model.settle()
        if is_prepared:
            assert_two_versions(model)
        else:
            assert [version.number for version in model.versions()] == [1]
            assert model.aliases() == {"stable": 1}
        assert leftovers(model) == []
        assert not model.settle()


@pytest.mark.slow
def test_another_stage_afterwards_gets_a_number_of_its_own(killed: list[Path], tmp_path: Path) -> None:
    for model in copies(killed, tmp_path):
        is_prepared = "prepared" in states(model)
        assert model.publish(staged("full")).number == (3 if is_prepared else 2)
        assert model.publish(staged("beta", parent=1)).number == (2 if is_prepared else 3)
        assert sorted(version.number for version in model.versions()) == [1, 2, 3]
        assert model.aliases() == ({"stable": 3, "previous": 2})
        assert model.verify() == ()


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_prepared_version_that_was_damaged_is_removed_and_its_number_stays_unused(
    killed: list[Path], tmp_path: Path, is_renamed: bool
) -> None:
    model = next(
        model
        for model in copies(killed, tmp_path)
        if states(model) == "intent prepared" and (model.files.path / "2").exists() == is_renamed
    )
    folder = model.files.path / "2" if is_renamed else next(model.files.path.glob(".incoming-*"))
    (folder / "saved_model.pb").chmod(0o600)
    (folder / "saved_model.pb").write_bytes(b"changed")
    assert model.settle()
    assert model.entries()[-1].event == journal.ABANDONED
    assert "saved_model.pb changed" in str(model.entries()[-1].reason)
    assert leftovers(model) == []
    assert not (model.files.path / "2").exists()
    assert model.publish(staged("beta", parent=1)).number == 3


PUBLISH = """
import sys
from pathlib import Path
from registry_fakes import MODEL, fake_export, staged
from progressive_tf.registry import Registry, lock

lock.QUIET_SECONDS = 0.01  # and says so soon where it waits

def export(folder):
    fake_export()(folder)
    if "hold" in sys.argv:
        print("exporting", flush=True)
        sys.stdin.read()

print(Registry(Path(sys.argv[1])).model(MODEL).publish(staged(sys.argv[2], export=export)).number)
"""


@contextlib.contextmanager
def publishing(root: Path, stage: str, *hold: str) -> Iterator[subprocess.Popen[str]]:
    """Publishes a stage in a process of its own, which stays in its export where it is told to hold."""
    command = [sys.executable, "-u", "-c", PUBLISH, str(root), stage, *hold]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as publisher:
        try:
            yield publisher
        finally:
            publisher.kill()


def published(root: Path, *stages: str) -> list[str]:
    """Publishes stages at once, each in a process of its own, and returns their numbers."""
    with contextlib.ExitStack() as stack:
        publishers = [stack.enter_context(publishing(root, stage)) for stage in stages]
        return [publisher.communicate()[0].strip() for publisher in publishers]


@pytest.mark.slow
def test_stages_published_at_once_get_numbers_of_their_own_and_each_is_one_version(tmp_path: Path) -> None:
    numbers = published(tmp_path, "a", "b", "c", "a")
    assert sorted(numbers[:3]) == ["1", "2", "3"]
    assert numbers[3] == numbers[0]
    model = Registry(tmp_path).model(MODEL)
    assert model.verify() == ()
    assert model.aliases() == {"stable": 3, "previous": 2}


@pytest.mark.slow
def test_two_promoters_killed_at_once_leave_what_a_restart_completes(tmp_path: Path) -> None:
    with publishing(tmp_path, "a", "hold") as exports:
        assert exports.stdout is not None
        assert exports.stdout.readline() == "exporting\n"
        with publishing(tmp_path, "b") as waits:
            assert waits.stderr is not None
            while "waiting for another process" not in (said := waits.stderr.readline()):
                assert said
    assert sorted(published(tmp_path, "a", "b")) == ["1", "2"]
    model = Registry(tmp_path).model(MODEL)
    assert not model.settle()
    assert model.verify() == ()
    assert model.aliases() == {"stable": 2, "previous": 1}
    assert leftovers(model) == []
