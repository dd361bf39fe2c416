"""Runs that start from a version with other labels: three months of one table, in one registry."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from releasing import PASSES, Place, decision, small_plan, stage_folder

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.errors import InputError
from progressive_tf.monitoring.origin import start_of
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.store import Registry
from progressive_tf.registry.tables import version_details
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting.locations import EXTRA
from progressive_tf.training.run.start import start_labels

CENTRES = {
    "pin": (0.0, 0.0),
    "refund": (6.0, 0.0),
    "chargeback": (6.0, 5.0),
    "transfer-in": (0.0, 6.0),
    "transfer-out": (-3.0, 7.0),
    "fax": (-6.0, 0.0),
    "balance": (-5.0, -6.0),
    "card": (4.0, -6.0),
}
FEBRUARY = {"transfer-in": "transfer", "transfer-out": "transfer"}
MARCH = {"pin": "security"}
CHANGES = {
    "rename": {"pin": "security"},
    "merge": {"refund": ["refund", "chargeback"]},
    "split": {"transfer": ["transfer-in", "transfer-out"]},
    "retire": ["fax"],
    "add": ["card"],
}
NEW = ("balance", "refund", "security", "transfer-in", "transfer-out", "card")
DROP = {"metric": "accuracy", "slice": "current", "drop_at_most": 1.0}
WORSE = {"metric": "accuracy", "slice": "current", "drop_at_most": 0.0}


def rows(without: tuple[str, ...], called: dict[str, str], seed: int, each: int = 40) -> str:
    generator = np.random.default_rng(seed)
    lines = [
        f"{x:.4f},{y:.4f},{called.get(what, what)}"
        for what, centre in CENTRES.items()
        if what not in without
        for x, y in generator.normal(centre, 1.2, (each, 2))
    ]
    generator.shuffle(lines)
    return "x,y,label\n" + "\n".join(lines) + "\n"


def plan(
    source: str, labels: dict[str, Any] | None, gate: list[dict[str, Any]], start: Any = "stable"
) -> dict[str, Any]:
    stage = {"name": "month", "data": {"all": True}, "gate": gate} | ({} if labels is None else {"labels": labels})
    made = tiny.of_table(small_plan(stage, start=start))
    made["model"]["units"] = 8
    made["data"] |= {"source": source, "split": {"validation": 0.15, "gate": 0.3, "test": 0.15}}
    made["defaults"] |= {"epochs": 6, "optimizer": {"name": "adam", "learning_rate": 0.03}}
    made["defaults"]["adaptation"] = {"method": "full"}
    return made


def with_earlier(made: dict[str, Any]) -> dict[str, Any]:
    made["data"] |= {"earlier": {"february": "1.csv"}}
    made["stages"][0]["retention"] = {"replay": {"budget": 12}}
    return made


class Months:
    """Three runs, each from the stable version of the one before; the third changes one label more."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        (folder / "1.csv").write_text(rows(("card",), FEBRUARY, 1), encoding="utf-8")
        (folder / "2.csv").write_text(rows(("fax", "balance"), MARCH, 2), encoding="utf-8")
        (folder / "3.csv").write_text(rows(("fax",), MARCH | {"chargeback": "refund"}, 3), encoding="utf-8")
        against = [DROP, DROP | {"against": "first"}]
        plans = [
            plan("1.csv", None, [PASSES], "pretrained"),
            with_earlier(plan("2.csv", CHANGES, [DROP, DROP | {"slice": "every-previous"}])),
            plan("3.csv", {"rename": {"security": "secret"}}, against),
        ]
        self.runs = [self.place.run(one).run for one in plans]
        self.versions = Registry(folder / "registry").model(plans[0]["name"])


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Months:
    return Months(tmp_path_factory.mktemp("months"))


def copy_of(months: Months, folder: Path) -> Place:
    shutil.copytree(months.place.folder, folder / "months", symlinks=True)
    return Place(folder / "months")


def manifest(months: Months, number: int) -> dict[str, Any]:
    return dict(months.versions.version(number).manifest() or {})


def test_each_month_is_released_under_its_own_labels(months: Months) -> None:
    assert [decision(run, "month")["version"] for run in months.runs] == [1, 2, 3]
    assert manifest(months, 2)["labels"] == list(NEW)
    assert manifest(months, 3)["labels"] == [{"security": "secret"}.get(label, label) for label in NEW]
    before = manifest(months, 2)["labels_before"]
    assert before["version"] == 1
    assert before["labels"]["transfer"] == ["transfer-in", "transfer-out"]
    assert before["labels"]["fax"] == []
    assert "labels_before" not in manifest(months, 1)


