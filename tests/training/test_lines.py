"""Versions that a stage is compared with beside the last one, and looks, over several runs in one registry."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import tiny
from releasing import PASSES, Place, decision, small_plan, stage_folder

from progressive_tf.data.learnt import Learnt
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.registry.store import Registry
from progressive_tf.training.fitting.locations import EXTRA
from progressive_tf.training.stage import line, looking, promotion

BEST = {"metric": "accuracy", "slice": "current", "drop_at_most": 1.0, "confidence": 0.95, "against": "best"}
FIRST = BEST | {"against": "first"}
STRICT = BEST | {"drop_at_most": 0.0, "against": "released"}


def plan(seed: int, gate: list[dict[str, Any]], start: str = "stable", **changes: Any) -> dict[str, Any]:
    made = small_plan({"name": "week", "data": {"take": 40}, "gate": gate}, seed=seed, start=start, **changes)
    return tiny.of_table(made)


def against(run: Path, name: str = "week") -> list[str | None]:
    return [rule.get("against") for rule in decision(run, name)["rules"]]


class Weeks:
    """Three runs of one stage, each from the stable version of the one before."""

    def __init__(self, folder: Path) -> None:
        tiny.write_table(folder / "data.csv", 240)
        self.place = Place(folder)
        first = self.place.run(plan(1, [PASSES], "pretrained")).run
        later = [
            self.place.run(plan(seed, gate)).run for seed, gate in ((2, [PASSES, BEST]), (3, [PASSES, BEST, FIRST]))
        ]
        self.runs = [first, *later]

    @property
    def versions(self) -> Any:
        return Registry(self.place.folder / "registry").model(plan(1, [PASSES])["name"])


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Weeks:
    return Weeks(tmp_path_factory.mktemp("weeks"))


def test_the_best_and_the_first_are_carried_from_run_to_run(weeks: Weeks) -> None:
    made = [decision(run, "week") for run in weeks.runs]
    assert [one["version"] for one in made] == [1, 2, 3]
    assert [one.get("first") for one in made] == [None, 1, 1]
    assert made[1]["best"] == [1]
    assert len(made[2]["best"]) == 1
    assert against(weeks.runs[1]) == [None, None], "the released version is the best and the first there"
    assert against(weeks.runs[2]) == [None, None, "version 1", "version 1"]
    manifest = weeks.versions.version(3).manifest()
    assert manifest["decision"]["best"] == made[2]["best"]
    assert manifest["decision"]["first"] == 1


def test_looks_begin_anew_with_each_release(weeks: Weeks) -> None:
    assert [rule["look"] for rule in decision(weeks.runs[2], "week")["rules"]] == [1] * 4
    assert [decision(run, "week")["test_runs"] for run in weeks.runs] == [1, 2, 3]


def copy_of(weeks: Weeks, folder: Path) -> Place:
    shutil.copytree(weeks.place.folder, folder / "weeks", symlinks=True)
    return Place(folder / "weeks")


def test_a_look_is_noted_before_its_verdict_is_used(
    weeks: Weeks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy_of(weeks, tmp_path)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(promotion, "judge", killed)
    with pytest.raises(KeyboardInterrupt):
        place.run(plan(21, [PASSES, STRICT]))
    monkeypatch.undo()
    other = decision(place.run(plan(22, [PASSES, STRICT])).run, "week")
    assert other["rules"][1]["look"] == 2, "the killed one may have seen its verdict"
    assert other["decision"] != "promote"
    again = decision(place.run(plan(21, [PASSES, STRICT])).run, "week")
    assert again["rules"][1]["look"] == 1, "the same weights are no new look"


def test_a_damaged_version_holds_and_says_what_to_do(weeks: Weeks, tmp_path: Path) -> None:
    place = copy_of(weeks, tmp_path)
    saved = place.folder / "registry" / plan(1, [PASSES])["name"] / "1" / "saved_model.pb"
    saved.parent.chmod(0o755)
    saved.chmod(0o644)
    saved.write_bytes(b"damaged")
    made = decision(place.run(plan(31, [PASSES, FIRST])).run, "week")
    assert made["decision"] == "hold"
    assert "version 1 is damaged" in made["reason"]
    assert "restore it, or set against: released" in made["reason"]


@pytest.mark.slow
def test_a_version_is_named_by_its_number_and_has_to_be_there(weeks: Weeks, tmp_path: Path) -> None:
    place = copy_of(weeks, tmp_path)
    made = place.run(plan(41, [PASSES, BEST | {"against": {"version": 2}}])).run
    assert against(made) == [None, "version 2"]
    with pytest.raises(InputError, match=r"stages\[0\]\.gate\[1\]\.against: .*version.*'9'"):
        place.run(plan(42, [PASSES, BEST | {"against": {"version": 9}}]))


def test_a_run_that_begins_anew_goes_on_the_line_of_the_version_that_it_replaces(weeks: Weeks, tmp_path: Path) -> None:
    place = copy_of(weeks, tmp_path)
    made = decision(place.run(plan(51, [PASSES, BEST], start="pretrained")).run, "week")
    assert made["stable"] == "stable points to it"
    assert made["first"] == 1
    assert made["best"]
    assert made["best"] != [made["version"]]


def asked(monkeypatch: pytest.MonkeyPatch, labels: list[str], same_classes: bool = False, **problems: Any) -> Any:
    """Asks a made-up version with some classes in a run that knows three by now, of four in its plan."""
    monkeypatch.setattr(line, "find_damage", lambda *_: problems.get("damage", ()))
    monkeypatch.setattr(line, "misfit", lambda *_: problems.get("misfit"))
    run: Any = SimpleNamespace(
        network=SimpleNamespace(labels=("a", "b", "c")),
        data=SimpleNamespace(labels=("a", "b", "c", "d"), sources={"source": SimpleNamespace(groups=None, keys=[])}),
        features=SimpleNamespace(answering=SimpleNamespace(ask=lambda *_: "answers")),
        start=SimpleNamespace(version=None),
    )
    version: Any = SimpleNamespace(folder=Path(), number=1, manifest_sha256="", manifest=lambda: {"labels": labels})
    wanted: Any = {("gate", "pilot"): ("source", [0, 1])}
    found = line.ask_version(run, version, wanted, same_classes)
    return found if isinstance(found, str) else found.predictions


def test_an_older_version_may_know_the_first_classes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = {("gate", "pilot"): "answers"}
    assert asked(monkeypatch, ["a", "b"]) == asked(monkeypatch, ["a", "b", "c"]) == answered
    assert asked(monkeypatch, ["a", "b", "c"], same_classes=True) == answered
    assert "other classes" in asked(monkeypatch, ["b", "a"])
    assert "other classes" in asked(monkeypatch, ["a", "b"], same_classes=True)


def test_what_keeps_a_version_from_being_asked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is damaged" in asked(monkeypatch, ["a", "b"], damage=("saved_model.pb",))
    assert asked(monkeypatch, ["a", "b"], misfit="reads 3 numbers").startswith("reads 3 numbers, so the two cannot")


def test_rows_that_the_line_was_trained_on_are_not_for_the_gate_whatever_the_split(weeks: Weeks) -> None:
    learnt = Learnt.read(weeks.versions.version(3).folder / EXTRA, "version 3")
    assert learnt is not None
    records = pd.concat(
        pd.read_parquet(stage_folder(run, "week") / "rows.parquet").assign(run=number)
        for number, run in enumerate(weeks.runs)
    )
    trained = records[records["part"] == "train"]
    assert len(learnt.keys) == len(trained["index"].unique())
    raw = plan(9, [PASSES], start=3)
    raw["data"] = raw["data"] | {"split": {"validation": 20, "gate": 90, "test": 40, "seed": 5}}
    run = weeks.place.run(raw, releases=False, fresh=True).run
    judged = pd.read_parquet(stage_folder(run, "week") / "predictions.parquet")
    gate = set(judged[judged["part"] == "gate"]["index"])
    assert len(gate) == 90
    assert not gate & set(trained["index"])
    said = " ".join(weeks.place.said[-1].split())
    assert f"table.csv: version 3 was trained on {len(learnt.keys)} of 240 rows and chosen on 20 more; none is" in said


def test_a_run_that_starts_elsewhere_carries_the_line_whose_place_it_takes(tmp_path: Path) -> None:
    """Its parents are its own stages, from which the versions before could not be found."""
    tiny.write_table(tmp_path / "data.csv", 240)
    place = Place(tmp_path)
    place.run(plan(1, [PASSES], "pretrained"))
    stages = [
        {"name": name, "data": {"take": take}, "gate": gate}
        for name, take, gate in (
            ("pilot", 40, [PASSES, BEST | {"against": "released"}]),
            ("plain", 50, [PASSES]),
            ("full", 60, [PASSES, BEST]),
        )
    ]
    run = place.run(tiny.of_table(small_plan(*stages, seed=2, start="pretrained"))).run
    assert [decision(run, name).get("best") for name in ("pilot", "plain")] == [[1], [1, 2]]
    assert against(run, "full")[1:] == [None, "version 1"], "which is better than the stage that took its place"


def test_a_registry_that_was_put_back_is_noticed_before_a_stage_goes_on(tmp_path: Path) -> None:
    tiny.write_table(tmp_path / "data.csv", 240)
    place = Place(tmp_path)
    one, two = ({"name": name, "data": {"take": take}} for name, take in (("one", 40), ("two", 50)))
    place.run(tiny.of_table(small_plan(one, two)), stages=1)
    (tmp_path / "registry").rename(tmp_path / "newer")
    with pytest.raises(ProgressiveError, match="starts from stage one, which became version 1 of tiny; the"):
        place.run(tiny.of_table(small_plan(one, two)))
    (tmp_path / "newer").rename(tmp_path / "registry")
    assert decision(place.run(tiny.of_table(small_plan(one, two))).run, "two")["version"] == 2


def test_an_ensemble_with_other_shares_is_another_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest network is the same, whatever the others add."""
    own, other = (SimpleNamespace(folder=name) for name in ("own", "other"))
    monkeypatch.setattr(looking, "checkpoint_facts", lambda folder: SimpleNamespace(weights_sha256=f"of {folder}"))
    found = []
    for others in ([], [(other, 0.5)], [(other, 0.25)]):
        monkeypatch.setattr(looking, "ensemble_of", lambda run, stage, others=others: others)
        found.append(looking._candidate_sha256(cast(Any, None), cast(Any, own)))
    assert found[0] == "of own", "as it was counted before there were ensembles"
    assert len(set(found)) == 3
