"""The command on a released classifier of texts: questions out, labels in, and a stage made of them."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
from releasing import begin, copied, small_plan
from serving_store import keep

from progressive_tf.ask import app
from progressive_tf.commands import run_command
from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

DAY = 86_400.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan whose first stage is released."""
    model = tiny.raw_plan()["model"] | {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    plan = small_plan({"name": "one", "data": {"take": 60}}, model=model)
    plan["data"]["normalize_labels"] = "casefold"
    plan["defaults"]["gate"].append({"metric": "f1_macro", "at_least": 0.0})
    return begin(tmp_path_factory.mktemp("released"), plan)


@pytest.fixture
def place(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be written to, and where commands are given."""
    monkeypatch.chdir(tmp_path)
    return copied(released, tmp_path)


@pytest.fixture
def ask(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as stop:
            run_command(app, ["tiny", *arguments])
        said = capsys.readouterr()
        return Done(int(stop.value.code or 0), " ".join(said.out.split()), " ".join(said.err.split()))

    return asked


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def right_label(text: str) -> str:
    words = text.split()
    return tiny.LABELS[int(any(word.strip(".,!?") in ("good", "fine") for word in words))]


def label(path: Path, **by: str) -> None:
    """Fills in what is right."""
    rows = [row | {"label": right_label(row["input"]["text"])} | by for row in lines(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def served(place: Path, count: int, judged: int = 0) -> list[str]:
    """Keeps texts that a server was asked about, of which some have feedback; returns them all."""
    texts = list(dict.fromkeys(tiny.sentences(2 * count, seed=9)[0]))[:count]
    told = [right_label(text) if number < judged else None for number, text in enumerate(texts)]
    rows = [(text, tiny.LABELS[0], 0.6) for text in texts]
    keep(place / "serving", "tiny", rows, began=time.time() - DAY, told=told)
    return texts


def test_from_what_callers_sent_to_a_stage_with_its_gate_rows(place: Path, ask: Any) -> None:
    texts = served(place, 120, judged=20)
    known = tiny.sentences(240)[0][:5]
    keep(place / "serving", "tiny", [(text, "positive", 0.6) for text in known], began=time.time() - DAY / 2)
    done = ask("--n", "40", "--random", "0.5", "--double", "0.25", "--plan", "plan.yaml", "--to", "q.jsonl")
    assert done.code == 0, done.err
    assert "20 by chance, for the gate, 20 that the version is unsure of, for training" in done.out
    assert "by chance is of 116 different inputs without a label, however often each was sent; " in done.out
    assert "have feedback, by users who chose to give it" in done.out
    assert "labels: negative, positive" in done.err
    questions = lines(place / "q.jsonl")
    asked = [row["input"]["text"] for row in questions]
    assert len(set(asked)) == 40
    assert set(asked) <= set(texts)
    judged = {row["why"] for row in questions if row["input"]["text"] in texts[:20]}
    assert judged == {"random"}
    assert all(set(row) == {"question", "why", "input", "label"} for row in questions)
    second = lines(place / "q.second.jsonl")
    assert len(second) == 10
    assert [row for row in second if row not in questions] == []

    again = ask("--n", "40", "--random", "0.5", "--plan", "plan.yaml", "--to", "again.jsonl")
    assert again.code == 0
    assert (place / "again.jsonl").read_bytes() == (place / "q.jsonl").read_bytes()
    others = ask("--n", "20", "--asked", "q.jsonl", "--show-answers", "--to", "others.csv")
    assert others.code == 0, others.err
    with (place / "others.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert not {row["text"] for row in rows} & set(asked)
    assert {row["said"] for row in rows} <= set(tiny.LABELS)

    label(place / "q.jsonl")
    label(place / "q.second.jsonl")
    added = ask("--plan", "plan.yaml", "--import", "q.jsonl", "--import", "q.second.jsonl", "--to", "next.yaml")
    assert added.code == 0, added.err
    assert "stage asked-1 trains on 20 rows of tiny-asked-1.jsonl; 20 asked by chance are its gate's" in added.out
    assert "10 questions were answered by two people or more, 10 of them alike" in added.out
    plan = load_plan(str(place / "next.yaml"))
    assert [stage.name for stage in plan.plan.stages] == ["one", "asked-1"]
    data = read_plan_data(plan, place / "cache")
    own, source = data.slices[data.slice_of[1]], data.sources[data.stage_sources[1]]
    by_why = {why: {row["input"]["text"] for row in questions if row["why"] == why} for why in ("random", "uncertain")}
    assert set(source.texts(own.gate)) == by_why["random"]
    trained = [*data.stages[1].train, *data.stages[1].validation]
    assert set(source.texts(trained)) == by_why["uncertain"]
    assert len(own.test) == 0

    twice = ask("--plan", "next.yaml", "--import", "q.jsonl", "--to", "next.yaml")
    assert twice.code == 2
    assert "0 new rows with a label to train on, at least 10 are needed" in twice.err


def test_rows_of_a_file_with_what_the_plan_has_labels_for(place: Path, ask: Any) -> None:
    new = list(dict.fromkeys(tiny.sentences(120, seed=5)[0]))[:40]
    old = tiny.sentences(240)[0][:30]
    with (place / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in [*old, *new, ""])])
    done = ask("rows.csv", "--n", "20", "--plan", "plan.yaml", "--to", "q.json", "--format", "label-studio")
    assert done.code == 0, done.err
    assert "30 have a label, or were asked about" in done.out
    tasks = json.loads((place / "q.json").read_text(encoding="utf-8"))
    assert {task["data"]["text"] for task in tasks} <= set(new)
    assert (place / "q.xml").read_text(encoding="utf-8").count("<Choice ") == 2
    elsewhere = ask("rows.csv", "--n", "20", "--to", "words.jsonl", "--runs", "nowhere")
    assert elsewhere.code == 0, elsewhere.err
    assert (
        "is not in nowhere: what has a label may be asked about, and inputs are alike by their words" in elsewhere.out
    )


def test_labels_that_do_not_fit_are_counted_and_shown(place: Path, ask: Any) -> None:
    served(place, 60)
    assert ask("--n", "50", "--random", "0.5", "--to", "a.jsonl").code == 0
    label(place / "a.jsonl")
    rows = lines(place / "a.jsonl")
    for row in rows[:3]:
        row["label"] = "neutral"
    rows[3]["label"] = None
    other = [row | {"label": "negative" if row["label"] == "positive" else "positive"} for row in rows[4:6]]
    for name, content in (("a.jsonl", rows), ("b.jsonl", other)):
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    done = ask("--plan", "plan.yaml", "--import", "a.jsonl", "--import", "b.jsonl", "--to", "next.yaml")
    assert done.code == 0, done.err
    assert "1 have no label" in done.out
    assert "2 were given as many different labels" in done.out
    assert "3 have a label that the plan does not know: 'neutral'" in done.out
    with (place / "tiny-asked-1.doubts.csv").open(newline="", encoding="utf-8") as stream:
        problems = [row["problem"] for row in csv.DictReader(stream)]
    assert problems.count("people do not agree") == 2


def test_the_plan_is_written_last_and_nothing_before_all_is_known(
    place: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(place, 60)
    assert ask("--n", "50", "--random", "0.5", "--to", "a.jsonl").code == 0
    label(place / "a.jsonl")
    first = lines(place / "a.jsonl")[0]
    other = first | {"label": next(name for name in tiny.LABELS if name != first["label"])}
    (place / "b.jsonl").write_text(json.dumps(other) + "\n", encoding="utf-8")
    (place / "cache").mkdir(exist_ok=True)
    before = set(place.iterdir())
    arguments = ["--plan", "plan.yaml", "--import", "a.jsonl", "--import", "b.jsonl", "--to", "next.yaml"]

    def fails(*_: Any) -> None:
        raise InputError("stopped")

    for name in ("importing.probabilities_of", "stage.write_stage"):
        with monkeypatch.context() as patched:
            patched.setattr(f"progressive_tf.labelling.{name}", fails)
            assert "stopped" in ask(*arguments).err
        assert set(place.iterdir()) == before

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("progressive_tf.labelling.stage.write_stage", killed)
        assert ask(*arguments).code != 0
    assert {path.name for path in set(place.iterdir()) - before} == {"tiny-asked-1.doubts.csv"}
    assert ask(*arguments).code == 0
    assert (place / "tiny-asked-1.doubts.csv").is_file()


def test_who_writes_a_label_as_the_plan_reads_it_agrees(place: Path, ask: Any) -> None:
    served(place, 60)
    assert ask("--n", "40", "--random", "0.5", "--double", "0.5", "--to", "a.jsonl").code == 0
    for name in ("a.jsonl", "a.second.jsonl"):
        label(place / name)
    rows = [row | {"label": f" {row['label'].upper()}."} for row in lines(place / "a.second.jsonl")]
    (place / "a.second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = ask("--plan", "plan.yaml", "--import", "a.jsonl", "--import", "a.second.jsonl", "--to", "next.yaml")
    assert done.code == 0, done.err
    assert "20 questions were answered by two people or more, 20 of them alike" in done.out
    assert "a.second.jsonl: lines of JSON" in done.err


def test_a_rule_that_will_hold_is_said_when_the_stage_is_written(place: Path, ask: Any) -> None:
    served(place, 60)
    assert ask("--n", "40", "--random", "0.5", "--to", "a.jsonl").code == 0
    label(place / "a.jsonl")
    rows = [row | ({"label": "negative"} if row["why"] == "random" else {}) for row in lines(place / "a.jsonl")]
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = ask("--plan", "plan.yaml", "--import", "a.jsonl", "--to", "next.yaml")
    assert done.code == 0, done.err
    said = "Its rule on f1_macro will hold: at least 5 of its own gate rows of each class are needed"
    assert f"{said}, and there are too few of positive (0)" in done.out
    assert said in (place / "next.yaml").read_text(encoding="utf-8")


def test_what_changes_nothing_is_said(place: Path, ask: Any) -> None:
    (place / "q.jsonl").write_text("{}\n", encoding="utf-8")
    draws = ["--n", "50", "--random", "0", "--double", "0", "--seed", "0", "--store", "serving", "--column", "text"]
    assert "no effect: --n, --random, --double, --seed, --store, --column beside --import" in (
        ask("--import", "q.jsonl", "--to", "next.yaml", *draws).err
    )
    assert "no effect: --store beside FILE" in ask("data.csv", "--store", "x", "--to", "a.jsonl").err
    assert "no effect: --column beside what a server has kept" in ask("--column", "text", "--to", "a.jsonl").err


@pytest.mark.parametrize("change", ["seed: 3", "name: tiny"])
def test_the_plan_of_another_run_is_refused_when_asking_too(place: Path, ask: Any, change: str) -> None:
    served(place, 60)
    written = (place / "plan.yaml").read_text(encoding="utf-8")
    other = change + "1"
    (place / "other.yaml").write_text(written.replace(change, other), encoding="utf-8")
    done = ask("--n", "20", "--plan", "other.yaml", "--to", "q.jsonl")
    assert done.code == 2
    assert "--plan other.yaml" in done.err
    assert not (place / "q.jsonl").exists()
    if change.startswith("name"):
        done = ask("--n", "20", "--plan", "other.yaml", "--runs", "nowhere", "--to", "q.jsonl")
        assert "the plan of tiny expected; this one is called tiny1" in done.err


def test_every_target_is_looked_at_first(place: Path, ask: Any) -> None:
    for there in ("q.xml", "r.second.jsonl"):
        (place / there).write_text("mine", encoding="utf-8")
    (place / "file").write_text("", encoding="utf-8")
    label_studio = ["--format", "label-studio", "--to", "q.json"]
    for arguments, message in (
        (label_studio, "there is q.xml already"),
        (["--to", "r.jsonl", "--double", "0.5"], "there is r.second.jsonl already"),
        (["--to", "file/q.jsonl"], "--to file/q.jsonl: cannot be written"),
    ):
        # The file that is gone would be said too, but later.
        done = ask("gone.csv", *arguments)
        assert done.code == 2
        assert message in done.err
    assert "there is no such file" in ask("gone.csv", "--to", "r.jsonl").err
    assert (place / "q.xml").read_text(encoding="utf-8") == "mine"


def test_what_cannot_be_asked_is_refused_and_nothing_is_written(place: Path, ask: Any) -> None:
    (place / "full.jsonl").write_text("{}\n", encoding="utf-8")
    before = sorted(path.name for path in place.iterdir())
    for arguments, message in (
        (["--to", "q.jsonl"], "there is no store"),
        (["data.csv", "--to", "full.jsonl"], "there is full.jsonl already"),
        (["data.csv", "--to", "q.json"], "a .jsonl or .csv file expected, or a .json one with --format"),
        (["data.csv", "--to", "q.csv", "--format", "argilla"], "a .json file expected for --format argilla"),
        (["gone.csv", "--to", "q.jsonl"], "there is no such file"),
        (["data.csv", "--plan", "plan.yaml", "--to", "q.jsonl"], "50 questions asked for, and 0 inputs are left"),
        (["data.csv", "--to", "q.jsonl", "--column", "txt"], "unknown column 'txt'; did you mean 'text'"),
        (["data.csv", "--to", "q.jsonl", "--asked", "full.jsonl"], "line 1: 'input' expected"),
        (["data.csv", "--to", "q.jsonl", "--import", "full.jsonl"], "give one of the two"),
        (["--to", "next.yaml", "--import", "full.jsonl"], "line 1: 'input' expected"),
    ):
        done = ask(*arguments)
        assert done.code == 2, arguments
        assert message in done.err
        assert "Traceback" not in done.err
    assert sorted(path.name for path in place.iterdir() if path.name != "cache") == [
        name for name in before if name != "cache"
    ]
