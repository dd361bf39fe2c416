"""Requests with their answers, what a shadow said, and feedback, as rows of a store; each in a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from progressive_tf.errors import ProgressiveError
from progressive_tf.serving.answers.texts import EXPECTED, is_of_tokens
from progressive_tf.serving.pairs import json_of
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed

_REQUEST = "time", "version", "alias", "step", "status", "seconds", "caller", "stable", "computed", "size"
_ADD_REQUEST = f"""
    INSERT INTO requests (id, {", ".join(_REQUEST)}, failed, journal) VALUES (?{", ?" * (len(_REQUEST) + 2)})
"""
_values_of = attrgetter(*_REQUEST)
_SAME_FEEDBACK = """
    SELECT label IS :label AND correct IS :correct AND rating IS :rating AND comment IS :comment
    FROM feedback WHERE prediction = :prediction ORDER BY id DESC LIMIT 1
"""


class UnlikeAnswer(ProgressiveError):
    """A right label cannot be compared with the answer, as it is of another kind."""


def add_requests(connection: sqlite3.Connection, journal: int, requests: Iterable[ServedRequest]) -> None:
    """Keeps requests with their answers.

    Args:
        connection: to a store.
        journal: the number of the store's present one.
        requests: in the order in which they came.
    """
    last = connection.execute("SELECT ifnull(max(id), 0) FROM requests").fetchone()[0]
    numbered = list(enumerate(requests, last + 1))
    connection.executemany(
        _ADD_REQUEST,
        [
            (number, *_values_of(asked), asked.is_failure, journal if asked.journal is None else asked.journal)
            for number, asked in numbered
        ],
    )
    connection.executemany(
        "INSERT INTO predictions (id, request, label, probabilities, input, was_cut, abstained, is_unknown) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (given.id, number, *_said(given), _json_or_none(given.input), *_marks(given))
            for number, request in numbered
            for given in request.answers
        ],
    )


def add_shadows(connection: sqlite3.Connection, shadows: Iterable[Shadowed]) -> None:
    """Keeps what a shadow said."""
    connection.executemany(
        "INSERT INTO shadows (time, prediction, version, label, probabilities, difference) VALUES (?, ?, ?, ?, ?, ?)",
        [(shadow.time, shadow.prediction, shadow.version, *_said(shadow), shadow.difference) for shadow in shadows],
    )


def add_feedback(connection: sqlite3.Connection, feedback: Feedback, time: float) -> int | None:
    """Keeps feedback, unless the newest on its prediction says the same.

    Returns the version that it is about; None where no prediction with its id is known, or not yet.

    Raises UnlikeAnswer where its label is of another kind than the answer.
    """
    values = {
        "prediction": feedback.prediction,
        "label": _json_or_none(feedback.label),
        "correct": feedback.correct,
        "rating": feedback.rating,
        "comment": feedback.comment,
    }
    answered = connection.execute(
        "SELECT version, label, input FROM predictions JOIN requests ON request = requests.id WHERE predictions.id = ?",
        [feedback.prediction],
    ).fetchone()
    if answered is not None and feedback.label is not None:
        refuse_unlike(json.loads(answered[1]), feedback.label)
        if answered[2] is not None and isinstance(feedback.label, Mapping):
            _keep_expected(connection, feedback, json.loads(answered[2]))
    newest = connection.execute(_SAME_FEEDBACK, values).fetchone()
    if newest is None or not newest[0]:
        connection.execute(
            "INSERT INTO feedback (time, prediction, label, correct, rating, comment) "
            "VALUES (:time, :prediction, :label, :correct, :rating, :comment)",
            values | {"time": time},
        )
    return None if answered is None else int(answered[0])


def _keep_expected(connection: sqlite3.Connection, feedback: Feedback, kept: dict[str, Any]) -> None:
    now = {name: value for name, value in kept.items() if name != EXPECTED}
    if feedback.expected is not None:
        now[EXPECTED] = feedback.expected
    if now != kept:
        connection.execute("UPDATE predictions SET input = ? WHERE id = ?", [json_of(now), feedback.prediction])


def refuse_unlike(answer: Any, truth: Any) -> None:
    """Raises UnlikeAnswer for a right label of another kind than an answer."""
    if is_of_tokens(answer):
        raise UnlikeAnswer("label: the answer is tokens, which no text is compared with; send correct, or rating")
    if isinstance(answer, list) != isinstance(truth, list):
        expected = (
            "a list" if isinstance(answer, list) else "a number" if isinstance(answer, int | float) else "a string"
        )
        raise UnlikeAnswer(f"label: {expected} expected, as the answer has; or send correct, or rating")
    if isinstance(answer, list) and len(answer) != len(truth):
        raise UnlikeAnswer(f"label: {len(answer)} tags expected, one for each word of the answer; got {len(truth)}")


def _said(answer: Answered | Shadowed) -> tuple[str, str]:
    return json_of(answer.label), json_of(answer.probabilities)


def _marks(answer: Answered) -> tuple[bool | None, ...]:
    return answer.was_cut, answer.abstained, answer.is_unknown


def _json_or_none(value: Any) -> str | None:
    return None if value is None else json_of(value)