def test_rows_with_old_words_count_under_the_new_ones(months: Months) -> None:
    counts = json.loads((stage_folder(months.runs[1], "month") / "data.json").read_text())["labels"]["train"]
    assert counts["refund"] > counts["security"], "the rows labelled chargeback are among them"
    assert "chargeback" not in counts
    assert counts["balance"] == 0, "no row has it in this month, and the version knows it"
    assert "read chargeback as refund (40 rows)" in months.place.said[1]


def test_the_version_is_compared_by_what_it_said(months: Months) -> None:
    path = months.runs[1] / "untrained.parquet"
    saved = pd.read_parquet(path)
    one = saved[(saved["part"] == "gate") & (saved["slice"] == "month")]
    table = pd.read_csv(months.place.folder / "2.csv")
    asked = table.iloc[one["index"].to_numpy()]
    version = months.versions.version(1)
    theirs = predict_exported(version.folder, asked[["x", "y"]].astype(str).to_numpy().tolist())
    old = manifest(months, 1)["labels"]
    by_name = dict(zip(old, theirs.T, strict=True))
    own = np.stack(one["probabilities"].to_numpy())
    answered = 1 - by_name["fax"]
    expected = {
        "balance": by_name["balance"],
        "refund": by_name["refund"] + by_name["chargeback"],
        "security": by_name["pin"],
        "transfer-in": by_name["transfer"] / 2,
        "transfer-out": by_name["transfer"] / 2,
    }
    for place, label in enumerate(NEW[:-1]):
        assert own[:, place] == pytest.approx(expected[label] / answered, abs=1e-6), label
    assert not own[:, -1].any()
    assert json.loads(pq.read_schema(path).metadata[b"wholes"]) == {
        "transfer-in": "transfer",
        "transfer-out": "transfer",
    }
    line = decision(months.runs[1], "month")["labels"]
    assert "transfer-in, transfer-out count as transfer on both sides" in line
    assert "pin counts as security" in line
    assert line in " ".join(months.place.said[1].split())


