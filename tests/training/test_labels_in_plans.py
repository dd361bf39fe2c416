"""Labels and empty texts of a whole plan: its sources, stages, validation sets and classes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from rich.console import Console

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

SPLIT = {"validation": 10, "gate": 20, "test": 10}


def texts(count: int, labels: list[Any], seed: int = 0) -> pd.DataFrame:
    found, _ = tiny.sentences(count, seed)
    return pd.DataFrame({"text": found, "label": [labels[row % len(labels)] for row in range(count)]})


def read(folder: Path, stages: list[dict[str, Any]], leave_empty_out: bool = True, **data: Any) -> tuple[PlanData, str]:
    named = [{"name": f"stage-{place}", "data": each} for place, each in enumerate(stages)]
    plan = tiny.raw_plan(stages=named, scenario=data.pop("scenario", "data-incremental"))
    plan["data"] |= {"source": "own.csv", "split": SPLIT} | data
    shown = io.StringIO()
    loaded = load_plan(str(tiny.write_plan(folder, plan)))
    found = read_plan_data(loaded, folder / "cache", Display(Console(file=shown, width=400)), leave_empty_out)
    return found, shown.getvalue()


def test_one_rule_is_for_every_source_and_for_what_the_plan_writes(tmp_path: Path) -> None:
    texts(80, ["Fees", "Card", "Fees ", "Refund"]).to_csv(tmp_path / "own.csv", index=False)
    texts(60, ["FEES", "card", "refund"], seed=1).to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    texts(30, ["fees\u00a0", "CARD"], seed=2).to_parquet(tmp_path / "further.parquet")
    stages: list[dict[str, Any]] = [{"classes": ["fees", "CARD"]}, {"source": "new.jsonl", "classes": ["REFUND"]}]
    more = {"validation_sets": {"further": "further.parquet"}, "scenario": "class-incremental"}
    with pytest.raises(InputError, match=r"own\.csv, new\.jsonl, further\.parquet: 3 classes are written"):
        read(tmp_path, stages, **more)
    data, said = read(tmp_path, stages, normalize_labels="casefold", **more)
    assert data.labels == ("Fees", "Card", "Refund")
    assert data.classes.known == (2, 3)
    assert set(data.sources["new.jsonl"].labels) == {"Fees", "Card", "Refund"}
    assert len(data.slices["further"].gate) == 30
    assert data.spelling.of("REFUND ") == "Refund"
    assert "8 labels are 3 classes" in said or "9 labels are 3 classes" in said


def test_whole_numbers_are_one_class_whatever_type_they_have(tmp_path: Path) -> None:
    texts(80, [4.0, 5.0]).to_parquet(tmp_path / "own.parquet")
    texts(80, ["4", "5"], seed=1).to_csv(tmp_path / "later.csv", index=False)
    stages: list[dict[str, Any]] = [{"take": 20}, {"source": "later.csv"}]
    data, said = read(tmp_path, stages, source="own.parquet", labels=[4, 5])
    assert data.labels == ("4", "5")
    assert "own.parquet: labels are numbers with a fraction; read as text, such as '4', '5'" in said


def test_truth_values_are_read_and_names_of_the_plan_may_be_some(tmp_path: Path) -> None:
    texts(80, [True, False]).to_parquet(tmp_path / "own.parquet")
    data, said = read(tmp_path, [{"take": 20}], source="own.parquet", labels=[False, True])
    assert data.labels == ("false", "true")
    assert "labels are truth values" in said
    texts(80, ["True", "False"]).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(InputError, match=r"'False' is 'false' written in another way: set data\.normalize_labels"):
        read(tmp_path, [{"take": 20}], labels=[False, True], quality={"similar_labels": None})


def test_rows_without_a_text_go_into_no_part_and_are_counted(tmp_path: Path) -> None:
    frame = texts(80, ["a", "b"])
    frame.loc[[3, 10, 20, 30], "text"] = ["  ", None, "nan", "\u200b"]
    for name in ("own.csv", "own.parquet"):
        getattr(frame, f"to_{name[4:]}")(tmp_path / name, index=False)
        data, said = read(tmp_path, [{"all": True}], source=name)
        assert f"{name}: 4 rows with an empty text (rows 4, 11, 21, 31) left out before the split" in said
        parts = data.parts[name]
        used = np.concatenate([parts.validation, parts.gate, parts.test, parts.pool])
        assert sorted(set(range(80)) - set(used.tolist())) == [3, 10, 20, 30]
        (finding,) = data.findings[name]
        assert (finding.kind, finding.action, finding.count, finding.rows) == ("empty_text", "drop", 4, (4, 11, 21, 31))
    kept, said = read(tmp_path, [{"all": True}], quality={"empty_text": "warn"})
    assert "left out" not in said
    assert {3, 10, 20, 30} <= set(np.concatenate(list(vars(kept.parts["own.csv"]).values())).tolist())


def test_a_run_of_an_earlier_release_keeps_its_parts(tmp_path: Path) -> None:
    frame = texts(80, ["a", "b"])
    frame.loc[5, "text"] = " "
    frame.to_csv(tmp_path / "own.csv", index=False)
    before, _ = read(tmp_path, [{"all": True}], leave_empty_out=False)
    parts = before.parts["own.csv"]
    assert 5 in np.concatenate([parts.validation, parts.gate, parts.test, parts.pool])
    assert before.findings["own.csv"] == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([f"{number / 7:.3f}" for number in range(80)], "regression is not there yet"),
        (["good|film", "bad|plot"], "several labels a row are not there yet"),
    ],
)
def test_labels_that_are_no_classes_are_asked_about(tmp_path: Path, labels: list[str], message: str) -> None:
    texts(80, labels).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(InputError, match=rf"(?s)data\.quality\.odd_labels: own\.csv: .*{message}.*odd_labels: null"):
        read(tmp_path, [{"take": 20}])


def test_types_of_entities_may_be_written_as_labels_may(tmp_path: Path) -> None:
    words = [["Ada", "met", "Bob"], ["Rome", "is", "old"]]
    tags = [["b-per", "O", "B-PER "], ["B-Place", "o", "O"]]
    rows = [{"tokens": [f"{word}{row}" for word in words[row % 2]], "tags": tags[row % 2]} for row in range(80)]
    rows.append({"tokens": ["New", "York"], "tags": ["B-Place", "I-place"]})
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = {"model": {"builder": "bert-tagger", "weights": None, "vocabulary": "vocab.txt", "config": tiny.CONFIG}}
    raw = tiny.raw_plan(task="token-classification", **plan, stages=[{"name": "one", "data": {"take": 20}}])
    raw["defaults"]["gate"] = [{"metric": "entity_f1", "at_least": 0.0}]
    raw["data"] |= {"source": "own.jsonl", "split": SPLIT}
    path = tiny.write_plan(tmp_path, raw)
    with pytest.raises(InputError, match=r"(?s)2 classes are written.*'PER '.*set data\.normalize_labels: casefold"):
        read_plan_data(load_plan(str(path)), tmp_path / "cache")
    loaded = load_plan(str(path), ["data.normalize_labels=casefold"])
    data = read_plan_data(loaded, tmp_path / "cache")
    source = data.sources["own.jsonl"]
    assert data.outputs == ("O", "B-PER", "I-PER", "B-Place", "I-Place")
    assert source.expected([0]) == [["B-PER", "O", "B-PER"]]
    assert source.expected([80]) == [["B-Place", "I-Place"]]  # one place, and not one of each spelling
    assert not source.truth.is_broken(np.arange(len(source))).any()
