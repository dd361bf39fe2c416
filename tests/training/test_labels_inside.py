"""Runs whose labels change at stages inside them: three months in one plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from releasing import PASSES, Place, decision, read, stage_folder
from test_changed_labels import CHANGES, DROP, FEBRUARY, MARCH, NEW, plan, rows

from progressive_tf.api.run import Run
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.store import Registry
from progressive_tf.registry.tables import version_details
from progressive_tf.reporting.compared_runs import caveat, read_method
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.terminal import measures_line
from progressive_tf.training.run.first_look import check_bounds
from progressive_tf.training.stage.lifecycle import Attempt

DROPS = [DROP, DROP | {"slice": "every-previous"}, DROP | {"against": "first"}, DROP | {"against": "best"}]
MERGED = MARCH | {"chargeback": "refund"}


def months_plan(**changes: Any) -> dict[str, Any]:
    """Returns a plan of three months; the labels change with the second one."""
    made = plan("1.csv", None, [PASSES], "pretrained")
    common = {"data": {"all": True}, "gate": [PASSES]}
    made["stages"] = [
        common | {"name": "february"},
        common | {"name": "march", "data": {"source": "2.csv", "all": True}, "labels": CHANGES, "gate": DROPS},
        common | {"name": "april", "data": {"source": "3.csv", "all": True}, "gate": DROPS},
    ]
    return made | changes


def write_months(folder: Path) -> None:
    (folder / "1.csv").write_text(rows(("card",), FEBRUARY, 1), encoding="utf-8")
    (folder / "2.csv").write_text(rows(("fax", "balance"), MARCH, 2), encoding="utf-8")
    (folder / "3.csv").write_text(rows(("fax",), MERGED, 3), encoding="utf-8")


def months_in(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    write_months(folder)
    return Place(folder)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> tuple[Place, Path]:
    """Returns a place with a finished run, and the run's folder."""
    place = months_in(tmp_path_factory.mktemp("inside"))
    finished = place.run(with_retention(months_plan()))
    assert finished.promoted, place.said[-1]
    return place, finished.run


def test_each_stage_is_released_under_its_own_labels(begun: tuple[Place, Path]) -> None:
    place, _ = begun
    versions = Registry(place.folder / "registry").model("tiny")
    manifests = [versions.version(number).manifest() or {} for number in (1, 2, 3)]
    old = ["balance", "chargeback", "fax", "pin", "refund", "transfer"]
    assert [one["labels"] for one in manifests] == [old, list(NEW), list(NEW)]
    assert "labels_before" not in manifests[0]
    for one in manifests[1:]:
        assert one["labels_before"]["version"] == 1
        assert one["labels_before"]["labels"]["transfer"] == ["transfer-in", "transfer-out"]


def test_the_next_stage_is_compared_through_the_change(begun: tuple[Place, Path]) -> None:
    place, run = begun
    march, april = decision(run, "march"), decision(run, "april")
    findings = {one["kind"]: one["examples"] for one in read(stage_folder(run, "march") / "quality.json")["findings"]}
    assert findings["too_few_per_class"] == ["balance: 0"], "a class that the file has no row of, and no other"
    assert march["labels"].startswith("stage february (version 1): ")
    assert "transfer-in, transfer-out count as transfer on both sides" in march["labels"]
    assert march["labels"] in " ".join(place.said[0].split())
    rules = [(rule["rule"].get("against"), rule["slice"], rule["outcome"]) for rule in april["rules"]]
    assert {outcome for *_, outcome in rules} == {"pass"}
    assert {(against, name) for against, name, _ in rules} >= {("first", "current"), ("best", "current")}
    assert {name for _, name, _ in rules} == {"current", "february", "march"}
    assert april["labels"] == march["labels"], "the first and best version is February's"
    table = pd.read_csv(place.folder / "1.csv")
    saved = pd.read_parquet(stage_folder(run, "march") / "predictions.parquet")
    kept = saved[(saved["part"] == "gate") & (saved["slice"] == "february")]
    was = table["label"].iloc[kept["index"].to_numpy()]
    assert not set(was) & {"transfer", "fax"}
    assert kept["label"].tolist() == was.replace({"pin": "security", "chargeback": "refund"}).tolist()


