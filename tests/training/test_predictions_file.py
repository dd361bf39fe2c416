from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.evaluation.answers.classes import ClassAnswers, probable
from progressive_tf.training.answers import predictions_file
from progressive_tf.training.answers.classes import ClassAnswering, kept_probabilities
from progressive_tf.training.answers.predictions_file import (
    Scored,
    gate_view,
    load_predictions,
    missing_keys,
    save_predictions,
    union,
    wanted_rows,
)

LABELS = ("a", "b", "c")


class Source:
    """What is written about a row: its number in the file and its text."""

    kind = "texts"
    groups: np.ndarray | None = None

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.rows = np.arange(count) + 2
        self.keys = np.arange(count, dtype=np.uint64) + (1_000 if name == "main" else 2_000)

    def descriptions(self, indices: np.ndarray) -> list[str]:
        return [f'{self.name}, "row" {index}\n' for index in indices]


DATA: Any = SimpleNamespace(
    labels=LABELS,
    classes=SimpleNamespace(labels=LABELS, costs=None),
    sources={"main": Source("main", 50), "other": Source("other", 50)},
)
DATA.answering = ClassAnswering(DATA)


def probabilities_of(source: str, rows: np.ndarray) -> np.ndarray:
    """One distribution per row of a source, so that rows can be told apart."""
    table = np.random.default_rng(len(source)).dirichlet(np.ones(3), 50).astype(np.float32)
    return table[rows].astype(np.float64)


def scored(**slices: tuple[str, list[int]]) -> Scored:
    """Returns predictions for gate slices, and of the first also for its test rows."""
    rows = {("gate", name): (source, np.array(part, np.int64)) for name, (source, part) in slices.items()}
    rows["test", next(iter(slices))] = ("main", np.array([40, 41]))
    predictions = {
        key: ClassAnswers(LABELS, (part % 3).astype(np.int32), probabilities_of(source, part))
        for key, (source, part) in rows.items()
    }
    return Scored(predictions, rows)


EXAMPLE = scored(one=("main", [5, 3, 8]), two=("other", [3]), short=("main", [8]))


