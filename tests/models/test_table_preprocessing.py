from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models import mlp
from progressive_tf.models.contract import LABELS, check_builder
from progressive_tf.models.preprocessing.column_statistics import MOST_CATEGORIES, ColumnStatistics, measure_columns
from progressive_tf.models.preprocessing.columns import TablePreprocessing
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Mlp
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.plan.written_numbers import Notation

COLUMNS = TableColumns(numbers=("age", "size"), categories=("city",), hashed={"shop": 4})
ROWS = [["1", "5", "Rome", "s1"], ["3", "5", "Oslo", "s2"], ["", "5", "", "s3"]]
#        age  size  (missing)  (missing, other, Oslo, Rome)  (missing, four buckets)
WIDTH = 2 + 2 + 4 + 5


@pytest.fixture
def statistics() -> ColumnStatistics:
    return measure_columns(COLUMNS, ROWS)


@pytest.fixture
def preprocess(statistics: ColumnStatistics) -> TablePreprocessing:
    return TablePreprocessing(statistics)


def encoded(preprocess: TablePreprocessing, *row: str) -> np.ndarray:
    return preprocess.encode([row])[0][0]


def test_statistics_leave_missing_values_out(statistics: ColumnStatistics) -> None:
    assert statistics.means == (2.0, 5.0)
    assert statistics.variances == (1.0, 0.0)
    assert statistics.vocabularies == (("Oslo", "Rome"),)
    assert ColumnStatistics.from_json(statistics.to_json()) == statistics


def test_a_row_by_hand(preprocess: TablePreprocessing) -> None:
    row = encoded(preprocess, "4", "6", "Rome", "s1")
    assert row.shape == (WIDTH,)
    np.testing.assert_array_equal(row[:8], [2, 1, 0, 0, 0, 0, 0, 1])
    assert row[8] == 0
    assert row[9:].sum() == 1