def test_what_an_earlier_stage_said_is_kept_in_the_words_of_now(begun: tuple[Place, Path]) -> None:
    _, run = begun
    own = pd.read_parquet(stage_folder(run, "february") / "predictions.parquet")
    read_now = pd.read_parquet(stage_folder(run, "march") / "answers_before" / "01-february.parquet")
    assert set(own["slice"]) == {"february"}, "later stages have other words"
    facts = pq.read_schema(stage_folder(run, "february") / "predictions.parquet").metadata
    assert json.loads(facts[b"labels"]) == ["balance", "chargeback", "fax", "pin", "refund", "transfer"]
    written = [stage_folder(run, "february") / name for name in ("decision.json", "metrics.json", "data.json")]
    assert not [path for path in written if "security" in path.read_text(encoding="utf-8")]
    both = [frame[(frame["part"] == "gate") & (frame["slice"] == "february")] for frame in (own, read_now)]
    before, now = (frame.set_index("index") for frame in both)
    old = ["balance", "chargeback", "fax", "pin", "refund", "transfer"]
    for index in now.index:
        said = dict(zip(old, before.loc[index, "probabilities"], strict=True))
        expected = [
            said["balance"],
            said["chargeback"] + said["refund"],
            said["pin"],
            said["transfer"] / 2,
            said["transfer"] / 2,
        ]
        read_as = now.loc[index, "probabilities"]
        assert read_as[:-1] == pytest.approx(np.array(expected) / (1 - said["fax"]), abs=1e-6)
        assert read_as[-1] == 0


def test_the_matrix_is_in_the_newest_words(begun: tuple[Place, Path]) -> None:
    _, run = begun
    matrix = read(run / "matrix.json")
    assert matrix["labels"].startswith("in the words of march")
    assert "transfer-in, transfer-out count as transfer on both sides" in matrix["labels"]
    assert matrix["gate"][1][1:] == [None, None], "February has no output for card"
    saved = pd.read_parquet(stage_folder(run, "march") / "answers_before" / "01-february.parquet")
    rows_of = saved[(saved["part"] == "gate") & (saved["slice"] == "february")]
    assert matrix["gate"][1][0] == pytest.approx((rows_of["label"] == rows_of["predicted"]).mean())
    later = pd.read_parquet(stage_folder(run, "april") / "predictions.parquet")
    rows_of = later[(later["part"] == "gate") & (later["slice"] == "march")][["label", "predicted"]]
    rows_of = rows_of.replace({"transfer-in": "transfer", "transfer-out": "transfer"})
    assert matrix["gate"][3][1] == pytest.approx((rows_of["label"] == rows_of["predicted"]).mean())


def test_rows_of_before_are_replayed_in_the_words_of_now(begun: tuple[Place, Path]) -> None:
    place, run = begun
    table = pd.read_csv(place.folder / "1.csv")
    replayed = pd.read_parquet(stage_folder(run, "march") / "retention" / "replay.parquet")
    was = table["label"].iloc[replayed["index"]]
    assert replayed["label"].tolist() == was.replace({"pin": "security", "chargeback": "refund"}).tolist()
    assert not {"transfer", "fax"} & set(was)
    assert "55 of 130 rows of february are not replayed: their classes were split or retired since" in place.said[0]
    versions = Registry(place.folder / "registry").model("tiny")
    with np.load(versions.version(3).folder / "assets.extra" / "learnt_rows.npz") as learnt:
        settled = [pd.read_parquet(stage_folder(run, name) / "rows.parquet") for name in ("february", "march", "april")]
        assert len(learnt["trained"]) == sum((one["part"] == "train").sum() for one in settled), "those left out too"


def outcome(run: Path) -> dict[str, Any]:
    names = [path.name[3:] for path in sorted((run / "stages").iterdir())]
    decisions = {name: decision(run, name) for name in names}
    return {
        "weights": {name: one["weights_sha256"] for name, one in decisions.items()},
        "rules": {name: one["rules"] for name, one in decisions.items()},
        "matrix": read(run / "matrix.json"),
        "replayed": [pd.read_parquet(path).to_json() for path in sorted(run.glob("stages/*/retention/replay.parquet"))],
    }


