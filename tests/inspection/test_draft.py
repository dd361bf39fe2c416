"""Plans that are written for files: that they load, fit and say why."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from inspection.files import only, rows, write_csv, write_lines
from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.inspection import plan_file, tokens
from progressive_tf.inspection.draft import Draft, decided, draft_plan
from progressive_tf.inspection.plan_file import flow, plan_name, write_plan
from progressive_tf.inspection.subject import open_subject
from progressive_tf.plan.loading import LoadedPlan, load_plan


@pytest.fixture(autouse=True)
def _no_weights_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests find no vocabulary that this machine may have fetched, and leave their cache in their own folder."""
    monkeypatch.setattr(tokens, "here", lambda *named: None)
    monkeypatch.chdir(tmp_path)


def drafted(path: Path, **asked: Any) -> tuple[Draft, LoadedPlan, PlanData]:
    """Returns a draft, the plan that was written, and its rows as a run has them."""
    subject = open_subject(str(path), Display())
    draft = draft_plan(subject, plan_name(path.stem), **asked)
    target = path.parent / "plans" / f"{path.stem}.yaml"
    target.parent.mkdir(exist_ok=True)
    write_plan(draft, target)
    loaded = load_plan(str(target))
    return draft, loaded, read_plan_data(loaded, path.parent / "cache")


def test_tickets_have_groups_dates_one_spelling_and_a_gate_that_says_its_power(tmp_path: Path) -> None:
    made = rows(900)
    made[5]["topic"] = made[5]["topic"].title()
    draft, loaded, data = drafted(write_csv(tmp_path / "tickets.csv", made, delimiter=";"))
    plan = loaded.plan
    assert (plan.task, plan.data.text, plan.data.label) == ("text-classification", "message", "topic")
    assert plan.data.normalize_labels == "casefold"
    assert plan.data.split.group == "customer_id"
    assert data.labels == ("app", "bill", "parcel")
    wheres = [stage.data.where for stage in plan.stages]
    assert wheres[0] is not None
    assert wheres[0].startswith("created < '2024-")
    assert wheres[-1] is None
    sizes = [len(stage.train) for stage in data.stages]
    assert sizes == sorted(sizes)
    assert plan.stages[0].adaptation.method == "head"
    assert plan.stages[-1].adaptation.method == "top-blocks"
    text = (tmp_path / "plans" / "tickets.yaml").read_text(encoding="utf-8")
    assert "always saying 'bill' reaches 0.5" in text
    assert "gate rows of about" in text
    assert decided(draft)[1] == f"network: {'; '.join(why for why in draft.network.why if why)}"
    assert max(map(len, (line for line in text.splitlines() if line.strip().startswith("#")))) <= 120


@pytest.mark.parametrize("name", ["from", "class", "sent at", "created", "it's at", "a#b"])
def test_stages_follow_dates_whatever_their_column_is_called_and_whatever_labels_are(name: str, tmp_path: Path) -> None:
    labels = {"bill": 0, "parcel": 1, "app": 2}
    made = [{"message": row["message"], name: row["created"], "topic": labels[row["topic"]]} for row in rows(600)]
    draft, loaded, _ = drafted(write_lines(tmp_path / "a.jsonl", made))
    by_date = loaded.plan.stages[0].data.where is not None
    assert by_date or name in ("it's at", "a#b")  # which pandas 2 does not read; then sizes make the stages
    assert len(draft.stages) > 1


