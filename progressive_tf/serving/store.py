"""What a server has answered and what it was told about it: an SQLite file that survives the server.

Unlike the registry's journal it is written many times a second while others read it, so it has a write-ahead log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from progressive_tf.errors import ProgressiveError
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.serving.answers.base import ServedAnswers
from progressive_tf.serving.journals import journal_of, newest_journal, note_journal
from progressive_tf.serving.kept_rows import add_feedback, add_requests, add_shadows, refuse_unlike
from progressive_tf.serving.pairs import (
    Pair,
    Paired,
    TwoVersions,
    add_pairs,
    find_answer,
    keep_truth,
    read_paired,
    read_questions,
)
from progressive_tf.serving.pruning import Pruned, prune
from progressive_tf.serving.served_rows import Feedback, ServedRequest, Shadowed
from progressive_tf.serving.step_counter import StepCounter
from progressive_tf.serving.step_counts import NOT_MEASURED, Step, StepCounts, seconds_before
from progressive_tf.serving.store_schema import FORMAT, mark_release, read_as_it_is, statements_from
from progressive_tf.serving.words_in_sql import compare_by

STORE_NAME = "served.sqlite"
BUSY_SECONDS = 10.0


class StoreError(ProgressiveError):
    """What a server has answered cannot be read or written."""


class StoreGone(StoreError):
    """The file of a store is gone, or another one is in its place."""


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
        self._file: tuple[int, int] | None = None
        self._beside = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]  # by SQLite
        try:
            if not only_reads:
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be made ({error}); choose another --store") from error
        uri = f"{path.absolute().as_uri()}?mode={'ro' if only_reads else 'rwc'}"
        with self._in_words(), contextlib.ExitStack() as opened:
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            opened.callback(self._connection.close)  # unless all below succeeds
            self._lineage = EVERY_WORD
            self._counters = dict[tuple[Step, tuple[tuple[int, float], ...]], StepCounter]()
            compare_by(self._connection, EVERY_WORD)
            self._format()
            if not only_reads:
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                    self._connection.execute(f"PRAGMA {pragma}")
                with self.writing() as connection:
                    for statement in statements_from(self._format()):
                        connection.execute(statement)
            else:
                read_as_it_is(self._connection, self._format())
            self.journal = newest_journal(self._connection)
            opened.pop_all()
        if not only_reads:
            self._file, self._files_beside = _file_at(path), [_file_at(each) for each in self._beside]

    def add(
        self, requests: Iterable[ServedRequest], shadows: Iterable[Shadowed] = (), pairs: Iterable[Pair] = ()
    ) -> None:
        """Keeps requests, what a shadow said, and pairs, all or none; on the disk when this returns.

        Raises:
            StoreError: the disk is full, or the file cannot be written.
        """
        with self.writing() as connection:
            add_requests(connection, self.journal, requests)
            add_shadows(connection, shadows)
            add_pairs(connection, self.journal, pairs)

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
        with self.writing() as connection:
            return add_feedback(connection, feedback, time)

    def follow(self, entries: Sequence[Entry], lineage: LabelLineage = EVERY_WORD) -> None:
        """Counts what comes, and what is asked for, by a journal and the words of its versions; notes how far it is."""
        with self.writing() as connection:
            self.journal = note_journal(connection, entries)
            self._judge_by(lineage)

    def read_by(self, entries: Sequence[Entry], lineage: LabelLineage = EVERY_WORD) -> None:
        """Counts and judges what is asked for as `follow` does, and notes nothing."""
        with self.reading() as connection:
            self.journal = journal_of(connection, entries)
            self._judge_by(lineage)

    def _judge_by(self, lineage: LabelLineage) -> None:
        if lineage != self._lineage:
            compare_by(self._connection, lineage)
            self._lineage = lineage
            self._counters.clear()  # other words may make other answers right

    def count_some(self, step: int, slow_beyond: Mapping[int, float] = NOT_MEASURED, stable: int | None = None) -> bool:
        """Counts some of what is new at a step, see `step_counts`, and returns whether that was all: whoever writes in
        the same thread need not wait until a million requests have been counted.
        """
        with self.reading() as connection:
            connection.execute("BEGIN")  # another process may be writing
            try:
                return self._counter(step, slow_beyond, stable).count(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def step_counts(
        self, step: int, slow_beyond: Mapping[int, float] = NOT_MEASURED, stable: int | None = None
    ) -> StepCounts:
        """Returns what canary and stable did at a step of a rollout, for callers whose path named neither; for the
        arguments see `Step` and `StepCounts`. What has been counted before is not counted again.
        """
        while not self.count_some(step, slow_beyond, stable):
            pass
        return self._counter(step, slow_beyond, stable).counts

    def _counter(self, step: int, slow_beyond: Mapping[int, float], stable: int | None) -> StepCounter:
        which = Step(step, self.journal, stable), tuple(sorted(slow_beyond.items()))
        if which not in self._counters:
            self._counters[which] = StepCounter(which[0], slow_beyond)
        return self._counters[which]

    def forget_counts(self) -> None:
        """Lets go of what has been counted, as once there is no canary any more."""
        self._counters.clear()

    def seconds_before(self, step: int, stable: int | None = None) -> dict[int, list[float]]:
        """Returns how long the network took for stable's newest answers before a step, see `step_counts`."""
        with self.reading() as connection:
            return seconds_before(connection, Step(step, self.journal, stable))

    def mark_release(self, version: int, released: float) -> None:
        """Notes that a version has been released by now, see `store_schema.mark_release`."""
        with self.writing() as connection:
            mark_release(connection, version, released)

    def newest(self) -> float | None:
        """Returns when the newest request was kept, seconds since 1970; None without any."""
        with self.reading() as connection:
            found: float | None = connection.execute("SELECT max(time) FROM requests").fetchone()[0]
            return found

    def prune(self, before: float, seconds: float) -> int:
        """Removes some of what is too old, feedback included, see `pruning.prune`; call it until nothing is removed.

        Returns:
            How many rows.
        """
        with self.writing() as connection:
            pruned: Pruned = prune(connection, before, seconds)
        if pruned.is_emptied:
            self._counters.clear()  # the numbers of rows are given again
        touched = pruned.last_request
        if touched is not None:
            self._counters = {
                which: counter for which, counter in self._counters.items() if not counter.has_counted(touched)
            }
        return pruned.rows

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def leave(self) -> None:
        """Closes a file that is no longer at its place, and removes what SQLite keeps beside it, which would be taken
        for that of the file that is there now.
        """
        for path, file in zip(self._beside, self._files_beside, strict=True):
            if file is not None and _file_at(path) == file:
                path.unlink(missing_ok=True)
        self._connection.close()

    def paired(self, versions: TwoVersions) -> Paired:
        """Returns what is known of two versions, see `pairs.read_paired`."""
        with self.reading() as connection:
            return read_paired(connection, self.journal, versions)

    def questions(self, versions: TwoVersions, limit: int, kind: ServedAnswers) -> list[dict[str, Any]]:
        """Returns the questions that settle a proof soonest, see `pairs.read_questions`."""
        with self.reading() as connection:
            return read_questions(connection, self.journal, versions, limit, kind)

    def answer_question(self, question: str, label: Any) -> None:
        """Keeps the right label of a question, on the disk when this returns; the newest counts.

        Args:
            question: its id.
            label: as the answers have it; None where neither of the two is right, and no version knows what is.

        Raises:
            LookupError: no such question is known.
            UnlikeAnswer: the label is of another kind than the answers; nothing is kept.
            StoreError: the disk is full, or the file cannot be written.
        """
        with self.writing() as connection:
            answer = find_answer(connection, question)
            if label is not None:
                refuse_unlike(answer, label)
            keep_truth(connection, question, label)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection in a transaction, whose changes are kept together or not at all."""
        with self.reading():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                # A full disk has ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            self.check()  # what is written into a file that is gone is on no disk

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection; what it refuses is a StoreError."""
        self.check()
        with self._in_words():
            yield self._connection

    def check(self) -> None:
        """Raises StoreGone where the file that was opened is no longer at its place."""
        if self._file is not None and _file_at(self.path) != self._file:
            raise StoreGone(
                f"{self.path} is gone, or another file is in its place, since the server opened it: what it kept there "
                "is lost, and a new store is begun"
            )

    def try_writing(self) -> None:
        """Raises StoreError where nothing can be written."""
        with self.writing() as connection:
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _format(self) -> int:
        written = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if written > FORMAT:
            raise StoreError(
                f"{self.path} was written by a newer release (format {written}, this one knows up to {FORMAT}); "
                "update progressive-tf"
            )
        return written

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise StoreError(f"{self.path}: {_advice(str(error))}") from error


def _file_at(path: Path) -> tuple[int, int] | None:
    """Returns which file is at a path; None for none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _advice(message: str) -> str:
    if "full" in message:
        return f"no space left on its disk ({message}); free some space"
    if "locked" in message or "busy" in message:
        return f"locked by another program for more than {BUSY_SECONDS:.0f} s ({message}); close it"
    if "readonly" in message or "unable to open" in message:
        return f"cannot be written ({message}); check its owner and permissions, or choose another --store"
    return f"damaged, or not a file of the server's ({message}); move it away, a new one is begun"


def store_path(folder: Path, model: str) -> Path:
    """Returns where the store of a model is, below `--store`."""
    return folder / model / STORE_NAME
