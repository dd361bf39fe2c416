"""Rows of the user's own in place of the test rows: a file with labels, or what a server has kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from progressive_tf.data.cells import cell_text
from progressive_tf.drilling.canary import callers_of
from progressive_tf.drilling.choosing import Asks
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.drilling.subject import FEWEST_ROWS
from progressive_tf.errors import InputError, listed
from progressive_tf.files import cache_folder
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.reference import WORDS
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.table_columns import MISSING, argument_names

if TYPE_CHECKING:
    from progressive_tf.data.source import Source

_SQLITE = b"SQLite format 3\0"


class AsksOfTexts(Asks, Protocol):
    """A version that can be asked about texts, see `asking.Asking`."""

    @property
    def text_name(self) -> str:
        """Under which name it gets a text."""


def replayed(subject: Subject, given: Path, plan: Plan, load: Callable[[], AsksOfTexts]) -> Subject:
    """Returns a subject whose callers ask the rows of a file.

    Args:
        subject: the version, with the test rows of its stage.
        given: a store of a server, or a file of rows with labels.
        plan: of the version's run.
        load: returns the version, to be asked.

    Raises:
        InputError: there is no such file, too few rows of it have a right label, or they are of another kind.
    """
    if not given.exists():
        raise InputError(f"--replay {given}: there is no such file; give a server's served.sqlite, or rows with labels")
    is_store = given.is_file() and _begins(given) == _SQLITE
    callers = _of_store(subject, given) if is_store else _of_source(subject, given, plan, load)
    if len(callers) < FEWEST_ROWS:
        missing = "of this version have an answer that people called right or wrong" if is_store else "have a label"
        raise InputError(f"--replay {given}: {len(callers)} rows {missing}; a drill needs {FEWEST_ROWS}")
    return replace(subject, callers=callers, described=f"{len(callers):,} rows of {given.name}")


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_SQLITE))


def _of_store(subject: Subject, path: Path) -> Asked:
    """Returns what the version answered in a store, where users have said what is right."""
    answers = read_live_rows(path).by(subject.version.number).answers
    kind, like = subject.kind, subject.gate.answers
    labels = tuple((subject.version.manifest() or {}).get("labels", like.labels))
    kept = []
    fields = ("request", "input", "label", "truth", "right", "probabilities")
    for request, asked, label, told, right, stated in zip(*(answers[name] for name in fields), strict=True):
        truth = label if told is None and right is True else told
        found = None if truth is None else kind.of_store(label, truth, stated, labels, like)
        if found is not None:
            kept.append((request, asked, *found))
    callers, outputs, truths = callers_of(path), [one[2] for one in kept], [one[3] for one in kept]
    return Asked(
        [one[1] for one in kept],
        kind.of_outputs(outputs, truths, labels, like),
        [callers[one[0]] for one in kept],
    )


def _of_source(subject: Subject, path: Path, plan: Plan, load: Callable[[], AsksOfTexts]) -> Asked:
    """Returns the rows of a file, which the version is asked now."""
    from progressive_tf.data.source import SourceReader

    kind, like, read = subject.kind, subject.gate.answers, INPUTS.get(plan.kind.inputs)
    if read is None:
        raise InputError(
            f"--replay {path}: a file of rows is replayed where they are {listed(INPUTS)}, and the version reads "
            f"{plan.kind.inputs}; give a server's store"
        )
    source = SourceReader(plan.data, plan.kind, Path(), cache_folder()).read(str(path), "--replay")
    rows = np.flatnonzero(~source.empty)
    truth = kind.expected(source, rows)
    unknown = kind.unknown(truth, like.labels)
    if unknown:
        raise InputError(f"--replay {path}: label {unknown[0]!r}; the version answers {listed(like.labels)}")
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"--replay {path}: {len(rows)} rows have an input and a label; a drill needs {FEWEST_ROWS}")
    asking = load()
    if asking.has_tasks:
        raise InputError(f"--replay {path}: the version needs a task beside each input; give a server's store")
    inputs = read(source, rows, asking.text_name, subject.version.manifest() or {})
    return Asked(inputs, kind.of_outputs(asking.outputs(inputs), truth, asking.labels, like))


def _texts(source: Source, rows: np.ndarray, text_name: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{text_name: text} for text in source.texts(rows)]


def _words(source: Source, rows: np.ndarray, text_name: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{WORDS: list(words)} for words in source.inputs(rows)]


def _cells(source: Source, rows: np.ndarray, text_name: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the cells of the columns that a version reads, as its callers write them."""
    from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics

    if not manifest.get("preprocessing"):
        raise InputError("--replay: the version reads vectors, which have no columns; give a server's store")
    statistics = ColumnStatistics.from_json(manifest["preprocessing"])
    names = statistics.columns.names
    missing = [name for name in names if name not in source.store.names]
    if missing:
        raise InputError(f"--replay: {source.name} has no column {missing[0]!r}; the version reads {listed(names)}")
    written = dict(zip(statistics.columns.numbers, statistics.notations, strict=True))

    def cell(name: str, value: Any) -> str:
        text = cell_text(value) or MISSING
        return text if isinstance(value, str) or name not in written else written[name].written(text)

    return [
        {argument: cell(name, value) for argument, name, value in zip(argument_names(names), names, row, strict=True)}
        for row in source.store.cells(names, rows)
    ]


INPUTS: Mapping[str, Callable[[Source, np.ndarray, str, Mapping[str, Any]], list[dict[str, Any]]]] = {
    "texts": _texts,
    "words": _words,
    "columns": _cells,
}
"""What a version reads → the inputs that rows of a file are, given the name of a text and the version's manifest."""
