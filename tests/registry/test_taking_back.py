"""A rollback waits for nobody, and undoes what it names and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_fakes import fake_export, staged

from progressive_tf.errors import InputError
from progressive_tf.registry import ModelVersions, RegistryError, Version, journal
from progressive_tf.registry import model_folder as folders
from progressive_tf.registry.lock import write_lock
from progressive_tf.registry.traffic import TakenBack, Traffic


@pytest.fixture
def released(model: ModelVersions) -> ModelVersions:
    """Versions 1 to 3, of which 2 is stable and 3 the canary."""
    for name in ("pilot", "beta"):
        model.publish(staged(name))
    model.publish(staged("full"), alias=None)
    Traffic(model).start_canary(3, 5)
    return model


def test_whoever_takes_back_waits_for_no_export(released: ModelVersions) -> None:
    """A rollback in the middle of an export: the export goes on, and does not become stable in its place."""
    taken: list[str] = []

    def export(folder: Path) -> None:
        fake_export()(folder)
        taken.append(Traffic(released, "ann").roll_back().alias)
        taken.append(Traffic(released, "ann").roll_back("stable").alias)
        assert released.aliases() == {"stable": 1}

    released.publish(staged("more", export=export))
    assert taken == ["canary", "stable"]
    assert released.aliases() == {"stable": 1}
    assert [version.number for version in released.versions()] == [1, 2, 3, 4]
    assert not released.files.is_unsettled()


def test_an_export_that_began_afterwards_becomes_stable(released: ModelVersions) -> None:
    Traffic(released).roll_back()
    Traffic(released).roll_back("stable")
    released.publish(staged("more"))
    assert released.aliases() == {"stable": 4, "previous": 1}


@pytest.mark.parametrize(
    "move",
    [
        lambda traffic: traffic.widen(100.0),
        lambda traffic: traffic.widen(50.0),
        lambda traffic: traffic.pause(),
        lambda traffic: traffic.start_shadow(1),
    ],
)
def test_what_was_taken_back_is_not_moved_by_who_had_looked_before(
    released: ModelVersions, monkeypatch: pytest.MonkeyPatch, move: Callable[[Traffic], None]
) -> None:
    def append(self: folders.ModelFolder, *given: object) -> None:
        monkeypatch.undo()
        Traffic(released, "ann").roll_back()
        self.append_after(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(folders.ModelFolder, "append_after", append)
    with pytest.raises(RegistryError, match="canary was taken back in the meantime, by ann; nothing else moves"):
        move(Traffic(released))
    assert released.aliases() == {"stable": 2, "previous": 1}


def test_what_is_named_is_taken_back_once(released: ModelVersions) -> None:
    traffic = Traffic(released)
    traffic.start_shadow(1)
    for version, alias in ((3, "canary"), (1, "shadow"), (2, "stable")):
        assert traffic.roll_back(version=version) == TakenBack(alias, version, 1 if alias == "stable" else None)
        for named, said in ((alias, f"version {version} is not {alias}"), (None, "is neither stable nor canary nor")):
            with pytest.raises(InputError, match=said):
                traffic.roll_back(named, version=version)
    assert released.aliases() == {"stable": 1}


def test_two_at_once_take_back_one_version(released: ModelVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    Traffic(released).roll_back()
    taking_back = folders.ModelFolder.taking_back

    def another_comes_first(self: folders.ModelFolder) -> object:
        monkeypatch.undo()
        Traffic(released).roll_back("stable")
        return taking_back(self)

    monkeypatch.setattr(folders.ModelFolder, "taking_back", another_comes_first)
    with pytest.raises(InputError, match="version 2 is not stable: version 1 is stable"):
        Traffic(released).roll_back("stable")
    assert released.aliases() == {"stable": 1}


def test_a_full_disk_and_a_lock_stop_no_rollback(released: ModelVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders, "write_views", full)
    with write_lock(released.files.path, 0.0):
        assert Traffic(released).roll_back() == TakenBack("canary", 3)
    assert Traffic(released).roll_back("stable") == TakenBack("stable", 2, 1)
    assert released.aliases() == {"stable": 1}
    monkeypatch.undo()
    assert released.files.is_unsettled()
    assert released.settle()
    assert not released.files.is_unsettled()


@pytest.mark.parametrize("take_back", [lambda model: Traffic(model).roll_back("stable"), ModelVersions.rollback])
def test_what_a_killed_export_left_does_not_come_in_the_place_of_what_is_taken_back(
    released: ModelVersions, take_back: Callable[[ModelVersions], object]
) -> None:
    class Killed(BaseException):
        pass

    def kill(*given: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders.ModelFolder, "complete", kill)
        with pytest.raises(Killed):
            released.publish(staged("more"))
    take_back(released)
    assert released.aliases() == {"stable": 1, "canary": 3}
    assert [version.number for version in released.versions()] == [1, 2, 3, 4]
    assert not released.files.is_unsettled()


@pytest.mark.parametrize(
    ("alias", "taken", "expected"),
    [
        ("canary", "canary", {"stable": 2, "previous": 1}),
        ("canary", "stable", {"stable": 1, "canary": 3}),
        ("shadow", "stable", {"stable": 1, "canary": 3}),
        ("shadow", "canary", {"stable": 2, "previous": 1, "shadow": 4}),
        ("stable", "canary", {"stable": 4, "previous": 2}),
    ],
)
def test_what_was_taken_back_during_an_export_does_not_come_again(
    released: ModelVersions, alias: str, taken: str, expected: dict[str, int]
) -> None:
    def export(folder: Path) -> None:
        fake_export()(folder)
        Traffic(released, "ann").roll_back(taken)

    released.publish(staged("more", export=export), alias=alias, percent=5.0 if alias == "canary" else None)
    assert released.aliases() == expected
    assert [version.number for version in released.versions()] == [1, 2, 3, 4]


def test_nothing_is_exported_beside_a_stable_that_was_taken_back_meanwhile(
    released: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    Traffic(released).roll_back()
    check = ModelVersions._check_stable

    def taken_back_after(self: ModelVersions, *given: object) -> None:
        check(self, *given)  # type: ignore[arg-type]
        Traffic(released, "ann").roll_back("stable")

    monkeypatch.setattr(ModelVersions, "_check_stable", taken_back_after)
    with pytest.raises(RegistryError, match="stable was taken back in the meantime, by ann"):
        released.publish(staged("more", run="run-2"), when_stable_in={2})
    assert released.aliases() == {"stable": 1}
    assert [version.number for version in released.versions()] == [1, 2, 3]


def test_files_are_compared_while_others_write(released: ModelVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_damaged = ModelVersions.refuse_damaged

    def meanwhile(self: ModelVersions, version: Version) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(journal, "BUSY_SECONDS", 0.1)
        Traffic(released, "the server").withdraw("canary")
        refuse_damaged(self, version)

    monkeypatch.setattr(ModelVersions, "refuse_damaged", meanwhile)
    released.rollback()
    assert released.aliases() == {"stable": 1}


def test_where_stable_moves_while_files_are_compared_those_of_its_previous_are_compared_too(
    released: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_damaged = ModelVersions.refuse_damaged

    def meanwhile(self: ModelVersions, version: Version) -> None:
        monkeypatch.undo()
        refuse_damaged(self, version)
        released.publish(staged("more"))
        (released.version(2).folder / "saved_model.pb").write_bytes(b"changed")

    monkeypatch.setattr(ModelVersions, "refuse_damaged", meanwhile)
    with pytest.raises(RegistryError, match="version 2 is damaged"):
        released.rollback()
    assert released.aliases() == {"stable": 4, "previous": 2, "canary": 3}