@pytest.mark.parametrize("cell", ["", "  ", "abc", "nan", "inf", "1e400", "1,5", "0x3"])
def test_what_is_no_number_is_the_mean_and_marked(preprocess: TablePreprocessing, cell: str) -> None:
    np.testing.assert_array_equal(encoded(preprocess, cell, "5", "Rome", "s1")[:4], [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("cell", "place"), [("", 0), (" ", 0), ("Paris", 1), ("oslo", 1), ("Oslo", 2), (" Rome\n", 3), ("[UNK]", 1)]
)
def test_a_category_has_one_place(preprocess: TablePreprocessing, cell: str, place: int) -> None:
    np.testing.assert_array_equal(encoded(preprocess, "1", "5", cell, "s1")[4:8], np.eye(4)[place])


def test_a_vocabulary_may_have_words_that_layers_reserve() -> None:
    words = ["[UNK]", "[MASK]", "-1", "True"]
    preprocess = TablePreprocessing(measure_columns(TableColumns(categories=("x",)), [[word] for word in words]))
    found = [int(row[0].argmax()) for row in preprocess.encode([[word] for word in sorted(words)])]
    assert found == [2, 3, 4, 5]


def test_missing_hashed_values_have_a_place_of_their_own(preprocess: TablePreprocessing) -> None:
    rows = preprocess.encode([["1", "5", "", f"s{number}"] for number in range(50)])
    buckets = {int(row[0, 8:].argmax()) for row in rows}
    assert buckets == {1, 2, 3, 4}
    assert encoded(preprocess, "1", "5", "", "")[8:].argmax() == 0


def test_large_numbers_close_to_one_another_are_told_apart() -> None:
    """Seconds since 1970 have more digits than a float32."""
    rows = [[str(1_700_000_000 + second)] for second in range(100)]
    statistics = measure_columns(TableColumns(numbers=("time",)), rows)
    values = np.array([row[0, 0] for row in TablePreprocessing(statistics).encode(rows)])
    expected = (np.arange(100) - 49.5) / np.arange(100).std()
    np.testing.assert_allclose(values, expected, rtol=1e-6)


NOTATIONS = {
    "plain": Notation(),
    "comma": Notation(",", grouped=True),
    "point": Notation(".", grouped=True),
    "share": Notation(unit="%"),
    "euro": Notation(",", grouped=True, unit="€"),
}
WRITTEN = [
    *(
        "1.234,56",
        "1 234,56",
        "1\u202f234",
        "1,234.56",
        "1,234",
        "1.234",
        "1'000",
        "0,123",
        "-1.5",
        "−3",
        "+2",
        "1e3",
        ".",
    ),
    *("12 %", "% 12", "€ 12", "12€", "-€1.200,5", "€ -3", "$ 12", "12 kg", "-", "NA", "nan", "", "\u00a07\u00a0", "x"),
]


def test_the_graph_reads_numbers_as_python_does() -> None:
    """So that a served version answers for a cell as training has read it."""
    columns = TableColumns(numbers=tuple(NOTATIONS))
    statistics = measure_columns(columns, [["0"] * 5, ["2"] * 5], notations=NOTATIONS)
    raw = tf.constant([[cell] * 5 for cell in WRITTEN])
    found = TablePreprocessing(statistics)(raw)["inputs"].numpy()[:, 0]
    for cell, row in zip(WRITTEN, found, strict=True):
        for place, (name, notation) in enumerate(NOTATIONS.items()):
            number = notation.plain(cell)
            expected = [0, 1] if not number else [float(number) - 1, 0]
            assert row[[place, place + 5]].tolist() == pytest.approx(expected), (cell, name)


def test_rows_of_a_source_are_written_as_callers_would() -> None:
    statistics = measure_columns(TableColumns(numbers=tuple(NOTATIONS)), [["0"] * 5, ["2"] * 5], notations=NOTATIONS)
    preprocess = TablePreprocessing(statistics)
    assert preprocess.tensor([["1.234"] * 5]).numpy().tolist()[0][:2] == [b"1.234", b"1,234"]
    np.testing.assert_allclose(preprocess.encode([["1.234"] * 5])[0][0, :5], [0.234] * 5, rtol=1e-5)


def test_words_for_missing_values_are_missing_categories_unless_an_older_version_has_them(
    preprocess: TablePreprocessing,
) -> None:
    assert encoded(preprocess, "1", "5", "NA", "?")[4:].argmax() == 0
    assert encoded(preprocess, "1", "5", "Rome", "None")[8:].argmax() == 0
    content = measure_columns(COLUMNS, [*ROWS, ["1", "5", "NA", "s1"]], missing=()).to_json()
    del content["missing"], content["notations"]
    older = TablePreprocessing(ColumnStatistics.from_json(content))
    assert encoded(older, "1", "5", "NA", "s1")[4:9].tolist() == [0, 0, 1, 0, 0]


def test_a_batch_gives_what_single_rows_give(preprocess: TablePreprocessing) -> None:
    together = preprocess.encode(ROWS)
    for row, expected in zip(ROWS, together, strict=True):
        np.testing.assert_array_equal(encoded(preprocess, *row), expected[0])


def test_columns_by_name_are_the_same(preprocess: TablePreprocessing) -> None:
    spec, state_of = preprocess.alternatives["columns"]
    named = {name: tf.constant([row[index] for row in ROWS]) for index, name in enumerate(spec)}
    np.testing.assert_array_equal(
        state_of(named)["inputs"], preprocess(preprocess.tensor(ROWS))["inputs"], strict=False
    )


def test_columns_with_a_value_that_says_nothing_are_named(preprocess: TablePreprocessing) -> None:
    rows = [["1", " 5 ", "Rome", "s9"], ["", "", "", ""], ["1,5", "1e400", "oslo", "s1"], ["3", "abc", "Oslo", "s1"]]
    rows += [["NA", "?", "n/a", "null"]]
    expected = [[], [], ["age", "size", "city"], ["size"], []]
    for raw in (preprocess.tensor(rows), _named(preprocess, rows)):
        state, found = preprocess.read(raw, "columns")
        names = [[name.decode() for name in row if name] for row in found["unknown_cells"].numpy()]
        assert names == expected
        np.testing.assert_array_equal(state["inputs"][:, 0], [row[0] for row in preprocess.encode(rows)])


def _named(preprocess: TablePreprocessing, rows: list[list[str]]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(cells) for name, cells in zip(COLUMNS.names, zip(*rows, strict=True), strict=True)}


def test_other_statistics_change_settings_and_states_but_not_the_width(
    preprocess: TablePreprocessing, statistics: ColumnStatistics
) -> None:
    before = preprocess.settings
    other = statistics.readapted([["10", "1", "Rome", "s1"], ["20", "2", "", ""]])
    assert other.means == (15.0, 1.5)
    assert other.vocabularies == statistics.vocabularies
    preprocess.use_statistics(other)
    assert preprocess.settings != before
    np.testing.assert_array_equal(encoded(preprocess, "20", "1", "Oslo", "")[:8], [1, -1, 0, 0, 0, 0, 1, 0])
    preprocess.use_statistics(statistics)
    assert preprocess.settings == before
    with pytest.raises(ValueError, match="14 numbers in a row; expected 13"):
        preprocess.use_statistics(measure_columns(COLUMNS, [*ROWS, ["1", "1", "Paris", "s1"]]))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["1", "2", "Paris", ""], ["1", "2", "Bern", ""]], "column 'city' has 'Bern', 'Paris', which the first stage"),
        ([["", "2", "Rome", ""]], "column 'age' is empty in all 1 training rows"),
    ],
)
def test_rows_that_cannot_be_read_anew(statistics: ColumnStatistics, rows: list[list[str]], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        statistics.readapted(rows)


def test_columns_without_values_or_with_too_many_are_refused() -> None:
    with pytest.raises(InputError, match="column 'shop' is empty in all 2 training rows"):
        measure_columns(COLUMNS, [[*row[:3], ""] for row in ROWS[:2]])
    words = [[str(number)] for number in range(MOST_CATEGORIES + 1)]
    with pytest.raises(InputError, match=r"column 'x' has 1,001 different values.*data.features.hashed"):
        measure_columns(TableColumns(categories=("x",)), words)


@pytest.mark.parametrize(
    "columns",
    [COLUMNS, TableColumns(numbers=("age",)), TableColumns(categories=("a b",)), TableColumns(hashed={"x": 3})],
)
def test_the_mlp_keeps_the_contract_on_a_table(columns: TableColumns, tmp_path: Path) -> None:
    rows = [[cell] * len(columns.names) for cell in ("1", "2", "5")]
    request = Request(
        Mlp(builder="mlp", units=6), LABELS, seed=3, folder=tmp_path, statistics=measure_columns(columns, rows)
    )
    checks = check_builder(mlp.build, request)
    assert {check.promise: check.broken for check in checks if check.broken} == {}
