from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.labelling import candidates
from progressive_tf.labelling.candidates import Candidate, Candidates, from_files, from_log, key_of, worth_asking
from progressive_tf.monitoring.live_rows import LiveRows


def reader(*columns: str) -> Any:
    """Returns what is asked of a version: which columns it reads, none for texts."""
    return SimpleNamespace(columns=columns, reads="columns" if columns else "texts", has_tasks=False, width=None)


def live(*rows: tuple[Any, bool | None, int | None]) -> LiveRows:
    answers = pd.DataFrame(rows, columns=["input", "right", "caller"], dtype=object)
    return LiveRows(pd.DataFrame(), answers)


def of(text: str) -> Candidate:
    return Candidate({"text": text}, text, key_of({"text": text}))


def test_what_is_judged_is_known_to_be_however_it_is_written() -> None:
    found = from_log(
        live(
            ({"text": "Card lost!"}, True, 1),
            ({"text": "card  lost"}, None, 2),
            ({"text": "new card"}, None, 3),
            (None, None, 4),
            ({"text": 7}, None, 5),
            ({"text": "who asks?"}, None, None),
            (None, False, 6),
        ),
        reader(),
        "message",
    )
    assert [(dict(one.cells), one.value, one.caller, one.judged) for one in found.kept] == [
        ({"message": "Card lost!"}, "Card lost!", 1, True),
        ({"message": "card  lost"}, "card  lost", 2, True),
        ({"message": "new card"}, "new card", 3, False),
        ({"message": "who asks?"}, "who asks?", None, False),
    ]
    assert found.left_out == {
        "have no input; serve with --log-inputs": 2,
        "have an input that is no text, or not the columns that the version reads": 1,
    }


def test_rows_of_a_table_come_by_argument_or_all_together() -> None:
    given = [({"age": 3, "the_town": "x"}, None, 1), ({"features": [4, "y"]}, None, 2), ({"age": 3}, None, 3)]
    found = from_log(live(*given), reader("age", "the town"), "text")
    assert [dict(one.cells) for one in found.kept] == [{"age": 3, "the town": "x"}, {"age": 4, "the town": "y"}]
    assert sum(found.left_out.values()) == 1


def test_rows_of_files_are_read_as_predict_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("message,label\nhello,x\n,y\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"message": "bye"}\n{broken\n', encoding="utf-8")
    found = from_files([tmp_path / "a.csv", tmp_path / "b.jsonl"], reader(), None, ["message"])
    assert [dict(one.cells) for one in found.kept] == [{"message": "hello"}, {"message": "bye"}]
    ((words, count),) = found.left_out.items()
    assert words.startswith("cannot be read; the first: b.jsonl, row 2: not JSON")
    assert count == 2


def test_inputs_are_asked_about_once_and_near_ones_too() -> None:
    texts = [
        "one two three four five six",
        "One, two three four five six!",
        "one two three four five six seven",
        "else",
    ]
    known = np.array([key_of({"text": "known"})], np.uint64)
    found = worth_asking(Candidates([of(text) for text in [*texts, "KNOWN"]]), known, 0)
    assert [one.words for one in found.kept] == [texts[0], "else"]
    assert found.left_out == {
        "stand more than once": 1,
        "have a label, or were asked about": 1,
        "have nearly the same words as another": 1,
    }


def test_rows_of_a_table_that_share_most_cells_are_each_asked_about() -> None:
    shared = {f"column {number}": "the same" for number in range(9)}
    rows = [Candidate(cells, cells, key_of(cells)) for cells in (shared | {"own": own} for own in ("x", "y"))]
    assert worth_asking(Candidates(rows), np.empty(0, np.uint64), 0).kept == rows


def test_of_very_many_some_are_drawn(monkeypatch: Any) -> None:
    monkeypatch.setattr(candidates, "MOST", 5)
    every = Candidates([of(f"text {number}") for number in range(20)])
    one, again, other = (worth_asking(every, np.empty(0, np.uint64), seed) for seed in (1, 1, 2))
    assert one.kept == again.kept != other.kept
    assert len(one.kept) == 5
    assert one.left_out == {"are beyond the 5 that are drawn by the seed": 15}


def test_cells_count_as_the_same_as_a_table_writes_them() -> None:
    assert key_of({"age": 7, "new": True}) == key_of({"new": "true", "age": "7"})
    assert key_of({"age": 7, "new": True}) != key_of({"age": 8, "new": True})
