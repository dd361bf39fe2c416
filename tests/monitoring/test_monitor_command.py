"""The command on a released classifier of texts: what users said becomes rows of a next stage, and a page."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from monitor_call import monitor
from releasing import PASSES, Place, begin, copied, decision, small_plan, stage_folder
from serving_store import keep

from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.monitoring import proposal
from progressive_tf.monitoring.caller_shares import shared_out
from progressive_tf.monitoring.feedback_rows import Columns
from progressive_tf.monitoring.unknown_labels import counted_labels, in_words
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.store import Registry

DAY = 86_400.0


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan whose first stage is released."""
    model = tiny.raw_plan()["model"] | {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    plan = small_plan({"name": "one", "data": {"take": 60}}, model=model)
    return begin(tmp_path_factory.mktemp("released"), plan)


@pytest.fixture
def place(released: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    return copied(released, tmp_path)


def told(count: int, seed: int) -> tuple[list[tuple[str, str, float]], list[str]]:
    """Returns texts with what a model said, wrong about every third, and what is right."""
    texts, labels = tiny.sentences(count, seed)
    right = [tiny.LABELS[label] for label in labels]
    said = [tiny.LABELS[int(label) ^ (place % 3 == 0)] for place, label in enumerate(labels)]
    sure = np.random.default_rng(seed).uniform(0.5, 1, count)
    return list(zip(texts, said, map(float, sure), strict=True)), right


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hardness(row: dict[str, Any]) -> tuple[bool, float]:
    """Returns what rows are in the order of: wrong and sure first, right and sure last."""
    is_wrong = row["said"] != row["label"]
    return is_wrong, row["confidence"] if is_wrong else -row["confidence"]


def test_rows_of_evaluation_parts_and_of_earlier_stages_are_left_out(place: Path) -> None:
    texts, labels = tiny.sentences(240)
    known = [(text, tiny.LABELS[label], 0.7) for text, label in zip(texts, labels, strict=True)]
    rows, right = told(90, seed=9)
    every = [label for _, label, _ in known]
    # Each text once more, with other spaces and letters, which are the same text.
    again = [(text.upper().replace(" ", "  "), said, sure) for text, said, sure in rows]
    keep(
        place / "serving",
        "tiny",
        [*known, *rows, *again],
        began=time.time() - DAY,
        told=[*every, *right, *right],
    )
    done = monitor(place, "tiny", "--plan", "plan.yaml", "--propose", "next.yaml")
    assert done.returncode == 0, done.stderr
    written = lines(place / "tiny-feedback-1.jsonl")
    evaluated = set(texts) - {row["text"] for row in written}
    assert len(evaluated) >= 120 + 60
    assert "120 stand in an evaluation part" in done.stdout
    assert "60 stand in an earlier stage" in done.stdout
    assert "90 stand twice" in done.stdout
    chosen = [row for row in written if row["chosen"]]
    assert len(chosen) < len(written)
    assert [hardness(row) for row in written] == sorted(map(hardness, written), reverse=True)
    proposed = load_plan(str(place / "next.yaml"))
    assert [stage.name for stage in proposed.plan.stages] == ["one", "feedback-1"]
    data = read_plan_data(proposed, place / "cache")
    own = data.slices[data.slice_of[1]]
    parts = [data.stages[1].train, data.stages[1].validation, own.gate, own.test]
    assert all(map(len, parts))
    assert sum(map(len, parts)) == len(chosen)


def test_too_little_is_refused_and_nothing_is_written(place: Path) -> None:
    rows, right = told(30, seed=4)
    keep(place / "serving", "tiny", rows, began=time.time() - DAY, told=[*right[:20], *[None] * 10])
    before = sorted(place.iterdir())
    done = monitor(place, "tiny", "--plan", "plan.yaml", "--propose", "next.yaml")
    assert done.returncode == 2
    assert "20 new rows with a right label and their input, at least 40 are needed" in done.stderr
    assert sorted(each for each in place.iterdir() if each.name != "cache") == [
        each for each in before if each.name != "cache"
    ]
    for arguments, message in (
        (["tiny", "--if-due"], "for --propose FILE"),
        (["tiny", "--new-labels", "9"], "for --propose FILE"),
        (["tiny", "--most-of-one-caller", "0.5"], "for --propose FILE"),
        (["--propose", "next.yaml"], "name the model"),
        (["tiny", "--plan", "plan.yaml", "--propose", "data.csv"], "a .yaml file expected"),
        (["tiny", "--plan", "plan.yaml", "--propose", "elsewhere/next.yaml"], "write the copy into"),
        (["other"], "other"),
        (["tiny", "--reference", "run", "--runs", "nowhere"], "or give --reference live"),
        (["tiny", "--store", "nowhere"], "there is no store"),
    ):
        refused = monitor(place, *arguments)
        assert refused.returncode == 2, arguments
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr


def test_without_a_plan_the_one_of_the_run_is_named(place: Path) -> None:
    rows, right = told(60, seed=9)
    keep(place / "serving", "tiny", rows, began=time.time() - DAY, told=right)
    refused = monitor(place, "tiny", "--propose", "next.yaml")
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "--plan: the file of the plan of tiny expected; runs/" in said
    assert "plan.yaml shows what it says" in said


def test_labels_that_cannot_be_used_are_counted(place: Path) -> None:
    rows, right = told(60, seed=9)
    odd = [(f"{text} again", said, sure) for text, said, sure in rows[:5]]
    keep(place / "serving", "tiny", [*rows, *odd], began=time.time() - DAY, told=[*right, *["neutral"] * 5])
    done = monitor(place, "tiny", "--plan", "plan.yaml", "--propose", "next.yaml")
    assert done.returncode == 0, done.stderr
    assert "5 have a label that the plan does not know" in done.stdout
    assert len(lines(place / "tiny-feedback-1.jsonl")) == 60
    assert "Its rows are of 60 callers, fewer than 100" in " ".join(done.stdout.split())


def test_a_label_that_nobody_knows_becomes_a_class_once_enough_callers_say_it(place: Path) -> None:
    rows, right = told(60, seed=9)
    odd = [(f"good thing{chr(97 + row % 12)} thing{chr(97 + row // 12)} fine", "positive", 0.9) for row in range(40)]
    keep(place / "serving", "tiny", rows, began=time.time() - 2 * DAY, told=right)
    keep(place / "serving", "tiny", odd[:30], began=time.time() - DAY, told=["neutral"] * 30)
    looked = monitor(place, "tiny")
    assert "labels that no version knows: neutral (30 times by 30 callers)" in " ".join(looked.stdout.split())
    assert "neutral (30 times by 30 callers)" in (place / "monitor.html").read_text(encoding="utf-8")
    arguments = ("tiny", "--plan", "plan.yaml", "--propose")
    few = monitor(place, *arguments, "few.yaml")
    assert "30 have a label that the plan does not know" in few.stdout
    said = " ".join(few.stdout.split())
    assert "not enough for classes, which take 40 rows, of one caller a tenth at most: neutral (30 rows of 30" in said
    assert len(load_plan(str(place / "few.yaml")).plan.stages) == 2

    keep(place / "serving", "tiny", odd[30:], began=time.time() - DAY / 2, told=["neutral"] * 10)
    refused = monitor(place, *arguments, "plan.yaml")
    assert refused.returncode == 2
    assert "neutral would be added by a plan of its own" in " ".join(refused.stderr.split())
    done = monitor(place, *arguments, "next.yaml")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "new classes of a plan that starts from version 1: neutral (40 rows of 40 callers)" in said
    written = lines(place / "tiny-feedback-2.jsonl")
    (stage,) = load_plan(str(place / "next.yaml")).plan.stages
    assert stage.labels is not None
    assert stage.labels.add == ("neutral",)
    assert stage.retention.replay is not None
    assert sum(row["label"] == "neutral" for row in written) == 40
    assert "what the version was trained on is replayed, and what it has not seen measured: data.csv" in said

    run = Place(place).run(read_yaml_mapping(place / "next.yaml"))
    assert run.promoted
    assert decision(run.run, "feedback-2")["version"] == 2
    data = json.loads((stage_folder(run.run, "feedback-2") / "data.json").read_text(encoding="utf-8"))
    assert data["labels"]["train"]["neutral"] > 20
    assert sum(data["labels"]["gate"].values()) == 20, "a fifth of what users said"
    replayed = pd.read_parquet(stage_folder(run.run, "feedback-2") / "retention" / "replay.parquet")
    assert (set(replayed["source"]), len(replayed)) == ({"data.csv"}, 60), "all that the version was trained on"
    versions = Registry(place / "registry").model("tiny")
    assert LabelLineage.read(versions).before(2) is not None
    # Now that a version has the class, what users said of it judges the answers of the one before.
    assert "labels that no version knows" not in monitor(place, "tiny", "--reference", "live").stdout


def test_one_caller_makes_no_class() -> None:
    of_one = [("neutral", "caller 1")] * 400
    others = [("neutral", f"caller {number}") for number in range(2, 11)]
    (label,) = counted_labels([*of_one, *others * 4], 40)
    assert (label.times, label.callers, label.counted) == (436, 10, 40)
    (label,) = counted_labels([*of_one, *others[1:] * 4], 40)
    assert label.counted == 36
    (label,) = counted_labels(of_one, 1)
    assert label.counted == 1
    assert in_words([]) == ""
    several = counted_labels([("b", 1), ("c", 1), ("c", 2)], 40)
    assert in_words(several) == "labels that no version knows: c (2 times by 2 callers), b (once by 1 caller)"


def test_rows_of_one_caller_stay_together(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "FEWEST_CALLERS", 50)
    rows, right = told(60, seed=9)
    keep(place / "serving", "tiny", rows, began=time.time() - DAY, told=right)
    done = monitor(place, "tiny", "--plan", "plan.yaml", "--propose", "next.yaml")
    assert done.returncode == 0, done.stderr
    assert len({row["caller"] for row in lines(place / "tiny-feedback-1.jsonl")}) == 60
    proposed = load_plan(str(place / "next.yaml"))
    assert proposed.plan.stages[1].data.split.group == "caller"
    data = read_plan_data(proposed, place / "cache")
    assert data.sources[data.stage_sources[1]].groups is not None


@pytest.mark.parametrize("share", [None, "1"])
def test_one_caller_has_at_most_a_share_of_the_rows(place: Path, share: str | None) -> None:
    texts = [f"good thing{chr(97 + row % 26)} thing{chr(97 + row // 26)} film" for row in range(240)]
    flood = [(text, "positive", 0.99) for text in texts]  # a caller says of all that they are wrong
    rows, right = told(60, seed=9)
    keep(place / "serving", "tiny", rows, began=time.time() - 2 * DAY, told=right)
    keep(place / "serving", "tiny", flood, began=time.time() - DAY, told=["negative"] * 240, caller=4711)
    flag = [] if share is None else ["--most-of-one-caller", share]
    done = monitor(place, "tiny", "--plan", "plan.yaml", "--propose", "next.yaml", *flag)
    assert done.returncode == 0, done.stderr
    written, said = lines(place / "tiny-feedback-1.jsonl"), " ".join(done.stdout.split())
    of_one = sum(row["caller"] == "caller 4711" for row in written)
    if share is None:
        assert (len(written), of_one) == (66, 6)
        assert "caller 4711: 240 of 300 rows; 6 kept" in said
        assert "234 are more than the share of their caller" in said
        assert "caller 4711: 240 of 300 rows; 6 kept" in (place / "next.yaml").read_text(encoding="utf-8")
        data = read_plan_data(load_plan(str(place / "next.yaml")), place / "cache")
        own = data.slices[data.slice_of[1]]
        assert len(data.stages[1].train) + len(own.gate) <= 66
    else:
        assert (len(written), of_one) == (300, 240)
        assert "caller 4711: 240 of 300 rows, the most of one of 61 callers" in said


def test_of_few_callers_each_has_as_much_as_any_other_may() -> None:
    columns = Columns("label", "said", "confidence", "id", "caller", "chosen")

    def shares(*counts: int, most: float = 0.1) -> tuple[list[int], list[str]]:
        rows = [
            {"id": f"{(caller * 1000 + place) * 7919 % 10007:032x}", "caller": f"caller {caller}", "place": place}
            for caller, count in enumerate(counts)
            for place in range(count)
        ]
        kept, said = shared_out(rows, columns, most)
        assert [row for row in rows if row in kept] == kept, "their order stays"
        assert shared_out(rows, columns, most)[0] == kept
        drawn = [[row["place"] for row in kept if row["caller"] == f"caller {place}"] for place in range(len(counts))]
        assert all(
            len(own) in (0, count) or own != list(range(len(own))) for own, count in zip(drawn, counts, strict=True)
        )
        return [len(own) for own in drawn], said

    assert shares(50) == ([50], ["caller 0: 50 of 50 rows, the most of one of 1 callers"])
    assert shares(80, 20) == ([20, 20], ["caller 0: 80 of 100 rows; 20 kept"])
    assert shares(*[10] * 9, 910)[0] == [10] * 10
    assert shares(*[10] * 9, 910, most=0.5)[0] == [10] * 9 + [90]
    assert shares(*[20] * 20, *[100] * 12, most=0.01)[1][-1] == "2 more callers likewise"
    assert shared_out([], columns) == ([], [])


def test_a_stage_that_is_not_due_is_not_proposed(place: Path) -> None:
    rows, right = told(100, seed=4)
    keep(place / "serving", "tiny", rows, began=time.time() - 10, told=right, seconds=0.01)
    common = ["tiny", "--plan", "plan.yaml", "--propose", "next.yaml", "--if-due"]
    waits = monitor(place, *common)
    assert waits.returncode == 0
    assert waits.stdout.startswith("tiny: not due: ")
    assert "of 200 new labels" in waits.stdout
    assert not (place / "next.yaml").exists()


def test_a_look_at_every_model_writes_a_page(place: Path) -> None:
    same, right = told(80, seed=5)
    other = [(f"def function{n} return value", "positive", 0.9) for n in range(80)]
    keep(place / "serving", "tiny", same, began=time.time() - 15 * DAY, told=right)
    keep(place / "serving", "tiny", other, began=time.time() - DAY, told=["negative"] * 80)
    done = monitor(place)
    assert done.returncode == 0, done.stderr
    found = {line.split("  ")[1].strip() for line in done.stdout.splitlines() if line.rstrip().endswith("drift")}
    assert "page: monitor.html" in done.stdout
    page = (place / "monitor.html").read_text(encoding="utf-8")
    assert "gate rows of stage one" in page
    assert "✕ drift" in page
    assert "text: share of unknown words" in page
    assert found
    live = monitor(place, "tiny", "--reference", "live", "--out", "live.html")
    assert "live answers before these" in live.stdout


def test_a_plan_of_another_task_or_name_is_refused(place: Path) -> None:
    rows, right = told(60, seed=4)
    keep(place / "serving", "tiny", rows, began=time.time() - DAY, told=right)
    other = small_plan({"name": "one", "data": {"take": 60}, "gate": [PASSES]}, name="other")
    (place / "other.yaml").write_text(to_yaml(other), encoding="utf-8")
    done = monitor(place, "tiny", "--plan", "other.yaml", "--propose", "next.yaml")
    assert done.returncode == 2
    assert "the plan of tiny expected; this one is called other" in done.stderr
