from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from registry_fakes import MODEL, fake_export, staged

from progressive_tf.errors import InputError
from progressive_tf.plan.tasks import input_kind_of_version, task_of_version
from progressive_tf.registry import Forced, ModelVersions, Registry, RegistryError, StableMovedError, journal
from progressive_tf.registry import folder as version_folder


def names(model: ModelVersions) -> set[str]:
    return {path.name for path in model.files.path.iterdir()} - {".lock"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_published_stage_lies_in_the_servers_layout_with_its_manifest(model: ModelVersions) -> None:
    version = model.publish(staged("pilot"))
    assert version.number == 1
    assert version.aliases == ("stable",)
    assert names(model) == {"1", "journal.sqlite", "aliases.json", "models.config"}
    assert {path.name for path in version.folder.iterdir()} == {
        "saved_model.pb",
        "variables",
        "assets",
        "manifest.json",
    }
    manifest = version.manifest()
    assert manifest is not None
    assert manifest["parent"] is None
    assert manifest["decision"]["rules"][0]["outcome"] == "pass"
    assert set(manifest["files"]) == {
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    }
    assert [entry.event for entry in model.entries()] == ["intent", "prepared", "commit", "alias"]
    assert json.loads((model.files.path / "aliases.json").read_text()) == {"stable": 1}


def test_nothing_in_a_released_folder_may_be_written(model: ModelVersions) -> None:
    folder = model.publish(staged("pilot")).folder
    assert all(path.stat().st_mode & 0o222 == 0 for path in [folder, *folder.rglob("*")])


def test_everything_is_on_the_disk_before_the_number_appears(
    model: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[str] = set()

    def note(path: Path) -> None:
        assert not (model.files.path / "1").exists()
        flushed.add("/".join(path.relative_to(model.files.path).parts[1:]))

    monkeypatch.setattr(version_folder, "fsync", note)
    folder = model.publish(staged("pilot")).folder
    assert flushed == {"", *(path.relative_to(folder).as_posix() for path in folder.rglob("*"))}


def test_the_same_stage_is_the_same_version_and_is_exported_once(model: ModelVersions) -> None:
    first = model.publish(staged("pilot"))
    model.publish(staged("beta"))

    def fail(folder: Path) -> None:
        raise AssertionError("exported twice")

    again = model.publish(staged("pilot", export=fail))
    assert again.number == first.number
    assert model.aliases() == {"stable": 2, "previous": 1}


def test_the_same_stage_name_of_another_run_is_another_version(model: ModelVersions) -> None:
    assert [model.publish(staged("pilot", run=run)).number for run in ("a", "b")] == [1, 2]


def test_a_stage_with_other_weights_is_refused(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    with pytest.raises(RegistryError, match="already reviews version 1, with other weights"):
        model.publish(staged("pilot", weights_sha256="others"))
    assert len(model.versions()) == 1


def test_publishing_without_an_alias_moves_none(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias=None)
    model.publish(staged("full"), alias="canary")
    assert model.aliases() == {"stable": 1, "canary": 3}
    with pytest.raises(InputError, match="unknown alias 'previous'"):
        model.publish(staged("more"), alias="previous")


def test_a_stage_of_another_model_or_with_an_unknown_parent_is_refused(model: ModelVersions) -> None:
    with pytest.raises(RegistryError, match="belongs to model 'tweets'"):
        model.publish(staged("pilot", model="tweets"))
    with pytest.raises(RegistryError, match="started from reviews version 4"):
        model.publish(staged("pilot", parent=4))


def test_stable_that_moved_since_the_comparison_is_noticed(model: ModelVersions) -> None:
    model.publish(staged("pilot", run="a"), when_stable_in={None})
    model.publish(staged("pilot", run="b"), when_stable_in={1})
    with pytest.raises(StableMovedError, match="points to version 2"):
        model.publish(staged("beta", run="a"), when_stable_in={1})
    assert model.publish(staged("beta", run="b"), when_stable_in={1}).number == 3  # its own run moved it


def test_lineage_follows_parents_to_the_first(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("other", run="b"))
    model.publish(staged("beta", parent=1))
    assert model.lineage(3) == (3, 1)


def test_a_full_disk_leaves_nothing_half_written(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    before = names(model)

    def fill_the_disk(folder: Path) -> None:
        (folder / "saved_model.pb").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RegistryError, match=r"no space left .* run the same command again"):
        model.publish(staged("beta", export=fill_the_disk))
    assert names(model) == before
    assert model.aliases() == {"stable": 1}
    assert model.entries()[-1].event == "abandoned"
    assert model.publish(staged("beta")).number == 2


@pytest.mark.parametrize("step", ["write_json", "fsync"])
def test_a_disk_that_fills_after_the_export_leaves_nothing_either(
    model: ModelVersions, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(version_folder, step, fail)
        with pytest.raises(RegistryError, match="no space left"):
            model.publish(staged("pilot"))
    assert names(model) == {"journal.sqlite"}
    assert model.publish(staged("pilot")).number == 1


def test_an_exporters_own_error_is_passed_on_and_cleaned_up(model: ModelVersions) -> None:
    def fail(folder: Path) -> None:
        (folder / "saved_model.pb").touch()
        raise KeyboardInterrupt("resume with: train")

    with pytest.raises(KeyboardInterrupt, match="resume with"):
        model.publish(staged("pilot", export=fail))
    assert names(model) == {"journal.sqlite"}


def test_an_export_that_is_no_saved_model_is_refused(model: ModelVersions) -> None:
    def link(folder: Path) -> None:
        fake_export()(folder)
        (folder / "assets" / "vocabulary").symlink_to("/etc/hosts")

    with pytest.raises(RegistryError, match=r"wrote no saved_model\.pb"):
        model.publish(staged("pilot", export=lambda folder: (folder / "weights").touch()))
    with pytest.raises(RegistryError, match="wrote assets/vocabulary; only plain"):
        model.publish(staged("pilot", export=link))
    assert model.versions() == ()


def test_rolling_back_walks_back_and_never_returns_to_what_was_withdrawn(model: ModelVersions) -> None:
    for stage in ("pilot", "beta", "full"):
        model.publish(staged(stage))
    released = files_of(model.files.path / "3")
    assert model.rollback("complaints").number == 2
    assert model.aliases() == {"stable": 2, "previous": 1}
    assert model.rollback().number == 1
    assert model.aliases() == {"stable": 1}
    with pytest.raises(InputError, match="no previous version to roll back to: version 1 is stable"):
        model.rollback()
    assert [version.number for version in model.versions()] == [1, 2, 3]
    assert files_of(model.files.path / "3") == released
    assert [entry.reason for entry in model.entries() if entry.event == "rollback"] == ["complaints", None]
    model.publish(staged("fourth"))
    assert model.aliases() == {"stable": 4, "previous": 1}


def test_rolling_back_a_model_without_versions_is_refused(model: ModelVersions) -> None:
    with pytest.raises(InputError, match="no model 'reviews'"):
        model.rollback()
    assert not model.files.path.exists()
    model.publish(staged("pilot"), alias=None)
    with pytest.raises(InputError, match="nothing is stable"):
        model.rollback()


def test_rolling_back_to_a_damaged_version_is_refused(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"))
    flip_a_byte(model.files.path / "1" / "saved_model.pb")
    with pytest.raises(RegistryError, match=r"version 1 is damaged \(saved_model.pb changed\)"):
        model.rollback()
    assert model.aliases() == {"stable": 2, "previous": 1}


def test_a_person_can_point_stable_to_a_version_again(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"))
    model.rollback()
    model.make_stable(2, Forced("the complaints were about something else"))
    assert model.aliases() == {"stable": 2, "previous": 1}
    entry = model.entries()[-1]
    assert (entry.forced, entry.reason) == (True, "the complaints were about something else")


def test_a_forced_promotion_names_who_why_and_when(model: ModelVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_user_name", lambda: "ada")
    version = model.publish(staged("pilot"), forced=Forced("demo on Monday"))
    assert version.forced
    for entry in (model.entries()[0], model.entries()[2]):
        assert (entry.forced, entry.reason, entry.who) == (True, "demo on Monday", "ada")
        assert entry.time.endswith("+00:00")
    manifest = version.manifest()
    assert manifest is not None
    assert manifest["forced"] == {"reason": "demo on Monday"}


@pytest.mark.parametrize("content", [None, "{broken", '{"stable": 1}', "\xff"])
def test_aliases_are_rebuilt_from_the_journal(model: ModelVersions, content: str | None) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"))
    view = model.files.path / "aliases.json"
    view.unlink()
    if content is not None:
        view.write_bytes(content.encode("latin-1"))
    assert model.aliases() == {"stable": 2, "previous": 1}
    assert model.settle()
    assert json.loads(view.read_text()) == {"stable": 2, "previous": 1}
    assert not model.settle()


def test_settling_leaves_a_model_alone_that_another_process_is_writing(model: ModelVersions) -> None:
    settled = []

    def look(folder: Path) -> None:
        settled.append(Registry(model.files.path.parent).model(MODEL).settle())
        fake_export()(folder)

    model.publish(staged("pilot", export=look))
    assert settled == [False]


def flip_a_byte(path: Path, position: int = 0) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_verify_finds_one_flipped_byte_in_any_file_of_any_version(model: ModelVersions) -> None:
    for stage in ("pilot", "beta"):
        model.publish(staged(stage))
    assert model.verify() == ()
    for number in (1, 2):
        folder = model.files.path / str(number)
        for name, content in files_of(folder).items():
            for position in (0, len(content) // 2, len(content) - 1):
                flip_a_byte(folder / name, position)
                found = model.verify()
                assert [(damage.version, damage.file, damage.problem) for damage in found] == [
                    (number, name, "changed")
                ]
                flip_a_byte(folder / name, position)
    assert model.verify() == ()


def test_verify_finds_what_is_missing_and_what_was_added(model: ModelVersions) -> None:
    for stage in ("pilot", "beta", "full", "more"):
        model.publish(staged(stage))
    root = model.files.path
    for path in root.rglob("*"):
        path.chmod(0o700)
    (root / "1" / "variables" / "variables.index").unlink()
    (root / "2" / "assets" / "extra").touch()
    (root / "2" / "assets" / "link").symlink_to("extra")
    shutil.rmtree(root / "3")
    (root / "4" / "manifest.json").unlink()
    (root / "9").mkdir()
    assert [(damage.version, damage.file, damage.problem) for damage in model.verify()] == [
        (1, "variables/variables.index", "missing"),
        (2, "assets/extra", "additional"),
        (2, "assets/link", "a link or special file"),
        (3, "", "missing"),
        (4, "manifest.json", "missing"),
        (9, "", "in no journal; nothing is known about it"),
    ]
    assert model.publish(staged("last")).number == 10


def test_a_manifest_rewritten_to_fit_changed_files_is_noticed(model: ModelVersions) -> None:
    folder = model.publish(staged("pilot")).folder
    flip_a_byte(folder / "saved_model.pb")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["saved_model.pb"] = version_folder.sha256_file(folder / "saved_model.pb")
    (folder / "manifest.json").chmod(0o600)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    assert [(damage.file, damage.problem) for damage in model.verify()] == [("manifest.json", "changed")]


def test_a_lost_journal_is_an_error_and_not_an_empty_registry(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    path = model.files.journal
    path.unlink()
    for action in (model.versions, model.verify, model.rollback, lambda: model.publish(staged("beta"))):
        with pytest.raises(RegistryError, match="missing or empty although there are versions"):
            action()
    path.touch()
    with pytest.raises(RegistryError, match="missing or empty although there are versions"):
        model.publish(staged("beta"))
    assert json.loads((model.files.path / "aliases.json").read_text()) == {"stable": 1}


# What manifests from before the key `task` have, with the task, and what a row is.
OLD_MANIFESTS: list[tuple[dict[str, Any], list[str], tuple[str, str]]] = [
    ({"labels": ["no", "yes"], "inputs": {"max_length": 32}}, [], ("text-classification", "texts")),
    ({"labels": ["no", "yes"]}, [], ("text-classification", "texts")),
    ({"labels": ["O", "B-a", "I-a"], "inputs": {"max_length": 32}}, [], ("token-classification", "words")),
    ({"labels": ["O", "other"], "inputs": {"max_length": 32}}, [], ("text-classification", "texts")),
    ({"labels": [], "inputs": {"max_length": 8, "max_target_length": 8}}, [], ("translation", "texts")),
    ({"labels": ["0", "1"], "inputs": {"size": 64}}, [], ("image-classification", "images")),
    ({"labels": ["0", "1"]}, ["image", "pixels"], ("image-classification", "images")),
    ({"labels": ["0", "1"], "preprocessing": {"columns": {}}}, ["image"], ("tabular-classification", "columns")),
    ({"labels": ["0", "1"], "inputs": {}}, [], ("tabular-classification", "vectors")),
    ({"labels": ["0", "1"]}, ["features"], ("tabular-classification", "vectors")),
    ({}, [], ("text-classification", "texts")),
]


@pytest.mark.parametrize(("manifest", "inputs", "expected"), OLD_MANIFESTS)
def test_a_manifest_without_a_task_tells_it(
    manifest: dict[str, Any], inputs: list[str], expected: tuple[str, str]
) -> None:
    assert (task_of_version(manifest, inputs).name, input_kind_of_version(manifest, inputs)) == expected


def test_a_manifest_names_its_task_and_what_a_row_is(model: ModelVersions) -> None:
    # Labels that look like tags are classes where the task says so.
    labels = ("O", "B-a")
    version = model.publish(staged("one", task="tabular-classification", input_kind="vectors", labels=labels))
    manifest = version.manifest() or {}
    assert (manifest["task"], manifest["input_kind"]) == ("tabular-classification", "vectors")
    assert version.task.name == "tabular-classification"
    assert input_kind_of_version(manifest) == "vectors"


def test_in_use_is_the_newest_version_while_nothing_is_stable(model: ModelVersions) -> None:
    for stage in ("pilot", "beta", "full"):
        model.publish(staged(stage), alias=None)
    assert model.in_use().number == 3
    model.make_stable(2, Forced("it is good enough"))
    assert model.in_use().number == 2
