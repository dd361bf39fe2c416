"""Tiny runs of every task leave on disk, and answer, what they did when their records were made (see make.py)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import old
import plans
import pytest
import records

# Keys that files have gained since their records were made: pattern of a file's path → patterns of dotted keys, "" for
# the whole file. Whoever adds one here says in the commit who reads it, and that what lacks it is still read.
ADDED_SINCE: dict[str, Sequence[str]] = {
    # Versions name their task, for a server and `monitor`; plan/tasks.py infers it where they do not.
    "registry/*/manifest.json": ("task", "input_kind"),
    # What a version became stable by, which is read from the journal.
    "release": ("show.manifest.task", "show.manifest.input_kind", "show.stable_by"),
    "done": ("*.said.stable_by",),
}
QUICK = "class-incremental"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in plans.CASES]
)
def test_a_run_is_as_recorded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = records.record(plans.CASES[name], tmp_path)
    apart = records.differences(records.read_record(name), found, ADDED_SINCE)
    assert not apart, "\n".join([f"{len(apart)} differences", *apart[:60]])


MANIFEST = "registry/tabular-classification/1/manifest.json"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return records.read_record("canary")


@pytest.fixture
def now(recorded: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(recorded)


def test_a_record_agrees_with_itself(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    assert records.differences(recorded, now, {}) == []
    for part in ("manifest.json", "decision.json", "predictions.parquet", "weights.safetensors", "journal.sqlite"):
        assert any(file.endswith(part) for file in recorded["files"]), part
    assert recorded["served"]["2"]["answers"]["serving_default"]["label"]


def test_only_keys_that_are_listed_may_be_new(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    now["files"][MANIFEST]["owner"] = "somebody"
    now["files"][MANIFEST]["decision"]["rules"][0]["kind"] = "bound"
    now["files"]["runs/new.json"] = {}
    assert records.differences(recorded, now, {}) == [
        f"{MANIFEST}: decision.rules.0.kind is new",
        f"{MANIFEST}: owner is new",
        "runs/new.json: is new",
    ]
    added = {"registry/*/manifest.json": ("owner", "decision.rules.*.kind"), "runs/new.json": ("",)}
    assert records.differences(recorded, now, added) == []
    assert records.differences(recorded, now, {"runs/*": ("*", "")}) != []
    now["release"]["list"][0]["owner"] = "somebody"
    assert records.differences(recorded, now, added) == ["release: list.0.owner is new"]


def test_what_was_there_must_stay_as_it_was(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    manifest = now["files"][MANIFEST]
    manifest["labels"][0] = "short"
    manifest["metrics"]["accuracy"] += 0.01
    manifest["metrics"]["ece"] += 0.00001  # less than rounding may change
    manifest["decision"]["rules"][0]["n"] += 1
    manifest["decision"]["rules"].pop()
    del manifest["stage"]
    del now["files"]["registry/tabular-classification/aliases.json"]
    now["exit"] = 3
    # Being allowed to be new is no leave to change.
    apart = records.differences(recorded, now, {"*": ("*", "")})
    places = [line.partition(" is ")[0].partition(" has ")[0] for line in apart]
    assert places == [
        "exit: ",
        f"{MANIFEST}: stage",
        f"{MANIFEST}: labels.0",
        f"{MANIFEST}: metrics.accuracy",
        f"{MANIFEST}: decision.rules",
        "registry/tabular-classification/aliases.json:",
    ]


def test_bits_are_compared_on_the_processor_they_were_made_on(recorded: dict[str, Any], now: dict[str, Any]) -> None:
    now["files"][MANIFEST]["weights_sha256"] = "0" * 64
    assert len(records.differences(recorded, now, {})) == 1
    now["processor"] = "another"
    assert records.differences(recorded, now, {}) == []
    now["files"][MANIFEST]["data_sha256"] = "0" * 64
    assert len(records.differences(recorded, now, {})) == 1


@pytest.mark.parametrize(
    ("old", "new", "agree"),
    [
        ("0.5500 (0.45 to 0.65)", "0.5501 (0.45 to 0.65)", True),
        ("0.5500 (0.45 to 0.65)", "0.5600 (0.45 to 0.65)", False),
        ("−0.100", "+0.100", False),
        ("20 rows", "21 rows", False),
        ("20 rows", "20 lines", False),
        ("version 1.5", "version 1", False),
    ],
)
def test_numbers_in_texts_may_differ_by_rounding(old: str, new: str, agree: bool) -> None:
    wrapped = [{"processor": "one", "exit": text} for text in (old, new)]
    assert (records.differences(*wrapped, {}) == []) == agree


@pytest.mark.slow
@pytest.mark.skipif(old.present() != old.FIRST, reason="test_other_tensorflow.py goes on from these runs")
@pytest.mark.parametrize("name", old.OLD)
def test_an_old_run_is_shown_served_released_and_continued_as_recorded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = old.follow(name, tmp_path)
    apart = records.differences(records.read_record(f"old-{name}"), found, ADDED_SINCE)
    assert not apart, "\n".join([f"{len(apart)} differences", *apart[:60]])