def test_a_table_in_several_parts_is_copied_without_the_rows_that_have_no_label(tmp_path: Path) -> None:
    made = only(rows(120), "message", "topic")
    made[59]["topic"] = made[3]["topic"] = ""
    folder = tmp_path / "parts"
    folder.mkdir()
    write_csv(folder / "part-00000.csv", made[:60])
    write_csv(folder / "part-00001.csv", made[60:])
    drafted(folder)
    with (tmp_path / "plans" / "parts-rows.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [row for row in made if row["topic"]]
    subject = open_subject(str(folder), Display())
    texts = subject.source.descriptions(subject.rows)
    assert [(text, subject.line(int(row))) for text, row in zip(texts, subject.source.rows, strict=True)] == [
        (row["message"], 2 + number % 60) for number, row in enumerate(made) if row["topic"]
    ]


def test_forty_rows_have_one_stage_and_a_gate_without_certainty(tmp_path: Path) -> None:
    _, loaded, data = drafted(write_csv(tmp_path / "few.csv", only(rows(40), "message", "topic")))
    (stage,) = loaded.plan.stages
    assert stage.adaptation.method == "head"
    assert all(rule.confidence is None for rule in stage.gate)
    assert all(rule.min_samples <= len(data.slices[data.slice_of[0]].gate) for rule in stage.gate)
    assert len(data.stages[0].train) >= 12


def test_a_hundred_and_fifty_classes_each_have_gate_rows(tmp_path: Path) -> None:
    made = [
        {"question": f"how do i number {number} of subject {number % 150} here", "intent": f"intent_{number % 150:03d}"}
        for number in range(3_000)
    ]
    _, loaded, data = drafted(write_csv(tmp_path / "many.csv", made))
    gate = data.slices[data.slice_of[0]].gate
    counts = data.sources["../many.csv"].truth.counts(gate)
    assert len(counts) == 150
    assert min(counts.values()) >= 5
    assert len(loaded.plan.stages) > 1


def test_a_table_leaves_out_what_tells_rows_apart_or_the_label(tmp_path: Path) -> None:
    made = [
        {
            "sample_id": f"s{number}",
            "taken": f"2024-01-{1 + number % 28:02d}",
            "acid": number * 0.37 % 5,
            "place": "pq"[number // 3 % 2],
            "code": "xyz"[number % 3],
            "cultivar": number % 3,
        }
        for number in range(180)
    ]
    _, loaded, data = drafted(write_csv(tmp_path / "wine.csv", made))
    assert set(loaded.plan.data.leave_out) == {"sample_id", "taken", "code"}
    assert data.columns is not None
    assert data.columns.names == ("acid", "place")
    assert loaded.plan.model.builder == "mlp"


def test_rows_that_a_run_cannot_read_are_written_anew(tmp_path: Path) -> None:
    made = [
        {"id": number, "message": {"body": row["message"]}, "meta": {"label": row["topic"] if number % 3 else None}}
        for number, row in enumerate(rows(300))
    ]
    draft, loaded, data = drafted(write_lines(tmp_path / "nested.jsonl", made))
    assert draft.copy == ("it has objects within objects", "100 rows have no label")
    assert loaded.plan.data.source == "nested-rows.csv"
    assert len(data.sources["nested-rows.csv"]) == 200
    headless = write_csv(tmp_path / "bare.tsv", only(rows(200), "message", "topic"), "\t", header=False)
    _, loaded, data = drafted(headless)
    assert (loaded.plan.data.text, len(data.sources["bare-rows.csv"])) == ("column_1", 200)


def test_numbers_as_labels_are_classes(tmp_path: Path) -> None:
    made = [{"text": row["message"], "label": int(row["topic"] == "bill")} for row in rows(300)]
    assert drafted(write_csv(tmp_path / "binary.csv", made))[2].labels == ("0", "1")


def test_most_rows_of_one_label_are_judged_by_f1(tmp_path: Path) -> None:
    made = [
        {"text": row["message"], "label": "spam" if number % 10 == 0 else "ham"} for number, row in enumerate(rows(400))
    ]
    plan = drafted(write_csv(tmp_path / "spam.csv", made))[1].plan
    first = plan.stages[0].gate[0]
    assert first.metric == "f1_macro"
    assert first.at_least is not None
    assert 0.47 < first.at_least < 0.7  # always saying ham reaches 0.47


@pytest.mark.parametrize("offline", [False, True])
def test_each_task_has_a_plan_with_and_without_a_network(offline: bool, tmp_path: Path) -> None:
    pairs = [{"en": f"how are you, number {number}?", "de": f"wie geht es, Nummer {number}?"} for number in range(300)]
    words = "Anna B-person\nlives O\nin O\nNew B-place\nYork I-place\n{} O\n"
    (tmp_path / "tags.conll").write_text("\n".join(words.format(number) for number in range(200)))
    files = {
        "text-classification": write_csv(tmp_path / "texts.csv", only(rows(200), "message", "topic")),
        "translation": write_csv(tmp_path / "pairs.csv", pairs),
        "token-classification": tmp_path / "tags.conll",
    }
    for task, path in files.items():
        draft, loaded, _ = drafted(path, offline=offline)
        assert loaded.plan.task == task
        assert (loaded.plan.model.weights is None) == offline
        if not offline:
            assert "without a network: plan new --offline" in " ".join(draft.network.why)
    if offline:
        vocabulary = (tmp_path / "plans" / "texts-vocabulary.txt").read_text(encoding="utf-8").splitlines()
        assert vocabulary[:2] == ["[PAD]", "[UNK]"]
        assert {"parcel", "p", "##p"} <= set(vocabulary)
        assert len(vocabulary) == len(set(vocabulary))
    else:
        assert load_plan(str(tmp_path / "plans" / "pairs.yaml")).plan.model.prefix == "translate English to German: "


def test_what_is_no_task_or_too_little_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    few = open_subject(str(write_csv(tmp_path / "a.csv", only(rows(12), "message", "topic"))), Display())
    with pytest.raises(InputError, match=r"12 rows that can be learnt from; a plan needs 20"):
        draft_plan(few, "a")
    made = [{"x": number * 0.7, "y": number * 1.13} for number in range(200)]
    numbers = open_subject(str(write_csv(tmp_path / "b.csv", made)), Display(), label="y")
    with pytest.raises(InputError, match=r"regression is not there yet"):
        draft_plan(numbers, "b")
    made = [
        {"text": row["message"], "label": row["topic"] + "|x" * (number % 2)} for number, row in enumerate(rows(200))
    ]
    with pytest.raises(InputError, match=r"several labels"):
        draft_plan(open_subject(str(write_csv(tmp_path / "c.csv", made)), Display()), "c")


def test_no_file_is_overwritten_and_a_refused_plan_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "a.csv", only(rows(60), "message", "topic"))
    draft = draft_plan(open_subject(str(path), Display()), "a", offline=True)
    (tmp_path / "a-vocabulary.txt").write_text("mine")
    with pytest.raises(InputError, match=r"a-vocabulary.txt is there already"):
        write_plan(draft, tmp_path / "a.yaml")
    (tmp_path / "a-vocabulary.txt").unlink()
    monkeypatch.setattr("progressive_tf.inspection.plan_file._source", lambda draft, folder: "gone.csv")
    with pytest.raises(InputError, match=r"no plan was written, for a run would refuse it: .*gone.csv"):
        write_plan(draft, tmp_path / "a.yaml")
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["a.csv"]


@pytest.mark.parametrize("folder", [".", "plans"])
def test_a_plan_and_what_it_needs_are_not_there_before_it_has_been_tried(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = only(rows(60), "message", "topic")
    made[3]["topic"] = ""
    write_csv(tmp_path / "a.csv", made)
    draft = draft_plan(open_subject("a.csv", Display()), "a", offline=True)
    read, there = plan_file.read_plan_data, set[str]()

    def reading(*arguments: Any) -> PlanData:
        there.update(path.name for path in Path(folder).iterdir() if not path.name.startswith("."))
        return read(*arguments)

    monkeypatch.setattr(plan_file, "read_plan_data", reading)
    written = write_plan(draft, Path(folder) / "a.yaml")
    assert not there & {"a.yaml", "a-vocabulary.txt", "a-rows.csv"}
    assert {path.name for path in written.files} == {"a.yaml", "a-vocabulary.txt", "a-rows.csv"}
    assert all(path.is_file() for path in written.files)
    assert not list(Path(folder).glob(".a.yaml*"))
    assert len(read_plan_data(load_plan(f"{folder}/a.yaml"), tmp_path / "cache").sources) == 1


def test_an_error_of_a_trial_names_places_as_the_plan_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "a.csv", only(rows(60), "message", "topic"))
    draft = draft_plan(open_subject("a.csv", Display()), "a")
    path.unlink()
    with pytest.raises(InputError, match="no plan was written") as refused:
        write_plan(draft, Path("a.yaml"))
    assert ".a.yaml" not in str(refused.value)
    with pytest.raises(InputError, match=r"plans/\.\./a\.csv") as refused:
        write_plan(draft, Path("plans/a.yaml"))
    assert ".a.yaml" not in str(refused.value)


@pytest.mark.parametrize(
    "value", ["a: b", "yes", "1", "ü 'x' \"y\"", ["a, b", "#c"], {"where": "x < '2024'"}, 5e-05, None]
)
def test_values_on_one_line_are_read_again_as_they_are(value: Any) -> None:
    from ruamel.yaml import YAML

    written = flow({"key": value})
    assert "\n" not in written
    assert YAML(typ="safe", pure=True).load(written) == {"key": value}


def test_names_of_plans() -> None:
    assert plan_name("Tickets März (2)") == "Tickets-M-rz--2"
    assert plan_name("…") == "plan"
