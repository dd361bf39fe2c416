"""What a server has answered and what it was told about it: an SQLite file that survives the server.

Unlike the registry's journal it is written many times a second while others read it, so it has a write-ahead log.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.errors import ProgressiveError
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.serving.answer import EXPECTED, is_of_tokens
from progressive_tf.serving.release_marks import LOWERED_MARKS
from progressive_tf.serving.step_counts import StepCounts, VersionCounts, variance_between_callers
from progressive_tf.serving.store_schema import FORMAT, statements_from

STORE_NAME = "served.sqlite"
BUSY_SECONDS = 10.0

# What was stable before stable moved is left out, where the version is given that is stable now.
_OF_BOTH = "(alias = 'canary' OR (alias = 'stable' AND (:stable IS NULL OR requests.version = :stable)))"
_COUNTED = f"""
    SELECT alias, sum(requests), sum(failures), count(*), sum(failures > 0), ifnull(sum(slow > 0), 0) FROM (
        SELECT alias, count(*) AS requests, sum(status >= 500 OR status = 429) AS failures,
               sum(status = 200 AND seconds > :slow_beyond) AS slow
        FROM requests WHERE step = :step AND {_OF_BOTH} GROUP BY alias, caller
    ) GROUP BY alias
"""
_LABELS = f"""
    SELECT alias, label, count(*) FROM predictions JOIN requests ON request = requests.id
    WHERE step = :step AND {_OF_BOTH} GROUP BY alias, label
"""
# The newest feedback counts; a rating says nothing of right or wrong.
_JUDGED = f"""
    SELECT alias, count(*), sum(judged), sum(is_right), sum(is_right * is_right), sum(is_right * judged),
           sum(judged * judged) FROM (
        SELECT alias, count(*) AS judged, sum(ifnull(feedback.correct, feedback.label = predictions.label)) AS is_right
        FROM predictions JOIN requests ON request = requests.id
        JOIN feedback ON feedback.id = (
            SELECT max(id) FROM feedback
            WHERE prediction = predictions.id AND (label IS NOT NULL OR correct IS NOT NULL)
        )
        WHERE step = :step AND {_OF_BOTH} GROUP BY alias, caller
    ) GROUP BY alias
"""
_COMPARED = """
    SELECT count(*), ifnull(sum(shadows.label != predictions.label), 0)
    FROM predictions JOIN requests ON request = requests.id JOIN shadows ON prediction = predictions.id
    WHERE step = :step AND alias = 'canary' AND shadows.version != requests.version
          AND (:stable IS NULL OR shadows.version = :stable)
"""
_SAME_FEEDBACK = """
    SELECT label IS :label AND correct IS :correct AND rating IS :rating AND comment IS :comment
    FROM feedback WHERE prediction = :prediction ORDER BY id DESC LIMIT 1
