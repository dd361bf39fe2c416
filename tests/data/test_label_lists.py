"""Rows of a plan whose labels change inside its run, read without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

CHANGES = {
    "rename": {"pin": "security"},
    "merge": {"refund": ["refund", "chargeback"]},
    "split": {"transfer": ["in", "out"]},
    "retire": ["fax"],
    "add": ["card"],
}
OLD = ("chargeback", "fax", "pin", "refund", "transfer")
NOW = ("refund", "security", "in", "out", "card")


def write(folder: Path, name: str, labels: tuple[str, ...], each: int = 20, extra: tuple[str, ...] = ()) -> None:
    every = [label for label in labels for _ in range(each)] + list(extra)
    generator = np.random.default_rng(len(name) + len(every))
    generator.shuffle(every)
    lines = [f"{generator.normal():.6f},{generator.normal():.6f},{label}" for label in every]
    (folder / name).write_text("x,y,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


def a_plan(*later: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a plan of February, and of a stage for each of some changes of its own."""
    made = tiny.of_table(tiny.raw_plan())
    made["data"] |= {"source": "1.csv", "split": {"validation": 0.15, "gate": 0.3, "test": 0.15}}
    made["data"] |= changes.pop("data", {})
    first = {"name": "one", "data": {"all": True}}
    others = [
        {"name": f"month-{number}", "data": {"source": f"{number}.csv", "all": True}} | stage
        for number, stage in enumerate(later, start=2)
    ]
    return made | {"stages": [first, *others]} | changes


def rows_of(folder: Path, plan: dict[str, Any], **given: Any) -> PlanData:
    if not (folder / "1.csv").exists():
        write(folder, "1.csv", OLD)
    if not (folder / "2.csv").exists():
        write(folder, "2.csv", (*NOW, "chargeback"))
    return read_plan_data(load_plan(str(tiny.write_plan(folder, plan))), folder / "cache", **given)


def test_rows_are_read_in_the_words_of_each_stage(tmp_path: Path) -> None:
    data = rows_of(tmp_path, a_plan({"labels": CHANGES}))
    first, second = data.views
    assert (first.labels, second.labels) == (OLD, NOW)
    assert data.labels == NOW
    assert data.at(0) is first
    assert data.at(1) is second
    assert set(first.slices) == {"one"}
    assert set(second.slices) == {"one", "month-2"}
    assert len(second.slices["one"].gate) < len(first.slices["one"].gate)
    assert set(second.sources["2.csv"].labels) == set(NOW)
    words = dict(zip(first.sources["1.csv"].truth.labels, range(5), strict=True))
    was, now = first.codes["1.csv"], second.codes["1.csv"]
    assert set(now[was == words["transfer"]]) == {-1}
    assert set(now[was == words["fax"]]) == {-1}
    assert set(now[was == words["pin"]]) == {NOW.index("security")}
    assert set(now[np.isin(was, [words["refund"], words["chargeback"]])]) == {NOW.index("refund")}


def test_a_plan_cut_before_the_change_reads_its_rows_as_the_whole_one(tmp_path: Path) -> None:
    whole = rows_of(tmp_path, a_plan({"labels": CHANGES})).at(0)
    alone = rows_of(tmp_path, a_plan())
    assert whole.classes.known[0] == alone.classes.known[0]
    assert whole.labels == alone.labels
    assert np.array_equal(whole.stages[0].train, alone.stages[0].train)
    assert np.array_equal(whole.slices["one"].gate, alone.slices["one"].gate)
    assert np.array_equal(whole.codes["1.csv"], alone.codes["1.csv"])


def test_words_are_read_through_every_change(tmp_path: Path) -> None:
    write(tmp_path, "3.csv", ("refund", "secret", "in", "out", "card", "fax"))
    again = {"rename": {"security": "secret"}, "add": ["fax"]}
    data = rows_of(tmp_path, a_plan({"labels": CHANGES}, {"labels": again}))
    assert data.lists is not None
    read = {word: data.lists.read(word, 2) for word in (*OLD, *NOW, "secret", "loan")}
    assert read["pin"] == read["security"] == read["secret"] == ("secret",)
    assert read["transfer"] == ("in", "out")
    assert read["fax"] == ("fax",), "a class that was retired may be added again"
    assert read["loan"] is None
    assert data.lists.read("fax", 1) == ()
    assert data.lists.read("secret", 1) is None, "a word that comes later"
    since = data.lists.between(0, 2)
    assert (since.of["pin"], since.of["fax"], since.known) == (("secret",), (), 4)
    assert since.of_first(2).of == {"chargeback": ("refund",), "fax": ()}


def test_a_start_version_is_read_through_the_run(tmp_path: Path) -> None:
    start = StartLabels(7, OLD, None, {"code": ("pin",), "telex": ()})
    data = rows_of(tmp_path, a_plan({"labels": CHANGES}, start=7), start=start)
    changed = data.classes.changed
    assert data.at(0).classes.changed is None
    assert changed is not None
    assert changed.of["pin"] == ("security",)
    again = CHANGES | {"rename": {"pin": "code"}}
    write(tmp_path, "2.csv", ("refund", "code", "in", "out", "card"))
    assert rows_of(tmp_path, a_plan({"labels": again}, start=7), start=start).labels[1] == "code"
    for rename, said in (({"fax": "code"}, "'code' is a class of an earlier stage, which is pin in stage one"),):
        other = CHANGES | {"rename": rename, "retire": ["pin"]}
        with pytest.raises(InputError, match=said):
            rows_of(tmp_path, a_plan({"labels": other}, start=7), start=start)


