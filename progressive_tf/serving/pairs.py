"""What stable and a candidate say to the same callers: the evidence of a proof, and the questions that it waits for.

Of a caller the first instance counts, once for each two versions, since the requests of one caller are alike. Only so
many disagreements wait for a label at a time; while they do, no further callers are taken. So the evidence comes from
the whole time in which labels come, and who is taken never depends on what is said to them.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from progressive_tf.serving.answers.base import ServedAnswers
from progressive_tf.serving.store_schema import THIRD

MOST_OPEN = 200

_TWO = "journal = :journal AND stable = :stable AND candidate = :candidate"
_OPEN = "question IS NOT NULL AND truth IS NULL"
_ADD = f"""
    INSERT OR IGNORE INTO pairs
        (time, journal, stable, candidate, caller, prediction, stable_label, candidate_label, question)
    SELECT :time, :journal, :stable, :candidate, :caller, :prediction, :stable_label, :candidate_label,
           CASE WHEN :candidate_label IS NULL THEN NULL
                WHEN NOT agree(:stable, :stable_label, :candidate, :candidate_label) THEN :question END
    WHERE (SELECT count(*) FROM pairs WHERE {_TWO} AND {_OPEN}) < {MOST_OPEN}
"""
# Of a word that no version knows both are wrong; where one alone can be judged, the candidate counts as the
# worst that it may be.
_RIGHT = "is_right(:candidate, candidate_label, truth)"
_EVIDENCE = f"""
    SELECT time, question IS NOT NULL OR candidate_label IS NULL, question IS NULL OR truth IS NOT NULL,
           candidate_label IS NULL,
           CASE WHEN candidate_label IS NULL OR ({_OPEN}) THEN -1 WHEN question IS NULL THEN 0
                ELSE ifnull({_RIGHT}, 0) - ifnull(is_right(:stable, stable_label, truth), {_RIGHT} IS NOT NULL) END
    FROM pairs WHERE {_TWO} ORDER BY id
"""
_QUESTIONS = f"""
    SELECT question, prediction, input FROM pairs LEFT JOIN predictions ON predictions.id = prediction
    WHERE {_TWO} AND {_OPEN} ORDER BY pairs.id LIMIT :limit
"""


@dataclass(frozen=True)
class TwoVersions:
    """Two versions that evidence belongs to, and to no others."""

    stable: int
    candidate: int

    def of(self, journal: int) -> dict[str, int]:
        """Returns them as a query names them, with the number of their journal, see `journals.journal_of`."""
        return {"journal": journal, "stable": self.stable, "candidate": self.candidate}


@dataclass(frozen=True)
class Pair:
    """What two versions say to one instance.

    Args:
        time: when; seconds since 1970.
        versions: which two.
        caller: stands for who asked.
        stable_says: its answer, JSON-like.
        candidate_says: likewise.
        prediction: the id that the caller got; None where the candidate failed for its own caller.
        has_failed: whether the candidate gave no answer, which counts as a wrong one beside a right one.
        question: the id under which a label is asked for where they disagree.
        journal: as in `ServedRequest`.
    """

    time: float
    versions: TwoVersions
    caller: int
    stable_says: Any = None
    candidate_says: Any = None
    prediction: str | None = None
    has_failed: bool = False
    question: str = field(default_factory=lambda: uuid.uuid4().hex)
    journal: int | None = None


@dataclass(frozen=True)
class Paired:
    """The evidence about two versions, in the order in which callers came; for the arrays see `paired_proof`.

    Args:
        times: float64 [callers], seconds since 1970.
        differs: bool [callers].
        is_known: bool [callers].
        has_failed: bool [callers]: where the candidate gave no answer.
        gains: int8 [callers], with the worst that the candidate may be where that is not known.
    """

    times: np.ndarray
    differs: np.ndarray
    is_known: np.ndarray
    has_failed: np.ndarray
    gains: np.ndarray

    @property
    def best_gains(self) -> np.ndarray:
        """The gains with the best that the candidate may be, int8 [callers]: where it failed, stable may be wrong."""
        best: np.ndarray = np.where(self.is_known, np.where(self.has_failed, 0, self.gains), 1).astype(np.int8)
        return best


def add_pairs(connection: sqlite3.Connection, journal: int, pairs: Iterable[Pair]) -> None:
    """Keeps pairs of callers who are new, in a transaction; while too many questions are open it keeps none.

    Args:
        connection: to a store.
        journal: the number of the store's present one.
        pairs: in the order in which they came.
    """
    for pair in pairs:
        said = [json_of(says) for says in (pair.stable_says, pair.candidate_says)]
        connection.execute(
            _ADD,
            pair.versions.of(journal if pair.journal is None else pair.journal)
            | {
                "time": pair.time,
                "caller": pair.caller,
                "prediction": pair.prediction,
                "stable_label": said[0],
                "candidate_label": None if pair.has_failed else said[1],
                "question": pair.question,
            },
        )


def read_paired(connection: sqlite3.Connection, journal: int, versions: TwoVersions) -> Paired:
    """Returns what is known of two versions; nothing from a store of a release that kept no pairs."""
    rows = list(_rows(connection, _EVIDENCE, versions.of(journal)))
    times, differs, is_known, has_failed, gains = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    truths = [np.array(each, bool) for each in (differs, is_known, has_failed)]
    return Paired(np.array(times), truths[0], truths[1], truths[2], np.array(gains, np.int8))


def read_questions(
    connection: sqlite3.Connection, journal: int, versions: TwoVersions, limit: int, kind: ServedAnswers
) -> list[dict[str, Any]]:
    """Returns the disagreements whose labels settle a proof soonest, which are those that came first.

    What the versions say is not told, so that nobody is drawn to it.

    Args:
        connection: to a store.
        journal: its number.
        versions: which two.
        limit: so many of them; >= 1.
        kind: of the answers.

    Returns:
        JSON-like: `question_id`, and `input` where it is kept and else `prediction_id` to find it by.
    """
    return [_question(kind, *row) for row in _rows(connection, _QUESTIONS, versions.of(journal) | {"limit": limit})]


def find_answer(connection: sqlite3.Connection, question: str) -> Any:
    """Returns an answer that a question is about, to see of which kind a label has to be.

    Raises LookupError where no such question is known.
    """
    row = connection.execute("SELECT stable_label FROM pairs WHERE question = ?", [question]).fetchone()
    if row is None:
        raise LookupError(question)
    return json.loads(row[0])


def keep_truth(connection: sqlite3.Connection, question: str, label: Any) -> None:
    """Keeps the right label of a question, None for none that a version knows, in a transaction; the newest counts."""
    connection.execute("UPDATE pairs SET truth = ? WHERE question = ?", [json_of(label), question])


def json_of(value: Any) -> str:
    """Returns a value as the store has it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rows(connection: sqlite3.Connection, query: str, values: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    if connection.execute("PRAGMA user_version").fetchone()[0] < THIRD:
        return iter(())
    return connection.execute(query, values)


def _question(kind: ServedAnswers, question: str, prediction: str, kept: str | None) -> dict[str, Any]:
    seen = {"prediction_id": prediction} if kept is None else {"input": kind.asked(json.loads(kept))}
    return {"question_id": question} | seen