def test_rows_of_the_month_before_are_replayed_and_measured(months: Months) -> None:
    folder = stage_folder(months.runs[1], "month")
    replayed = pd.read_parquet(folder / "retention" / "replay.parquet")
    learnt = np.load(months.versions.version(1).folder / "assets.extra" / "learnt_rows.npz")
    assert (set(replayed["source"]), len(replayed)) == ({"1.csv"}, 12)
    assert np.isin(replayed["key"], learnt["trained"]).all()
    table = pd.read_csv(months.place.folder / "1.csv")
    was = table["label"].iloc[replayed["index"]].replace({"pin": "security", "chargeback": "refund"})
    assert replayed["label"].tolist() == was.tolist()
    assert not {"transfer", "fax"} & set(was), "which part or class they are is not known any more"
    saved = pd.read_parquet(folder / "predictions.parquet")
    keys = saved[saved["slice"] == "february"]["index"]
    assert {rule["slice"] for rule in decision(months.runs[1], "month")["rules"]} == {"current", "february", "month"}
    assert not set(keys) & set(replayed["index"])
    assert not table["label"].iloc[keys].isin(["transfer", "fax"]).any()
    said = " ".join(months.place.said[1].split())
    assert "month: replays 12 of " in said
    assert "1.csv: left out are 40 labelled fax, 80 labelled transfer: what was split or retired is no class" in said
    assert (
        f"1.csv: version 1 was trained on {len(learnt['trained'])} of 280 rows; the slice february is {len(keys)}"
        in said
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {},
            r"retention.replay: 0 of the \d+ inputs that version 2 was trained on are among the sources",
        ),
        ({"earlier": {"old": "3.csv"}}, r"data.earlier.old: version 2 was trained on no row of 3.csv"),
        ({"earlier": {"old": "4.csv"}}, r"data.earlier.old: 4.csv is also another source of this plan"),
    ],
)
def test_a_replay_of_runs_before_that_has_no_rows_is_refused(
    months: Months, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    place = copy_of(months, tmp_path)
    (place.folder / "4.csv").write_text(rows(("fax",), MARCH | {"chargeback": "refund"}, 4), encoding="utf-8")
    made = plan("4.csv", None, [DROP], start=2)
    made["data"] |= changes
    made["stages"][0]["retention"] = {"replay": {"budget": 12}}
    with pytest.raises(InputError, match=message):
        place.run(made)


def test_a_rename_alone_starts_from_the_very_weights(months: Months) -> None:
    starts = [json.loads((run / "environment.json").read_text())["start"] for run in months.runs]
    assert starts[2]["weights_sha256"] == months.versions.version(2).weights_sha256
    assert starts[1]["weights_sha256"] != months.versions.version(1).weights_sha256


def test_feedback_in_old_words_is_understood_by_the_served_version(months: Months) -> None:
    lineage = LabelLineage.read(months.versions)
    words = {"pin": ("security",), "chargeback": ("refund",), "transfer": ("transfer-in", "transfer-out"), "fax": ()}
    assert lineage.old_words(2) == words
    assert lineage.old_words(3)["pin"] == ("secret",)
    assert lineage.old_words(1) == {}


def test_what_labels_were_called_before_is_shown_with_the_version(months: Months) -> None:
    shown = version_details(months.versions, months.versions.version(2))
    (line,) = [line for line in shown.splitlines() if line.startswith("before ")]
    assert "version 1: " in line
    assert {"pin → security", "fax is retired"} <= set(line.split("version 1: ")[1].split("; "))
    assert "balance" not in line
    assert "before " not in version_details(months.versions, months.versions.version(1))


def test_the_next_stage_from_feedback_reads_the_plan_with_its_labels(months: Months) -> None:
    loaded = load_plan(str(months.runs[1] / "plan.yaml"))
    data = loaded.plan.data.model_copy(
        update={
            "source": str(months.place.folder / "2.csv"),
            "earlier": {"february": str(months.place.folder / "1.csv")},
        }
    )
    plan = loaded.plan.model_copy(update={"data": data})
    released = months.versions.version(2)
    assert start_of(months.versions, months.versions.version(1), months.place.folder / "runs") is None
    first = start_of(months.versions, released, months.place.folder / "runs")
    start = start_labels(plan, first, LabelLineage.read(months.versions))
    assert first is not None
    learnt = Learnt.read(first.folder / EXTRA, "version 1")
    found = read_plan_data(replace(loaded, plan=plan), months.place.folder / "cache", learnt=learnt, start=start)
    assert found.labels == NEW
    assert not found.earlier.trained.keys() - {str(months.place.folder / "1.csv")}


def test_an_older_version_is_asked_through_both_changes(months: Months) -> None:
    rules = decision(months.runs[2], "month")["rules"]
    assert [rule["outcome"] for rule in rules] == ["pass", "pass"]
    assert rules[1]["against"] == "version 1"
    saved = pd.read_parquet(months.runs[2] / "versions" / "1.parquet")
    said = set(saved["predicted"])
    assert {"secret", "refund"} <= said
    assert not said & {"pin", "chargeback", "transfer", "fax", "card"}
    words = decision(months.runs[2], "month")["labels"]
    assert words.startswith("version 2: security counts as secret; and version 1: ")
    assert "pin counts as secret" in words


def test_a_month_without_changes_keeps_the_order_of_the_outputs(months: Months, tmp_path: Path) -> None:
    place = copy_of(months, tmp_path)
    called = MARCH | {"chargeback": "refund"}
    (place.folder / "4.csv").write_text(
        rows(("fax",), {old: {"security": "secret"}.get(new, new) for old, new in called.items()}, 4), encoding="utf-8"
    )
    gate = [DROP, DROP | {"slice": "every-previous", "min_samples": 10}]
    first = place.run(plan("4.csv", None, gate))
    assert not first.promoted, "a rule about earlier slices cannot be shown"
    unasked = decision(first.run, "month")["rules"][-1]
    assert (unasked["slice"], unasked["outcome"]) == ("every-previous", "hold")
    assert unasked["reason"].startswith("0 of the ")
    named = plan("4.csv", None, gate)
    named["data"]["earlier"] = {name: f"{name}.csv" for name in ("1", "2", "3")}
    assert place.run(named, fresh=True).promoted


def test_a_killed_run_goes_on_from_the_same_weights(months: Months, tmp_path: Path) -> None:
    place = copy_of(months, tmp_path)
    again = plan("2.csv", CHANGES, [DROP], start=1) | {"seed": 5}
    again["stages"].append({"name": "later", "data": {"all": True}, "gate": [WORSE]})
    first = place.run(again, stages=1)
    second = place.run(again)
    assert first.run == second.run
    assert "labels" not in decision(second.run, "later"), "its predecessor has the same labels"


def test_what_cannot_be_read_names_its_rows_and_the_line_that_adds_it(months: Months, tmp_path: Path) -> None:
    place = copy_of(months, tmp_path)
    lines = (place.folder / "2.csv").read_text(encoding="utf-8").splitlines()
    for number, label in ((1, "fax"), (2, "transfer"), (3, "loan")):
        lines[number] = lines[number].rsplit(",", 1)[0] + f",{label}"
    (place.folder / "bad.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        place.run(plan("bad.csv", CHANGES, [DROP], start=1))
    said = str(caught.value)
    assert "1 rows of bad.csv (1) are labelled 'fax', which is retired" in said
    assert "1 rows of bad.csv (2) are labelled 'transfer', which is split into transfer-in, transfer-out" in said
    assert "unknown label 'loan'" in said
    assert "labels: {add: [card, loan]}" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rename": {"pins": "security"}}, "did you mean 'pin'"),
        ({"merge": {"balance": ["pin", "fax"]}}, "has 'balance' already"),
        ({"retire": ["fax"], "add": ["loan"]}, "are labelled 'security'"),
        (CHANGES | {"add": ["card", "loan"]}, "no row is labelled 'loan'"),
    ],
)
def test_changes_that_the_version_or_the_rows_do_not_fit(
    months: Months, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    place = copy_of(months, tmp_path)
    with pytest.raises(InputError, match=said):
        place.run(plan("2.csv", changes, [DROP], start=1), fresh=True)


def test_a_drop_on_a_part_of_a_split_class_asks_for_the_whole(months: Months, tmp_path: Path) -> None:
    place = copy_of(months, tmp_path)
    on_a_part = {"metric": "recall/transfer-in", "drop_at_most": 0.5}
    with pytest.raises(InputError, match="name transfer, which both know"):
        place.run(plan("2.csv", CHANGES, [on_a_part], start=1), fresh=True)
    gate = [{"metric": "recall/transfer", "drop_at_most": 1.0}, {"metric": "recall/transfer-in", "at_least": 0.0}]
    gate = [rule | {"min_samples": 10} for rule in gate]
    asked = plan("2.csv", CHANGES, gate, start=1)
    asked["stages"][0]["head"] = {"init": "prototypes"}  # of the class that is new
    run = place.run(asked, fresh=True).run
    judged = decision(run, "month")["rules"]
    assert [rule["outcome"] for rule in judged] == ["pass", "pass"]
    assert judged[0]["n"] == 2 * judged[1]["n"], "rows of both parts are rows of the whole"


def test_a_labels_file_is_as_labels_in_the_first_stage(months: Months, tmp_path: Path) -> None:
    place = copy_of(months, tmp_path)
    words = place.folder / "words.csv"
    words.write_text("old,new,from\npin,security,2026-03-01\nchargeback,refund,\n", encoding="utf-8")
    others = {key: CHANGES[key] for key in ("split", "retire", "add")}
    asked = plan("2.csv", others, [DROP], start=1)
    asked["data"]["labels_file"] = "words.csv"
    asked["stages"].append({"name": "later", "data": {"all": True}, "gate": [DROP]})
    first = place.run(asked, stages=1)
    said = " ".join(place.said[-1].split())
    assert "version 1 speaks old words; read as labels: {rename: {pin: security}, merge: {refund: " in said
    assert "data.labels_file: 2.csv: read chargeback as refund (40 rows)" in said
    number = decision(first.run, "month")["version"]
    versions = Registry(place.folder / "registry").model(asked["name"])
    released = versions.version(number)
    facts = released.manifest() or {}
    assert facts["labels"] == list(NEW)
    assert facts["labels_before"] == manifest(months, 2)["labels_before"]
    assert facts["labels_file"]["changes"][0] == {"old": "pin", "new": "security", "from": "2026-03-01"}
    (line,) = [one for one in version_details(versions, released).splitlines() if one.startswith("words ")]
    assert (
        f"words.csv ({facts['labels_file']['sha256'][:12]}): pin → security since 2026-03-01; chargeback → re" in line
    )
    assert LabelLineage.read(versions).old_words(number)["pin"] == ("security",)

    words.write_text("old,new\npin,security\nchargeback,refund\nrefund,money back\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"words.csv has changed since this run read it, and all of a run's stages"):
        place.run(asked)
