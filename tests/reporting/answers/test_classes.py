from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.errors import InputError
from progressive_tf.reporting.answers import read_answers
from progressive_tf.reporting.answers.classes import (
    SavedClasses,
    count_confusions,
    most_confident_errors,
    most_confused_pairs,
)

LABELS = ("a", "b", "c")


def _predictions(truth: list[str], predicted: list[str], top: list[float], **columns: list[object]) -> SavedClasses:
    rows = len(truth)
    values: dict[str, list[object]] = {
        "part": ["test"] * rows,
        "slice": ["one"] * rows,
        "source": ["source"] * rows,
        "row": list(range(rows)),
        "label": list(truth),
        "predicted": list(predicted),
        **columns,
    }
    label, predicted = (np.array(values.pop(name), dtype=object) for name in ("label", "predicted"))
    return SavedClasses(
        pd.DataFrame(values),
        LABELS,
        label,
        predicted,
        confidence=np.array(top, np.float32),
        texts=lambda wanted: [f"text {row}" for row in wanted],
        images=lambda wanted: [b"png" if row == 0 else None for row in wanted],
    )


def _read(path: Path) -> SavedClasses:
    saved = read_answers(path, SavedClasses)
    assert isinstance(saved, SavedClasses)
    return saved


def test_confusions_by_hand() -> None:
    predictions = _predictions(["a", "a", "b", "c"], ["a", "b", "b", "a"], [0.9] * 4)
    counts = count_confusions(predictions, [0, 1, 2, 3])
    assert counts.toarray().tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), max_size=30))
def test_every_row_is_counted_once(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = list(range(len(pairs)))
    predictions = _predictions(truth, predicted, [0.8] * len(pairs))
    counts = count_confusions(predictions, rows).toarray()
    wrong = sum(one != other for one, other in pairs)
    assert counts.sum() == len(pairs)
    assert counts.sum() - np.trace(counts) == wrong == len(most_confident_errors(predictions, rows, 100))
    assert sum(times for _, _, times in most_confused_pairs(predictions, rows, 100)) == wrong


def test_errors_come_most_confident_first_and_no_more_than_asked() -> None:
    predictions = _predictions(["a", "a", "b", "c"], ["b", "c", "b", "a"], [0.6, 0.9, 0.99, 0.7])
    errors = most_confident_errors(predictions, [0, 1, 2, 3], 2)
    assert [(error.text, error.label, error.predicted) for error in errors] == [
        ("text 1", "a", "c"),
        ("text 3", "c", "a"),
    ]
    assert errors[0].probability == pytest.approx(0.9)


def test_pairs_come_commonest_first() -> None:
    predictions = _predictions(["a", "b", "b"], ["b", "c", "c"], [0.6] * 3)
    assert most_confused_pairs(predictions, [0, 1, 2], 5) == [("b", "c", 2), ("a", "b", 1)]


def test_test_rows_are_the_stages_own_slice_or_every_row_once() -> None:
    predictions = _predictions(
        ["a"] * 5,
        ["a"] * 5,
        [0.9] * 5,
        part=["gate", "test", "test", "test", "test"],
        slice=["one", "one", "two", "two", "two"],
        source=["s"] * 5,
        row=[1, 2, 2, 3, 3],
    )
    assert predictions.test_rows("two").tolist() == [2, 3]
    assert predictions.test_rows("unknown").tolist() == [1, 3]


def test_a_row_number_of_another_source_is_another_row() -> None:
    predictions = _predictions(["a"] * 3, ["a"] * 3, [0.9] * 3, source=["s", "t", "s"], row=[1, 1, 1])
    assert predictions.test_rows("one").tolist() == [0, 1]


def test_labels_outside_the_list_are_not_counted_but_shown() -> None:
    predictions = _predictions(["a", "x", "x"], ["a", "a", "b"], [0.9, 0.8, 0.7])
    assert count_confusions(predictions, [0, 1, 2]).toarray().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert [error.label for error in most_confident_errors(predictions, [0, 1, 2], 5)] == ["x", "x"]


def _write(path: Path, labels: bytes | None = None, **replaced: object) -> Path:
    columns: dict[str, object] = {
        "part": ["test"], "slice": ["one"], "source": ["s"], "row": [0], "text": ["t"], "label": ["b"],
        "predicted": ["a"], "probabilities": [[0.7, 0.3]],
    }  # fmt: skip
    columns.update(replaced)
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    pq.write_table(table.replace_schema_metadata({b"labels": labels} if labels else None), path)
    return path


def test_labels_come_from_the_metadata_and_else_from_the_rows(tmp_path: Path) -> None:
    recorded = _read(_write(tmp_path / "one.parquet", labels=b'["b", "a"]'))
    seen = _read(_write(tmp_path / "two.parquet"))
    assert recorded.labels == ("b", "a")
    assert seen.labels == ("a", "b")


def test_texts_come_in_the_order_asked_for_from_the_file_that_was_read(tmp_path: Path) -> None:
    columns = {name: ["x"] * 7 for name in ("part", "slice", "source", "label", "predicted")}
    texts = [f"text {row}" for row in range(6)] + [None]
    table = pa.table({**columns, "row": range(7), "text": texts, "probabilities": [[1.0]] * 7})
    pq.write_table(table, tmp_path / "file.parquet", row_group_size=2)
    predictions = _read(tmp_path / "file.parquet")
    _write(tmp_path / "new.parquet").replace(tmp_path / "file.parquet")
    assert predictions.texts([5, 0, 6, 3]) == ["text 5", "text 0", "", "text 3"]


def test_dictionary_and_missing_strings_are_read_as_strings(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", part=pa.array(["test"]).dictionary_encode(), label=pa.array([None], pa.string()))
    predictions = _read(path)
    assert (predictions.places["part"].tolist(), predictions.label.tolist()) == (["test"], [""])


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    path = _write(tmp_path / "file", labels=b'["a", "b"]')
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    predictions = _read(path)
    assert len(predictions.test_rows("one")) == 0
    assert predictions.confidence.shape == (0,)


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none.parquet", SavedClasses) is None


def test_predictions_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column 'text' is missing"):
        read_answers(_write(tmp_path / "a.parquet", text=None), SavedClasses)
    with pytest.raises(InputError, match="expected 3 numbers a row"):
        read_answers(_write(tmp_path / "b.parquet", labels=b'["a", "b", "c"]'), SavedClasses)
    with pytest.raises(InputError, match="expected a JSON list"):
        read_answers(_write(tmp_path / "c.parquet", labels=b"negative"), SavedClasses)
