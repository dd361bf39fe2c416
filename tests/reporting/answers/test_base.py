"""What every kind of saved answers promises; a new kind adds a row to `FILES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from progressive_tf.errors import InputError
from progressive_tf.reporting.answers import KINDS, read_answers
from progressive_tf.reporting.answers.base import SavedAnswers

from ..records_builder import write_run
from ..translated_records import PLAIN, POLITE, write_translations
from .test_tags import write_tags


def write_classes(path: Path) -> Path:
    run = write_run(path.parent / "run")
    return (run / "stages/01-pilot/predictions.parquet").rename(path)


def write_texts(path: Path) -> Path:
    return write_translations(path, {("gate", "plain"): PLAIN, ("test", "plain"): PLAIN, ("test", "polite"): POLITE})


# Writes a file of a kind.
FILES: dict[str, Callable[[Path], Path]] = {"classes": write_classes, "tags": write_tags, "texts": write_texts}

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("other", KINDS)
def test_a_file_is_read_as_its_own_kind_alone(kind: str, other: str, tmp_path: Path) -> None:
    path = FILES[kind](tmp_path / "file")
    if kind == other:
        assert type(read_answers(path, KINDS[other])) is KINDS[kind]
        return
    with pytest.raises(InputError, match=r"file: column '.*' is missing; it has part"):
        read_answers(path, KINDS[other])


@every_kind
def test_a_kind_without_a_page_of_its_own_has_its_rows_counted(kind: str, tmp_path: Path) -> None:
    saved = read_answers(FILES[kind](tmp_path / "file"), SavedAnswers)
    assert saved is not None
    rows = saved.test_rows("a slice without test rows")
    found = saved.summarize(rows, "stage-1", "pilot", None)
    assert (found.rows, found.right, list(found.wrong), dict(found.figures)) == (len(rows), None, [], {})
    assert {*saved.places["part"][rows]} == {"test"}


@every_kind
def test_test_rows_are_shown_in_words_and_figures(kind: str, tmp_path: Path) -> None:
    saved = read_answers(FILES[kind](tmp_path / "file"), KINDS[kind])
    assert saved is not None
    rows = saved.test_rows("a slice without test rows")
    assert 0 < len(rows) < len(saved.places)
    assert {*saved.places["part"][rows]} == {"test"}
    found = saved.summarize(rows, "stage-1", "pilot", None)
    assert found.rows == len(rows)
    assert found.right is not None
    assert 0 < found.right < found.rows
    assert 0 < len(found.wrong) <= found.rows - found.right
    assert all(name in str(figure) for name, figure in found.figures.items())


@every_kind
def test_a_file_that_lacks_a_column_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = FILES[kind](tmp_path / "file")
    table = pq.read_table(path)
    for name in KINDS[kind].columns:
        pq.write_table(table.drop_columns([name]), path)
        with pytest.raises(InputError, match=f"file: column '{name}' is missing; it has "):
            read_answers(path, KINDS[kind])


def test_a_file_that_is_not_there_is_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none", SavedAnswers) is None
    (tmp_path / "file").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="file: not a readable Parquet file"):
        read_answers(tmp_path / "file", SavedAnswers)
