"""Tables are answered in parts; the version is one that says what a text begins with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.scoring import score
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.score import Asked, Scoring, Summary
from progressive_tf.scoring.unread import Unread

LABELS = ("good", "bad")


class Version:
    """Answers `good` to texts that begin with g; refuses what begins with !, and gives no number to ?."""

    reads, gives, columns, width, has_tasks = "texts", "classes", (), None, False
    cells, most_rows = ("predicted", "confidence", "probability/good", "probability/bad"), 64

    def __init__(self, begins: str = "g") -> None:
        self.begins = begins
        self.asked: list[str] = []

    def answer(self, texts: Sequence[str], task: object, batch_size: int, unread: Unread, tell: Any) -> pd.DataFrame:
        if any(text.startswith("!") for text in texts):
            which = ", ".join(str(place) for place in range(len(texts)))
            raise InputError(f"{f'inputs[{which}]' if len(texts) == 1 else f'one of inputs {which}'}: refused")
        self.asked += texts
        good = np.array([0.9 if text.startswith(self.begins) else 0.2 for text in texts])
        good[[text.startswith("?") for text in texts]] = np.nan
        labels = [LABELS[0] if share > 0.5 else LABELS[1] for share in good]
        return pd.DataFrame({"label": labels, "probability/good": good, "probability/bad": 1 - good})


def scored(asked: Asked, version: Version | None = None, against: Version | None = None) -> Summary:
    first = cast(Any, version or Version())
    second = cast(Any, against)
    display = Display(Console(file=io.StringIO()))
    return Scoring(cast(Predictor, first), cast("Predictor | None", second), {"version": 1}).run(asked, display)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, texts: Sequence[str]) -> Path:
    pd.DataFrame({"text": texts, "id": range(len(texts))}).to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def four_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "ROWS_AT_ONCE", 4)


def test_each_row_has_its_answer_and_each_bad_one_its_reason(tmp_path: Path) -> None:
    texts = ["good one", "bad", "!no", "great", "?", "", "gold", "base"]
    summary = scored(Asked([write(tmp_path / "in.csv", texts)], tmp_path / "out.csv"))
    assert [(row["row"], row["predicted"], row["id"]) for row in rows_of(tmp_path / "out.csv")] == [
        ("1", "good", "0"),
        ("2", "bad", "1"),
        ("4", "good", "3"),
        ("7", "good", "6"),
        ("8", "bad", "7"),
    ]
    assert [(row["row"], row["problem"]) for row in rows_of(tmp_path / "out.bad.csv")] == [
        ("3", "refused"),
        ("5", "the version gives no finite number"),
        ("6", "no text in column text"),
    ]
    assert (summary.rows, summary.bad, summary.answers) == (5, 3, {"good": 3, "bad": 2})
    assert not list(tmp_path.glob("*.parts")), "what was written on the way"


def test_what_a_killed_process_has_written_is_not_asked_again_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [f"{'g' if row % 3 else '!'} {row}" for row in range(18)])
    scored(Asked([source], tmp_path / "whole.csv"))

    class Killed(Version):
        def answer(self, texts: Sequence[str], *further: Any) -> pd.DataFrame:
            if len(self.asked) > 6:
                raise KeyboardInterrupt
            return super().answer(texts, *further)

    with pytest.raises(KeyboardInterrupt):
        scored(Asked([source], tmp_path / "out.csv"), Killed())
    assert not (tmp_path / "out.csv").exists()
    again = Version()
    summary = scored(Asked([source], tmp_path / "out.csv"), again)
    assert "g 1" not in again.asked
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "out.bad.csv").read_bytes() == (tmp_path / "whole.bad.csv").read_bytes()
    assert (summary.rows, summary.bad) == (12, 6)


@pytest.mark.parametrize("change", [{"keep": []}, {"keep": ["id"]}, {"probabilities": True}])
def test_parts_with_other_columns_are_not_taken(tmp_path: Path, change: dict[str, Any]) -> None:
    source = write(tmp_path / "in.csv", ["good"] * 9)

    class Killed(Version):
        def answer(self, texts: Sequence[str], *further: Any) -> pd.DataFrame:
            if len(self.asked) > 4:
                raise KeyboardInterrupt
            return super().answer(texts, *further)

    with pytest.raises(KeyboardInterrupt):
        scored(Asked([source], tmp_path / "out.csv"), Killed())
    with pytest.raises(InputError, match="parts of another prediction"):
        scored(Asked([source], tmp_path / "out.csv", **change))


def test_a_column_that_is_called_as_an_answers_is_left_out_where_it_is_not_kept(tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": ["good", "bad"], "row": ["A-1", "A-2"], "unknown": ["yes", "no"]})
    rows.to_csv(tmp_path / "in.csv", index=False)
    asked = Asked([tmp_path / "in.csv"], tmp_path / "out.parquet", keep=["text", "unknown"])
    scored(asked)
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["row"].tolist() == [1, 2]
    assert table["unknown"].tolist() == ["yes", "no"], "the file's own, which no answer has here"


def test_half_a_surrogate_pair_loses_one_row(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n{"text": "\\ud83d"}\n', encoding="utf-8")
    scored(Asked([tmp_path / "in.jsonl"], tmp_path / "out.csv"))
    assert "half a surrogate pair in column text" in (tmp_path / "out.bad.csv").read_text()


def test_cells_of_a_sample_are_text_whatever_they_are(tmp_path: Path) -> None:
    class OfTable(Version):
        reads, columns = "columns", ("text", "day", "number")

        def answer(self, rows: Sequence[Any], *further: Any) -> pd.DataFrame:
            return super().answer([row["text"] for row in rows], *further)

    rows = pd.DataFrame(
        {"text": ["good", "bad"], "day": pd.to_datetime(["2026-01-01", None]), "number": [1.5, float("nan")]}
    )
    rows.to_parquet(tmp_path / "in.parquet")
    summary = scored(Asked([tmp_path / "in.parquet"], tmp_path / "out.csv", keep=[]), OfTable())
    assert [row["input"]["number"] for row in summary.sample] == ["1.5", ""]


def test_what_a_version_is_too_unsure_of_is_counted(tmp_path: Path) -> None:
    class Unsure(Version):
        cells = ("predicted", "confidence", "abstained", "probability/good", "probability/bad")

        def answer(self, *given: Any) -> pd.DataFrame:
            table = super().answer(*given)
            return table.assign(abstained=table["label"] == "bad")

    summary = scored(Asked([write(tmp_path / "in.csv", ["good", "bad", "base"])], tmp_path / "out.csv"), Unsure())
    assert (summary.rows, summary.abstained) == (3, 2)
    assert [row["abstained"] for row in rows_of(tmp_path / "out.csv")] == ["false", "true", "true"]


def test_parts_of_other_work_are_not_taken(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ["good"])
    (tmp_path / "out.csv.parts").mkdir()
    (tmp_path / "out.csv.parts" / "asked.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="parts of another prediction, which was stopped"):
        scored(Asked([source], tmp_path / "out.csv"))


def test_two_versions_on_two_files(tmp_path: Path) -> None:
    files = [write(tmp_path / "one.csv", ["good", "bad"]), write(tmp_path / "two.csv", ["great"])]
    summary = scored(Asked(files, tmp_path / "out.jsonl", keep=[]), against=Version("gr"))
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"file": "one.csv", "row": 1, "predicted": "good", "confidence": 0.9, "against": "bad", "differs": True},
        {"file": "one.csv", "row": 2, "predicted": "bad", "confidence": 0.8, "against": "bad", "differs": False},
        {"file": "two.csv", "row": 1, "predicted": "good", "confidence": 0.9, "against": "good", "differs": False},
    ]
    assert summary.differ == 1


def test_a_parquet_file_has_types_and_the_probability_of_every_class(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ["good", "bad", "great", "gold", "base"])
    scored(Asked([source], tmp_path / "out.parquet", probabilities=True))
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table.columns) == [
        "row",
        "text",
        "id",
        "predicted",
        "confidence",
        "probability/good",
        "probability/bad",
    ]
    assert table["probability/good"].tolist() == [0.9, 0.2, 0.9, 0.9, 0.2]
    assert table["row"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": ["no"]}, "--keep-columns: no column 'no'; there are text, id, predicted"),
        ({}, "the file has a column 'predicted', as the answers have; leave it out: --keep-columns text,id"),
        ({"column": "texts"}, "unknown column 'texts'; did you mean 'text'"),
        ({"to": "out.xlsx"}, "a file called .csv, .tsv, .jsonl, .parquet expected"),
        ({"to": "in.csv"}, "there is a file already"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    pd.DataFrame({"text": ["good"], "id": [1], "predicted": ["x"]}).to_csv(tmp_path / "in.csv", index=False)
    asked = {"files": [tmp_path / "in.csv"], "to": "out.csv", **change}
    with pytest.raises(InputError, match=message):
        scored(Asked(**{**asked, "to": tmp_path / asked["to"]}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


def test_a_file_in_which_no_row_has_an_answer_gives_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in.csv: no row has an answer; the first: row 1: refused"):
        scored(Asked([write(tmp_path / "in.csv", ["!"])], tmp_path / "out.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


def test_the_only_column_is_that_of_the_texts(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("review,label\ngood,x\n", encoding="utf-8")
    scored(Asked([tmp_path / "in.csv"], tmp_path / "out.csv"))
    assert rows_of(tmp_path / "out.csv") == [
        {"row": "1", "review": "good", "label": "x", "predicted": "good", "confidence": "0.9"}
    ]