def with_retention(made: dict[str, Any]) -> dict[str, Any]:
    for stage in made["stages"][1:]:
        stage["retention"] = {"replay": {"budget": 24}, "lwf": {}}
    return made


def test_a_run_that_goes_on_stage_by_stage_is_the_same(begun: tuple[Place, Path], tmp_path: Path) -> None:
    place = months_in(tmp_path / "again")
    made = with_retention(months_plan())
    alone = months_plan()
    alone["stages"] = made["stages"][:1]
    first = place.run(alone)
    assert place.run(made, stages=2).run == first.run, "a stage that is added goes on in the same run"
    assert outcome(place.run(made).run) == outcome(begun[1])


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_run_killed_in_the_changed_stage_is_the_same(begun: tuple[Place, Path], tmp_path: Path) -> None:
    place = months_in(tmp_path / "killed")
    made = with_retention(months_plan())
    place.run(made, stages=1)
    steps = ("begin", "prepare", "train", "keep", "measure", "judge", "publish", "end")
    for step, after in [(step, after) for step in steps for after in (False, True)]:
        does = getattr(Attempt, step)

        def killed(self: Attempt, *given: Any, does: Any = does, after: bool = after) -> Any:
            if after:
                does(self, *given)
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Attempt, step, killed)
            with pytest.raises(Killed):
                place.run(made)
    assert outcome(place.run(made).run) == outcome(begun[1])


def test_a_head_that_was_fitted_for_other_changes_is_not_used(begun: tuple[Place, Path], tmp_path: Path) -> None:
    place = months_in(tmp_path / "changed")
    made = with_retention(months_plan())
    other = with_retention(months_plan())
    other["stages"][1]["labels"] = CHANGES | {"merge": {"refund": ["refund", "fax"]}, "retire": ["balance"]}
    other["stages"][1]["labels"]["rename"] = {"pin": "security", "chargeback": "money back"}
    with pytest.MonkeyPatch.context() as patch:
        place.run(made, stages=1)
        patch.setattr(Attempt, "prepare", stop)
        for asked in (other, made):
            with pytest.raises(Killed):
                place.run(asked, stages=2)
    assert outcome(place.run(made).run) == outcome(begun[1])


def stop(*given: Any) -> None:
    raise Killed


def test_what_is_shown_says_in_whose_words_it_is(begun: tuple[Place, Path]) -> None:
    place, run = begun
    words = read(run / "matrix.json")["labels"]
    assert f"(the R matrix is {words})" in measures_line(read_run(run))
    page = render(read_run(run))
    assert f"It is {words}." in page
    assert f"Labels of {decision(run, 'march')['labels']}." in page
    versions = Registry(place.folder / "registry").model("tiny")
    (line,) = [one for one in version_details(versions, versions.version(2)).splitlines() if one.startswith("before ")]
    assert {"version 1: chargeback → refund", "fax is retired"} <= {part.strip() for part in line[7:].split("; ")}
    assert Run.open(run).matrix.labels == words


def test_compared_runs_say_in_whose_words_they_are(begun: tuple[Place, Path]) -> None:
    changed = read_method(begun[1], "acc", "gate")
    assert not changed.rivals
    said = str(caveat([changed, changed]))
    assert f"its R matrix is {read(begun[1] / 'matrix.json')['labels']}" in said
    assert "of other classes" not in said
    assert "these R matrices are of other classes" in str(caveat([changed, replace(changed, labels=frozenset())]))


def test_words_of_before_mean_what_they_became(begun: tuple[Place, Path]) -> None:
    lineage = LabelLineage.read(Registry(begun[0].folder / "registry").model("tiny"))
    words = {"pin": ("security",), "chargeback": ("refund",), "transfer": ("transfer-in", "transfer-out"), "fax": ()}
    assert lineage.old_words(2) == lineage.old_words(3) == words
    assert lineage.old_words(1) == {}
    assert lineage.is_right(1, "pin", "security")


def test_bounds_are_refused(tmp_path: Path) -> None:
    plan = load_plan(str(tiny.write_plan(tmp_path, months_plan()))).plan
    with pytest.raises(InputError, match=r"--bounds: trains on the rows of all stages at once, and stages\[1\].labels"):
        check_bounds(plan)
