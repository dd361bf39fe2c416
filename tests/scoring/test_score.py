"""Tables are answered in parts; the version is one that says what a text begins with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from first_letter import Version
from rich.console import Console

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.scoring import answerer, score
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.score import Asked, Scoring, Summary


def scored(
    asked: Asked, version: Version | None = None, against: Version | None = None, screen: io.StringIO | None = None
) -> Summary:
    first = cast(Any, version or Version())
    second = cast(Any, against)
    display = Display(Console(file=screen or io.StringIO(), width=200))
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
    again, screen = Version(), io.StringIO()
    summary = scored(Asked([source], tmp_path / "out.csv"), again, screen=screen)
    assert "g 1" not in again.asked
    assert "out.csv: goes on where it was stopped; answered already: 8" in screen.getvalue()
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "out.bad.csv").read_bytes() == (tmp_path / "whole.bad.csv").read_bytes()
    assert (summary.rows, summary.bad) == (12, 6)


@pytest.mark.parametrize("change", [{"keep": []}, {"keep": ["id"]}, {"probabilities": True}, {"usual": ["id"]}])
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


def test_parts_end_where_there_is_much_text_and_the_bytes_are_those_of_any_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.csv", [f"good {'x' * row}" for row in range(9)])
    scored(Asked([source], tmp_path / "whole.csv"))
    monkeypatch.setattr(score, "CHARACTERS_AT_ONCE", 10)
    version = Version()
    scored(Asked([source], tmp_path / "out.csv"), version)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert version.calls == [2, 2, 1, 1, 1, 1, 1]


def test_what_was_not_read_is_said_of_all_parts_and_of_the_version_that_answers_alone(tmp_path: Path) -> None:
    class Short(Version):
        killed_after = 99

        def answer(self, texts: Sequence[str], *further: Any) -> pd.DataFrame:
            if len(self.asked) >= self.killed_after:
                raise KeyboardInterrupt
            further[2].cut += len(texts)
            return super().answer(texts, *further)

    source, first = write(tmp_path / "in.csv", ["good"] * 9), Short()
    first.killed_after = 8
    with pytest.raises(KeyboardInterrupt):
        scored(Asked([source], tmp_path / "out.csv"), first, against=Version())
    assert scored(Asked([source], tmp_path / "out.csv"), Short(), against=Short()).unread.cut == 9


def test_a_bar_ends_where_all_rows_are_answered_whatever_was_refused_or_done_before(tmp_path: Path) -> None:
    class Shown(Display):
        total = done = 0

        @contextmanager
        def task(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
            self.total = total

            def advance(more: int) -> None:
                self.done += more

            yield advance

    source = write(tmp_path / "in.csv", ["good", "!", "", "?", "bad", "!", "base"])
    for killed in (True, False):
        display, version = Shown(), Version()
        version.killed_after = 2 if killed else 99
        with pytest.raises(KeyboardInterrupt) if killed else nullcontext():
            Scoring(cast(Any, version), cast(Any, Version()), {}).run(Asked([source], tmp_path / "out.csv"), display)
    assert (display.total, display.done) == (14, 14)


def test_images_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OfImages(Version):
        reads = "images"

        def answer(self, files: Sequence[bytes], *further: Any) -> pd.DataFrame:
            return super().answer([file.decode() for file in files], *further)

    monkeypatch.setattr(score, "ROWS_AT_ONCE", 2_048)
    monkeypatch.setattr(answerer, "MOST_LARGE", 4)
    (tmp_path / "in").mkdir()
    for number in range(10):
        (tmp_path / "in" / f"{number}.png").write_text("good" if number % 2 else "bad", encoding="utf-8")
    version = OfImages()
    summary = scored(Asked([tmp_path / "in"], tmp_path / "out.csv"), version)
    assert version.calls == [4, 4, 2]
    assert (summary.answers, summary.sample) == ({"bad": 5, "good": 5}, [])


def test_all_tables_of_a_folder_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.csv", "a.csv", ".hidden.csv"):
        write(folder / name, ["good", ""])
    (folder / "notes.md").write_text("no table", encoding="utf-8")
    summary = scored(Asked([folder], tmp_path / "out.csv", keep=[]))
    assert [(row["file"], row["row"]) for row in rows_of(tmp_path / "out.csv")] == [("a.csv", "1"), ("b.csv", "1")]
    assert [row["file"] for row in rows_of(tmp_path / "out.bad.csv")] == ["a.csv", "b.csv"]
    assert (summary.rows, summary.bad) == (2, 2)
    (folder / "c.tsv").write_text("text\ngood\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"several formats are in it \(2 \.csv, 1 \.tsv\); name the files"):
        scored(Asked([folder], tmp_path / "other.csv"))


def test_files_with_the_same_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    files = [write(tmp_path / name / "in.csv", ["good", ""]) for name in ("two", "one")]
    scored(Asked(files, tmp_path / "out.csv", keep=[]))
    assert [row["file"] for row in rows_of(tmp_path / "out.csv")] == [str(file) for file in files]
    assert [row["file"] for row in rows_of(tmp_path / "out.bad.csv")] == [str(file) for file in files]
    with pytest.raises(InputError, match=r"in.csv: given twice; name each file once"):
        scored(Asked([files[0], files[0]], tmp_path / "other.csv"))


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
        ({"keep": ["no"]}, r"keep \(--keep-columns\): no column 'no'; there are text, id, predicted"),
        ({}, r"the rows have a column 'predicted', .*: keep=\['text', 'id'\] \(--keep-columns text,id\)"),
        ({"column": "texts"}, "unknown column 'texts'; did you mean 'text'"),
        ({"to": "out.xlsx"}, "a file called .csv, .tsv, .jsonl, .parquet expected"),
        ({"to": "in.csv"}, "there is a file already"),
        ({"to": "in.csv/out.csv"}, "in.csv/out.csv: cannot be written: Not a directory; move what is in the way"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    pd.DataFrame({"text": ["good"], "id": [1], "predicted": ["x"]}).to_csv(tmp_path / "in.csv", index=False)
    asked = {"files": [tmp_path / "in.csv"], "to": "out.csv", **change}
    version = Version()
    with pytest.raises(InputError, match=message):
        scored(Asked(**{**asked, "to": tmp_path / asked["to"]}), version)
    assert not version.asked
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
