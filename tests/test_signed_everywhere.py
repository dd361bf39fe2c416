"""Every way to a version asks for signatures once the environment names whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signing_keys import make_key
from test_release import MODEL, staged

from progressive_tf.api.registry import Registry as PythonRegistry
from progressive_tf.drilling.subject import version_under_drill
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.retention_methods import Distill
from progressive_tf.plan.schema import Plan
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.keys import KEY_VARIABLE, TRUSTED_VARIABLE, Keys
from progressive_tf.scoring.versions import exported_version, find_version
from progressive_tf.training.run.checks import find_teacher
from progressive_tf.training.run.start import find_start

WAYS: dict[str, Callable[[Path], Any]] = {
    "predict": lambda folder: find_version(MODEL, "stable", folder),
    "predict an older one": lambda folder: find_version(MODEL, "1", folder),
    "drill": lambda folder: version_under_drill(Registry(folder).existing_model(MODEL), None),
    "ask": lambda folder: Registry(folder).existing_model(MODEL).in_use(),
    "monitor, export and a server": lambda folder: Registry(folder).existing_model(MODEL).version(1),
    "start: stable": lambda folder: find_start(
        Plan.model_construct(name=MODEL, start="stable"), Registry(folder).model(MODEL)
    ),
    "a teacher": lambda folder: find_teacher(
        Distill.model_construct(teacher="stable"), Registry(folder).model(MODEL), folder
    ),
    "Python": lambda folder: PythonRegistry(folder).model(MODEL).stable(),
    "the start of a run, which would release": lambda folder: Registry(folder).model(MODEL).check_writable(),
    "a stage that is released": lambda folder: Registry(folder).model(MODEL).publish(staged("beta")),
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelVersions:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    found = Registry(tmp_path / "registry", keys=Keys()).model(MODEL)
    found.publish(staged("pilot"))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_signed_is_refused_on_every_way(
    model: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    key = make_key(tmp_path, "release")
    monkeypatch.setenv(TRUSTED_VARIABLE, str(key.with_suffix(".pub")))
    if "release" in way:
        monkeypatch.setenv(KEY_VARIABLE, str(key))
    with pytest.raises(ProgressiveError, match=r"reviews: entries 1 to 4 .* not signed"):
        WAYS[way](tmp_path / "registry")
    Registry(tmp_path / "registry", keys=Keys.read(key)).model(MODEL).sign()
    if way != "a teacher":  # whose files are more than these
        WAYS[way](tmp_path / "registry")


def test_a_run_that_could_not_sign_its_versions_ends_before_it_begins(
    model: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path, "release")
    Registry(tmp_path / "registry", keys=Keys.read(key)).model(MODEL).sign()
    monkeypatch.setenv(TRUSTED_VARIABLE, str(key.with_suffix(".pub")))
    for name in (MODEL, "a new one"):
        with pytest.raises(ProgressiveError, match="there is no key to sign this with"):
            Registry(tmp_path / "registry").model(name.replace(" ", "-")).check_writable()
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    before = model.files.journal.read_bytes()
    Registry(tmp_path / "registry").model(MODEL).check_writable()
    assert model.files.journal.read_bytes() == before


def test_a_folder_without_a_journal_is_refused(
    model: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model.files.version(1)
    assert exported_version(folder).number == 1
    monkeypatch.setenv(TRUSTED_VARIABLE, str(make_key(tmp_path, "release").with_suffix(".pub")))
    for way in (
        lambda: exported_version(folder),
        lambda: find_version(str(folder), "stable", tmp_path),
        lambda: find_teacher(Distill.model_construct(teacher="1"), model, model.files.path),
        lambda: PythonRegistry.exported(folder),
    ):
        with pytest.raises(InputError, match="an exported version has no signature"):
            way()


def test_python_answers_by_no_version_whose_files_were_changed(model: ModelVersions, tmp_path: Path) -> None:
    model.publish(staged("beta"))
    versions = PythonRegistry(tmp_path / "registry").model(MODEL)
    file = model.files.version(1) / "saved_model.pb"
    file.chmod(0o600)
    file.write_bytes(b"changed")
    for way in (
        lambda: versions.version(1).batch_function(),
        lambda: versions.version(1).predict("a text"),
        lambda: versions.version(2).batch_function(against=1),
        lambda: versions.version(2).batch_function(against=versions.version(1)),
        lambda: versions.version(1).predict_files("in.csv", tmp_path / "out.csv"),
    ):
        with pytest.raises(ProgressiveError, match=r"version 1 is damaged \(saved_model\.pb changed\)"):
            way()
