"""Rows of the user's own in place of the test rows: a file with labels, or what a server has kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.drilling.canary import callers_of
from progressive_tf.drilling.choosing import Asks
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.drilling.subject import FEWEST_ROWS
from progressive_tf.errors import InputError, listed
from progressive_tf.files import cache_folder
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.plan.schema import Plan

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
    code = {label: place for place, label in enumerate(subject.labels)}
    columns = [code.get(label, 0) for label in (subject.version.manifest() or {}).get("labels", subject.labels)]
    kept = []
    fields = ("request", "input", "label", "truth", "right", "probabilities")
    for request, asked, label, told, right, stated in zip(*(answers[name] for name in fields), strict=True):
        truth = label if told is None and right is True else told
        if truth in code and stated is not None and len(stated) == len(columns):
            kept.append((request, asked, code[truth], stated))
    callers = callers_of(path)
    probabilities = np.zeros((len(kept), len(subject.labels)))
    for place, (_, _, _, stated) in enumerate(kept):
        probabilities[place, columns] = stated
    return Asked(
        [given for _, given, _, _ in kept],
        np.array([truth for _, _, truth, _ in kept], np.int64),
        probabilities,
        [callers[request] for request, _, _, _ in kept],
    )


def _of_source(subject: Subject, path: Path, plan: Plan, load: Callable[[], AsksOfTexts]) -> Asked:
    """Returns the rows of a file, which the version is asked now."""
    from progressive_tf.data.source import SourceReader

    if not INPUT_KINDS[plan.kind.inputs].is_text:
        raise InputError(f"--replay {path}: a file of rows is replayed where they are texts; give a server's store")
    place = "--replay"
    source = SourceReader(plan.data, plan.kind, Path(), cache_folder()).read(str(path), place)
    labels = np.array(source.labels, object)[source.label_codes]
    code = {label: place for place, label in enumerate(subject.labels)}
    unknown = sorted({label for label in labels if label not in code})
    if unknown:
        raise InputError(f"--replay {path}: label {unknown[0]!r}; the version answers {listed(subject.labels)}")
    rows = np.flatnonzero(~source.empty)
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"--replay {path}: {len(rows)} rows have a text and a label; a drill needs {FEWEST_ROWS}")
    asking = load()
    if asking.has_tasks:
        raise InputError(f"--replay {path}: the version needs a task beside each text; give a server's store")
    inputs = [{asking.text_name: text} for text in source.texts(rows)]
    truth = np.array([code[label] for label in labels[rows]], np.int64)
    return Asked(inputs, truth, asking.probabilities(inputs))