@pytest.mark.parametrize(
    ("labels", "extra", "said"),
    [
        (CHANGES | {"rename": {"pins": "security"}}, (), r"stages\[1\].labels.rename: stage one answers with no such"),
        (
            CHANGES | {"rename": {"pin": "transfer"}, "split": {"fax": ["in", "out"]}, "retire": []},
            (),
            "has 'transfer'",
        ),
        (CHANGES, ("fax",), r"stages\[1\].data: 1 rows of 2.csv \(\d+\) are labelled 'fax', which is retired; take"),
        (CHANGES, ("transfer",), "are labelled 'transfer', which is split into in, out; label each as one of these"),
        (CHANGES, ("loan",), r"are labelled 'loan': unknown label .*\n.*add: \[card, loan\]} in stages\[1\].labels"),
        (
            CHANGES | {"add": ["card", "loan"]},
            (),
            r"labels.add: no row of stage month-2 is labelled 'loan'",
        ),
        ({"retire": list(OLD), "add": ["card", "in"]}, (), r"stages\[1\].labels: leaves no class that stage one has"),
        (CHANGES, ("Security",), "similar_labels"),
        ({"rename": {"pin": "Refund"}}, (), "similar_labels"),
    ],
)
def test_changes_that_the_stages_or_the_rows_do_not_fit(
    tmp_path: Path, labels: dict[str, Any], extra: tuple[str, ...], said: str
) -> None:
    write(tmp_path, "2.csv", NOW, extra=extra)
    with pytest.raises(InputError, match=said):
        rows_of(tmp_path, a_plan({"labels": labels}))


def test_files_that_write_a_word_in_two_ways_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "2.csv", ("Refund", *NOW[1:]))
    with pytest.raises(InputError, match=r"written in more than one way[^$]*Refund"):
        rows_of(tmp_path, a_plan({"labels": CHANGES}))
    data = rows_of(tmp_path, a_plan({"labels": CHANGES}, data={"normalize_labels": "casefold"}))
    assert data.labels == NOW
    shouted = CHANGES | {"rename": {"PIN": "SECURITY"}}
    assert rows_of(tmp_path, a_plan({"labels": shouted}, data={"normalize_labels": "casefold"})).labels == NOW


def test_words_that_get_another_meaning_inside_a_run_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "3.csv", (*NOW, "pin"))
    with pytest.raises(InputError, match=r"stages\[2\].labels.add: 'pin' is a class of an earlier stage, which"):
        rows_of(tmp_path, a_plan({"labels": CHANGES}, {"labels": {"add": ["pin"]}}))


def test_the_plans_own_source_says_the_first_labels(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", (*OLD, "security"))
    with pytest.raises(InputError, match=r"has 'security' already, .*; rows of a stage with other labels stand"):
        rows_of(tmp_path, a_plan({"labels": CHANGES}))


def test_rows_of_a_stage_are_chosen_in_its_words(tmp_path: Path) -> None:
    chosen = {"labels": CHANGES, "data": {"source": "2.csv", "all": True, "classes": ["security", "refund", "card"]}}
    data = rows_of(tmp_path, a_plan(chosen))
    rows = data.stages[1].train
    assert {data.labels[code] for code in data.codes["2.csv"][rows]} == {"security", "refund", "card"}
    assert (data.codes["2.csv"][rows] == NOW.index("refund")).sum() > (data.codes["2.csv"][rows] == 1).sum()


def test_a_domain_brings_the_classes_that_are_added_alone(tmp_path: Path) -> None:
    domains = {"scenario": "domain-incremental"}
    assert rows_of(tmp_path, a_plan({"labels": CHANGES}, **domains)).labels == NOW
    few = a_plan({"labels": {"rename": {"pin": "security"}}}, **domains)
    few["stages"][0]["data"]["classes"] = ["pin", "refund"]
    write(tmp_path, "2.csv", ("security", "refund"))
    assert len(rows_of(tmp_path, few).labels) == len(OLD)
    write(tmp_path, "2.csv", ("security", "fax"))
    with pytest.raises(InputError, match=r"stages\[1\].data: rows of stage month-2 bring a class .* such as 'fax'"):
        rows_of(tmp_path, few)


def test_costs_are_of_labels_that_no_stage_changes(tmp_path: Path) -> None:
    labels = {"rename": {"pin": "security"}}
    write(tmp_path, "2.csv", ("security", "refund", "fax", "transfer", "chargeback"))
    data = rows_of(tmp_path, a_plan({"labels": labels}, costs={"refund": {"fax": 5}}))
    assert [view.classes.costs is not None for view in data.views] == [True, True]
    with pytest.raises(InputError, match=r"costs: unknown label 'pin'.* in stages\[1\]; costs are those of all stages"):
        rows_of(tmp_path, a_plan({"labels": labels}, costs={"pin": {"fax": 5}}))


def test_a_labels_file_reads_all_months(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("old,new\npin,security\n", encoding="utf-8")
    file = {"labels_file": "words.csv"}
    data = rows_of(tmp_path, a_plan({"labels": CHANGES | {"rename": {}}}, data=file))
    assert data.at(0).labels == ("chargeback", "fax", "refund", "security", "transfer")
    assert set(data.labels) == set(NOW)
    with pytest.raises(InputError, match=r"stages\[1\].labels.rename: 'pin' is an old word by words.csv"):
        rows_of(tmp_path, a_plan({"labels": CHANGES}, data=file))


def test_a_slice_whose_classes_are_all_gone_is_measured_no_more(tmp_path: Path) -> None:
    plan = a_plan({"data": {"all": True, "classes": ["fax", "transfer"]}}, {"labels": CHANGES})
    plan["stages"][1]["data"]["source"] = "1.csv"
    plan["stages"][2]["data"]["source"] = "2.csv"
    data = rows_of(tmp_path, plan)
    assert set(data.at(1).slices) == {"one", "month-2"}
    assert set(data.at(2).slices) == {"one", "month-3"}