def assert_same(read: Scored, expected: Scored) -> None:
    assert list(read.predictions) == list(read.rows) == list(expected.predictions)
    for key, predictions in expected.predictions.items():
        assert read.predictions[key].labels == LABELS
        np.testing.assert_array_equal(read.predictions[key].truth, predictions.truth)
        np.testing.assert_array_equal(read.predictions[key].probabilities, predictions.probabilities)
        assert read.rows[key][0] == expected.rows[key][0]
        np.testing.assert_array_equal(read.rows[key][1], expected.rows[key][1])


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_file_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(predictions_file, "CHUNK_ROWS", chunk)
    path = tmp_path / "predictions.parquet"
    save_predictions(path, EXAMPLE, DATA)
    assert_same(load_predictions(path, ClassAnswering, DATA), EXAMPLE)
    # Gate rows of three slices and the two test rows of the first, none of them together with another slice's.
    assert pq.read_metadata(path).num_row_groups == sum(-(-rows // chunk) for rows in (3, 1, 1, 2))


def many_classes(count: int) -> tuple[Any, Scored]:
    """Returns 40 rows of so many classes, a few of which are likely."""
    labels = tuple(f"class {number:04}" for number in range(count))
    data: Any = SimpleNamespace(**vars(DATA))
    data.labels, data.classes, data.answering = labels, SimpleNamespace(labels=labels, costs=None), None
    data.answering = ClassAnswering(data)
    generator = np.random.default_rng(3)
    answers = ClassAnswers(
        labels, generator.integers(0, count, 40).astype(np.int32), generator.dirichlet(np.full(count, 0.05), 40)
    )
    return data, Scored({("gate", "one"): answers}, {("gate", "one"): ("main", np.arange(40))})


def test_many_classes_take_few_bytes_and_change_no_metric_by_much(tmp_path: Path) -> None:
    data, exact = many_classes(3_000)
    save_predictions(tmp_path / "many", exact, data)
    group = pq.read_metadata(tmp_path / "many").row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    assert columns["probabilities.list.element"].total_compressed_size < 40 * 3_000 * 4 / 2
    read = load_predictions(tmp_path / "many", ClassAnswering, data).predictions["gate", "one"]
    answers = exact.predictions["gate", "one"]
    assert np.abs(read.probabilities - answers.probabilities).max() <= 2**-21 + 1e-8
    np.testing.assert_array_equal(read.predicted, answers.predicted)
    for name, within in {"log_loss": 1e-5, "brier": 1e-6, "accuracy": 0, "ece": 1e-6}.items():
        assert read.measure(name) == pytest.approx(answers.measure(name), abs=within)


def test_a_tail_of_very_many_classes_is_not_lost(tmp_path: Path) -> None:
    classes = 30_000
    probabilities = np.full((1, classes), 0.3 / classes)
    probabilities[0, 7] += 0.7
    answers = ClassAnswers(tuple(map(str, range(classes))), np.array([3], np.int32), probabilities)
    kept = kept_probabilities(answers)
    assert probable(kept).all()
    assert kept[0, [3, 7]].tolist() == probabilities[0, [3, 7]].astype(np.float32).tolist()


def test_up_to_256_classes_are_kept_as_they_are(tmp_path: Path) -> None:
    data, exact = many_classes(256)
    save_predictions(tmp_path / "some", exact, data)
    read = load_predictions(tmp_path / "some", ClassAnswering, data).predictions["gate", "one"]
    answers = exact.predictions["gate", "one"]
    np.testing.assert_array_equal(read.probabilities, answers.probabilities.astype(np.float32))


def test_slices_are_found_however_their_rows_lie_in_the_file(tmp_path: Path) -> None:
    save_predictions(tmp_path / "file", EXAMPLE, DATA)
    table = pq.read_table(tmp_path / "file")
    # Rows 0 to 2 are slice one, 3 is two, 4 is short, 5 and 6 are test rows.
    pq.write_table(table.take([0, 3, 5, 1, 4, 6, 2]), tmp_path / "mixed", row_group_size=3)
    read = load_predictions(tmp_path / "mixed", ClassAnswering, DATA)
    assert list(read.predictions) == [("gate", "one"), ("gate", "two"), ("test", "one"), ("gate", "short")]
    assert_same(Scored(*({key: of[key] for key in EXAMPLE.rows} for of in (read.predictions, read.rows))), EXAMPLE)


def test_groups_are_those_of_the_source_now_whatever_the_file_says(tmp_path: Path) -> None:
    save_predictions(tmp_path / "before", EXAMPLE, DATA)
    grouped = SimpleNamespace(**vars(DATA))
    grouped.sources = {"main": Source("main", 50), "other": Source("other", 50)}
    grouped.sources["main"].groups = np.arange(50) // 4 + 100
    read = load_predictions(tmp_path / "before", ClassAnswering, cast(Any, grouped))
    assert read.predictions["gate", "one"].groups.tolist() == [101, 100, 102]
    assert read.predictions["gate", "two"].groups is None
    # Other readers have no source, so they stand in the file too.
    save_predictions(tmp_path / "after", read, cast(Any, grouped))
    table = pq.read_table(tmp_path / "after").to_pandas()
    assert table["group"][table["slice"] == "one"].tolist() == [101, 100, 102, 110, 110]
    assert table["group"][table["slice"] == "two"].isna().all()
    assert "group" not in pq.read_schema(tmp_path / "before").names
    view = gate_view(read, "two", ["one"], ["short"])
    # Row 3 of another source is its own.
    assert len(np.unique(view["all"].groups)) == 4


def test_texts_are_not_needed_to_load_and_probabilities_not_to_compare_rows(tmp_path: Path) -> None:
    save_predictions(tmp_path / "file", EXAMPLE, DATA)
    table = pq.read_table(tmp_path / "file")
    pq.write_table(table.drop_columns(["text", "row", "predicted"]), tmp_path / "bare")
    assert_same(load_predictions(tmp_path / "bare", ClassAnswering, DATA), EXAMPLE)
    pq.write_table(table.select(["part", "slice", "source", "index"]), tmp_path / "keys")
    assert not missing_keys(tmp_path / "keys", dict(EXAMPLE.rows))


@pytest.mark.parametrize("slices", [{}, {("gate", "one"): ("main", np.zeros(0, np.int64))}])
def test_nothing_to_save_is_nothing_to_load(tmp_path: Path, slices: dict[Any, Any]) -> None:
    none = {key: ClassAnswers(LABELS, np.zeros(0, np.int32), np.zeros((0, 3))) for key in slices}
    save_predictions(tmp_path / "file", Scored(none, slices), DATA)
    assert_same(load_predictions(tmp_path / "file", ClassAnswering, DATA), Scored({}, {}))
    assert not missing_keys(tmp_path / "file", slices)


def test_tables_of_other_tools_compare_labels(tmp_path: Path) -> None:
    save_predictions(tmp_path / "file", EXAMPLE, DATA)
    frame = pd.read_parquet(tmp_path / "file")
    gate = frame[(frame["part"] == "gate") & (frame["slice"] == "one")]
    right = EXAMPLE.predictions["gate", "one"].right
    assert (gate["label"] == gate["predicted"]).tolist() == right.tolist()


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_predictions(tmp_path / name, EXAMPLE, DATA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_columns_are_those_that_others_read(tmp_path: Path) -> None:
    save_predictions(tmp_path / "file", EXAMPLE, DATA)
    table = pq.read_table(tmp_path / "file")
    assert json.loads(table.schema.metadata[b"labels"]) == list(LABELS)
    row = table.to_pylist()[0]
    assert {key: row[key] for key in ("part", "slice", "source", "row", "label")} == {
        "part": "gate",
        "slice": "one",
        "source": "main",
        "row": 7,  # index 5, of a file whose first row is 2
        "label": "c",
    }
    assert row["text"] == 'main, "row" 5\n'
    expected = probabilities_of("main", np.array([5]))[0]
    assert row["predicted"] == LABELS[expected.argmax()]
    assert row["probabilities"] == expected.tolist()


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ({("gate", "one"): ("main", [5, 3, 8])}, False),
        ({("gate", "one"): ("main", [5, 3, 8]), ("gate", "two"): ("other", [3])}, False),
        ({("gate", "new"): ("main", [1])}, True),
        ({("gate", "one"): ("main", [5, 3])}, True),
        ({("gate", "one"): ("main", [3, 5, 8])}, True),
        ({("gate", "one"): ("other", [5, 3, 8])}, True),
        ({("test", "two"): ("other", [3])}, True),
        ({("test", "two"): ("other", [])}, False),
    ],
)
def test_a_file_lacks_slices_and_rows_that_were_added(tmp_path: Path, wanted: dict[Any, Any], missing: bool) -> None:
    path = tmp_path / "file"
    asked = {key: (source, np.array(rows, np.int64)) for key, (source, rows) in wanted.items()}
    assert missing_keys(path, asked)
    save_predictions(path, EXAMPLE, DATA)
    assert missing_keys(path, asked) is missing


def test_gate_rows_are_wanted_of_every_slice_and_test_rows_of_those_that_have_some() -> None:
    def part(name: str, gate: list[int], test: list[int]) -> Any:
        return SimpleNamespace(name=name, source="main", gate=np.array(gate), test=np.array(test))

    data: Any = SimpleNamespace(slices={"one": part("one", [1, 2], [3]), "named": part("named", [2], [])})
    wanted = wanted_rows(data)
    assert set(wanted) == {("gate", "one"), ("test", "one"), ("gate", "named")}
    assert wanted["gate", "one"][1].tolist() == [1, 2]


def test_classes_that_came_later_have_no_probability(tmp_path: Path) -> None:
    early = Scored({key: replace(each, known=3) for key, each in EXAMPLE.predictions.items()}, EXAMPLE.rows)
    save_predictions(tmp_path / "file", early, DATA)
    now: Any = SimpleNamespace(labels=(*LABELS, "d"), sources=DATA.sources, classes=DATA.classes)
    for predictions in load_predictions(tmp_path / "file", ClassAnswering, now).predictions.values():
        assert predictions.labels == (*LABELS, "d")
        assert not predictions.probabilities[:, 3].any()
        assert predictions.known == 3


def test_rules_see_current_all_and_each_slice_by_its_name() -> None:
    view = gate_view(EXAMPLE, "two", ["one"], ["short"])
    assert set(view) == {"one", "short", "two", "current", "all"}
    assert view["current"] is view["two"] is EXAMPLE.predictions["gate", "two"]
    assert len(view["one"]) == 3


parts = st.lists(st.integers(0, 30), min_size=1, max_size=15, unique=True)


@given(st.dictionaries(st.sampled_from("pqrs"), st.tuples(st.sampled_from(["main", "other"]), parts), min_size=1))
def test_all_has_each_row_of_earlier_and_current_slices_once(slices: dict[str, tuple[str, list[int]]]) -> None:
    *previous, current = slices
    made = scored(**slices, unreleased=("main", [31, 32]))
    union = gate_view(made, current, previous, ["unreleased"])["all"]
    rows = {(source, row) for source, part in slices.values() for row in part}
    assert len(union) == len(rows)
    first = list(dict.fromkeys((source, row) for source, part in slices.values() for row in part))
    expected = [probabilities_of(source, np.array([row]))[0].tolist() for source, row in first]
    assert union.probabilities.tolist() == expected
    assert union.truth.tolist() == [row % 3 for _, row in first]


def test_a_slice_that_is_also_current_is_not_counted_twice() -> None:
    view = gate_view(EXAMPLE, "one", ["one", "two"], [])
    assert len(view["all"]) == 4


def test_an_input_that_stands_in_two_sources_is_one_row_of_all_slices(tmp_path: Path) -> None:
    both = SimpleNamespace(**vars(DATA))
    both.sources = {"main": Source("main", 50), "other": Source("other", 50)}
    both.sources["other"].keys[3] = both.sources["main"].keys[8]
    save_predictions(tmp_path / "file", EXAMPLE, DATA)
    read = load_predictions(tmp_path / "file", ClassAnswering, cast(Any, both))
    assert len(union(read, "gate", ["one", "two"])) == 3, "rows 5, 3 and 8 of one source, of the other the last again"
    assert len(union(read, "gate", ["two", "short"])) == 1
