"""What every kind of saved answers promises; a new kind adds a row to `FILES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from progressive_tf.errors import InputError
from progressive_tf.reporting.answers import KINDS, read_answers

from ..records_builder import write_run
from ..translated_records import PLAIN, POLITE, write_translations
from .test_tags import write_tags


def write_classes(path: Path) -> Path:
    run = write_run(path.parent / "run")
    return (run / "stages/01-pilot/predictions.parquet").rename(path)


def write_texts(path: Path) -> Path:
    return write_translations(path, {("gate", "plain"): PLAIN, ("test", "plain"): PLAIN, ("test", "polite"): POLITE})


# Writes a file of a kind, by the column that tells its files from others.
FILES: dict[str, Callable[[Path], Path]] = {"probabilities": write_classes, "tags": write_tags, "target": write_texts}

every_kind = pytest.mark.parametrize("column", KINDS)


@every_kind
def test_a_file_is_of_the_kind_whose_column_it_has(column: str, tmp_path: Path) -> None:
    saved = read_answers(FILES[column](tmp_path / "file"))
    assert type(saved) is KINDS[column]
    assert column in saved.columns
    assert sum(column in pq.ParquetFile(FILES[other](tmp_path / other)).schema_arrow.names for other in KINDS) == 1


@every_kind
def test_test_rows_are_shown_in_words_and_figures(column: str, tmp_path: Path) -> None:
    saved = read_answers(FILES[column](tmp_path / "file"))
    assert saved is not None
    rows = saved.test_rows("a slice without test rows")
    assert 0 < len(rows) < len(saved.places)
    assert {*saved.places["part"][rows]} == {"test"}
    found = saved.summarize(rows, "stage-1", "pilot", None)
    assert found.rows == len(rows)
    assert 0 < found.right < found.rows
    assert 0 < len(found.wrong) <= found.rows - found.right
    assert all(name in str(figure) for name, figure in found.figures.items())


@every_kind
def test_a_file_that_lacks_a_column_is_refused_by_name(column: str, tmp_path: Path) -> None:
    path = FILES[column](tmp_path / "file")
    table = pq.read_table(path)
    for name in (name for name in KINDS[column].columns if name != column):
        pq.write_table(table.drop_columns([name]), path)
        with pytest.raises(InputError, match=f"file: column '{name}' is missing; it has "):
            read_answers(path)
    pq.write_table(table.drop_columns([column]), path)
    with pytest.raises(InputError, match="file: one of the columns probabilities, tags, target expected; it has part"):
        read_answers(path)


def test_a_file_that_is_not_there_is_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none") is None
    (tmp_path / "file").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="file: not a readable Parquet file"):
        read_answers(tmp_path / "file")
