"""Whether a run has anything left to do, from what stands in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from progressive_tf.evaluation.decision import Decision
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.registry import ModelVersions
from progressive_tf.training.run.finished import finished_before
from progressive_tf.training.run.run_folder import RunFolder

KNOWN = {"flags": ["--plan", "plan.yaml"]}
HELD = Decision("hold", "not sure enough", ())


class Ended:
    """A run of two stages that has ended, in a folder without a registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunFolder(folder / "run")
        self.loaded: LoadedPlan = load_plan(str(tiny.write_plan(folder, tiny.raw_plan())))
        for name, decision in (("01-one", Decision("promote", "passed", ())), ("02-two", HELD)):
            self.write(f"stages/{name}/decision.json", json.dumps(decision.to_json()))
        self.write("environment.json", json.dumps(self.places(folder)))
        self.run.log("started", stages=["one", "two"], again=KNOWN)
        self.run.log("finished", promoted=False)

    def places(self, folder: Path) -> dict[str, str]:
        return {"registry": str((folder / "registry").resolve()), "plan_folder": str(folder.resolve())}

    def write(self, name: str, text: str) -> None:
        path = self.run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def end(self) -> bool | None:
        found = finished_before(self.run, self.loaded, self.folder / "registry", KNOWN)
        return None if found is None else found.promoted


@pytest.fixture
def ended(tmp_path: Path) -> Ended:
    return Ended(tmp_path)


def test_a_run_that_the_same_command_has_finished(ended: Ended) -> None:
    assert ended.end() is False
    ended.write("stages/02-two/decision.json", json.dumps(replace(HELD, decision="promote").to_json()))
    assert ended.end() is True


def test_what_a_person_released_since_is_noted_first(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelVersions, "version_of_stage", lambda self, run, stage: stage == "two" or None)
    assert ended.end() is None, "forced.json is not written yet"
    ended.write("stages/02-two/forced.json", "{}")
    assert ended.end() is True


@pytest.mark.parametrize(
    "change",
    [
        lambda ended: ended.run.log("started", stages=["one", "two"], again=KNOWN),
        lambda ended: ended.run.log("interrupted"),
        lambda ended: (ended.run.path / "stages/02-two/decision.json").unlink(),
        lambda ended: ended.write("stages/01-one/backup/state.safetensors", ""),
        lambda ended: ended.write("events.jsonl", ""),
        lambda ended: ended.write("environment.json", json.dumps(ended.places(ended.folder / "before"))),
        lambda ended: setattr(ended, "loaded", load_plan(str(ended.folder / "plan.yaml"), stages=1)),
    ],
    ids=["killed since", "interrupted since", "not judged", "a backup is left", "no events", "moved", "fewer stages"],
)
def test_a_run_that_may_have_something_left_to_do(ended: Ended, change: Callable[[Ended], None]) -> None:
    change(ended)
    assert ended.end() is None