"""


class StoreError(ProgressiveError):
    """What a server has answered cannot be read or written."""


class UnlikeAnswer(ProgressiveError):
    """A right label cannot be compared with the answer, as it is of another kind."""


@dataclass(frozen=True)
class Answered:
    """One instance and its answer.

    Args:
        id: what the caller was given for feedback.
        label: what was said, as JSON: a class, tags, or the fingerprint of a text, or of its tokens.
        probabilities: of the classes; of a text the one that it has; or None.
        input: the instance as JSON-like values, with what was written for it; None where it is not kept.
        was_cut: whether a part of its text was not read; None where that is not known.
    """

    id: str
    label: Any
    probabilities: Sequence[float] | None
    input: Mapping[str, Any] | None = None
    was_cut: bool | None = None


@dataclass(frozen=True)
class ServedRequest:
    """One prediction request.

    Args:
        time: when it was answered; seconds since 1970.
        version: what answered it.
        alias: under which alias, "" where the path named the version or the alias.
        step: of the canary at that time, see `registry.history.Rollout`; 0 without one.
        status: of HTTP.
        seconds: from the first byte to the reply.
        answers: one for each instance; none where the request was refused.
        caller: stands for who asked; the same number for the same key.
    """

    time: float
    version: int
    alias: str
    step: int
    status: int
    seconds: float
    answers: Sequence[Answered] = ()
    caller: int = 0


@dataclass(frozen=True)
class Shadowed:
    """What the shadow says to an instance.

    Args:
        time: when; seconds since 1970.
        prediction: the id that the caller got.
        version: the shadow's.
        label: as in `Answered`.
        probabilities: as in `Answered`.
        difference: the largest between two probabilities of one class, in [0, 1]; None where the classes differ.
    """

    time: float
    prediction: str
    version: int
    label: Any
    probabilities: Sequence[float] | None
    difference: float | None


@dataclass(frozen=True)
class Feedback:
    """What a user says about a prediction: its right label, whether it was right, or how good it was.

    Args:
        prediction: its id.
        label: the right class, the right tags, or the fingerprint of the expected text.
        correct: whether the answer was right.
        rating: from 1, bad, to 5, good.
        comment: in the user's words.
        expected: the text itself; it is kept beside the input, where that is kept.
    """

    prediction: str
    label: Any = None
    correct: bool | None = None
    rating: int | None = None
    comment: str | None = None
    expected: str | None = None


class Store:
    """The file of one model; used from one thread at a time.

    Args:
        path: the file; created with its folder.
        only_reads: whether a file that exists is read as it is: it may belong to a running server of an earlier
            release, which could not write to it any more in the present format.

    Raises:
        StoreError: it is damaged, cannot be written, or comes from a newer release.
    """

    def __init__(self, path: Path, only_reads: bool = False) -> None:
        self.path = path
        try:
            if not only_reads:
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be made ({error}); choose another --store") from error
        with self._in_words():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if only_reads else 'rwc'}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            if only_reads:
                self._format()
                return
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            with self.writing() as connection:
                for statement in statements_from(self._format()):
                    connection.execute(statement)

    def add(self, requests: Iterable[ServedRequest], shadows: Iterable[Shadowed] = ()) -> None:
        """Keeps requests and what a shadow said, all or none; on the disk when this returns.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
        """
        requests = list(requests)
        with self.writing() as connection:
            last = connection.execute("SELECT ifnull(max(id), 0) FROM requests").fetchone()[0]
            numbered = list(enumerate(requests, last + 1))
            connection.executemany(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (number, each.time, each.version, each.alias, each.step, each.status, each.seconds, each.caller)
                    for number, each in numbered
                ],
            )
            connection.executemany(
                "INSERT INTO predictions (id, request, label, probabilities, input, was_cut) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        each.id,
                        number,
                        _json(each.label),
                        _json(each.probabilities),
                        _json_or_none(each.input),
                        each.was_cut,
                    )
                    for number, request in numbered
                    for each in request.answers
                ],
            )
            connection.executemany(
                "INSERT INTO shadows (time, prediction, version, label, probabilities, difference) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(each.time, each.prediction, each.version, *_said(each), each.difference) for each in shadows],
            )

    def add_feedback(self, feedback: Feedback, time: float) -> int | None:
        """Keeps feedback, on the disk when this returns; the same again changes nothing, other feedback comes after it.

        Args:
            feedback: what was said.
            time: when; seconds since 1970.

        Returns:
            The version that it is about; None where no prediction with its id is known, or not yet.

        Raises:
            UnlikeAnswer: its label is of another kind than the answer; nothing is kept.
            StoreError: the disk is full, or the file cannot be written.
        """
        values = {
            "prediction": feedback.prediction,
            "label": _json_or_none(feedback.label),
            "correct": feedback.correct,
            "rating": feedback.rating,
            "comment": feedback.comment,
        }
        with self.writing() as connection:
            found = connection.execute(
                "SELECT version, label, input FROM predictions JOIN requests ON request = requests.id "
                "WHERE predictions.id = ?",
                [feedback.prediction],
            ).fetchone()
            if found is not None and feedback.label is not None:
                _refuse_unlike(json.loads(found[1]), feedback.label)
                if found[2] is not None and isinstance(feedback.label, Mapping):
                    self._keep_expected(feedback, json.loads(found[2]))
            newest = connection.execute(_SAME_FEEDBACK, values).fetchone()
            if newest is None or not newest[0]:
                connection.execute(
                    "INSERT INTO feedback (time, prediction, label, correct, rating, comment) "
                    "VALUES (:time, :prediction, :label, :correct, :rating, :comment)",
                    values | {"time": time},
                )
        return None if found is None else int(found[0])

    def _keep_expected(self, feedback: Feedback, kept: dict[str, Any]) -> None:
        """Keeps the newest expected text beside its input."""
        now = {name: value for name, value in kept.items() if name != EXPECTED}
        if feedback.expected is not None:
            now[EXPECTED] = feedback.expected
        if now != kept:
            self._connection.execute("UPDATE predictions SET input = ? WHERE id = ?", [_json(now), feedback.prediction])

    def step_counts(self, step: int, slow_beyond: float | None = None, stable: int | None = None) -> StepCounts:
        """Returns what canary and stable did at a step of a rollout, for callers whose path named neither.

        Args:
            step: see `registry.history.Rollout`.
            slow_beyond: seconds, from which a request is slow; None where that is not known.
            stable: the version that is stable, where answers of an earlier one are not to be counted.
        """
        values = {"step": step, "slow_beyond": slow_beyond, "stable": stable}
        with self._in_words():
            counted = {row[0]: row[1:] for row in self._connection.execute(_COUNTED, values)}
            judged = {row[0]: row[1:] for row in self._connection.execute(_JUDGED, values)}
            labels: dict[str, dict[str, int]] = {}
            for alias, label, count in self._connection.execute(_LABELS, values):
                labels.setdefault(alias, {})[label] = count
            compared, other = self._connection.execute(_COMPARED, values).fetchone()
        of_canary, of_stable = (
            _version_counts(counted.get(alias, (0,) * 5), judged.get(alias, (0,) * 6), labels.get(alias, {}))
            for alias in (CANARY, STABLE)
        )
        return StepCounts(of_canary, of_stable, compared, other)

    def seconds_before(self, step: int, most: int, stable: int | None = None) -> list[float]:
        """Returns how long stable's newest answers before a step took, the newest first.

        Args:
            step: see `registry.history.Rollout`.
            most: so many of them.
            stable: the version that is stable, whose answers as a canary count too; None for whatever was stable.
        """
        with self._in_words():
            found = self._connection.execute(
                "SELECT seconds FROM requests WHERE step < :step AND status = 200 AND alias IN ('stable', 'canary') "
                "AND ifnull(version = :stable, alias = 'stable') ORDER BY id DESC LIMIT :most",
                {"step": step, "most": most, "stable": stable},
            )
            return [float(seconds) for (seconds,) in found]

    def prune(self, before: float) -> int:
        """Removes what was kept before a time, feedback included.

        Returns:
            How many rows.
        """
        with self.writing() as connection:
            tables = "requests", "shadows", "feedback"
            gone = [connection.execute(f"DELETE FROM {each} WHERE time < ?", [before]).rowcount for each in tables]
            connection.execute(LOWERED_MARKS)
            return sum(gone)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection in a transaction, whose changes are kept together or not at all."""
        with self._in_words():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                # A full disk has ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _format(self) -> int:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise StoreError(
                f"{self.path} was written by a newer release (format {found}, this one knows up to {FORMAT}); "
                "update progressive-tf"
            )
        return found

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_advice(str(error))}") from error


def _refuse_unlike(said: Any, told: Any) -> None:
    if is_of_tokens(said):
        raise UnlikeAnswer("label: the answer is tokens, which no text is compared with; send correct, or rating")
    if isinstance(said, list) != isinstance(told, list):
        expected = "a list" if isinstance(said, list) else "a string"
        raise UnlikeAnswer(f"label: {expected} expected, as the answer has; or send correct, or rating")
    if isinstance(said, list) and len(said) != len(told):
        raise UnlikeAnswer(f"label: {len(said)} tags expected, one for each word of the answer; got {len(told)}")


def _advice(message: str) -> str:
    if "full" in message:
        return f"no space left on its disk ({message}); free some space"
    if "locked" in message or "busy" in message:
        return f"locked by another program for more than {BUSY_SECONDS:.0f} s ({message}); close it"
    if "readonly" in message or "unable to open" in message:
        return f"cannot be written ({message}); check its owner and permissions, or choose another --store"
    return f"damaged, or not a file of the server's ({message}); move it away, a new one is begun"


def _version_counts(counted: Sequence[int], judged: Sequence[int], labels: Mapping[str, int]) -> VersionCounts:
    callers, answers, right, *squares = judged
    variance = variance_between_callers(callers, answers, right, (squares[0], squares[1], squares[2]))
    requests, failures, asking, failed, slow = counted
    return VersionCounts(requests, failures, asking, failed, slow, answers, right, variance, labels)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _said(shadowed: Shadowed) -> tuple[str, str]:
    return _json(shadowed.label), _json(shadowed.probabilities)


def _json_or_none(value: Any) -> str | None:
    return None if value is None else _json(value)


def store_path(folder: Path, model: str) -> Path:
    """Returns where the store of a model is, below `--store`."""
    return folder / model / STORE_NAME


class SteadyClock:
    """Seconds since 1970 as the machine's clock had them at the start, so that a clock that is set moves nothing."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Returns the seconds."""
        return self._offset + time.monotonic()
