"""Keeps what is answered without making a caller wait, and feedback before its sender is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from progressive_tf.registry.journal import COMMIT, Entry
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.serving.answers.base import ServedAnswers, probabilities_of
from progressive_tf.serving.answers.texts import EXPECTED
from progressive_tf.serving.instances import Instance
from progressive_tf.serving.kept_inputs import KeptInputs, Redact
from progressive_tf.serving.metrics import Metrics, abstained, is_unknown, was_cut
from progressive_tf.serving.pairs import Pair, Paired, TwoVersions
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.step_counts import NOT_MEASURED, StepCounts
from progressive_tf.serving.store import Store, StoreError

LABEL = "label"  # of feedback, as the redaction hook gets it
FLUSH_SECONDS = 1.0
PRUNE_SECONDS = 600.0
GRACE_SECONDS = 3600.0
MOST_WAITING = 10_000
_DAY = 86_400.0

log = logging.getLogger("progressive_tf.serving")


@dataclass(frozen=True)
class LogSettings:
    """What is kept, and for how long.

    Args:
        inputs: share of the requests whose inputs are kept, in [0, 1].
        days: how long anything is kept; > 0.
        redact: gets the inputs of an instance by name, as JSON-like values, and what was written for it under
            `translation`; a comment under `comment`, an expected text under `expected`, and a label that no version
            knows under `label`; returns what may be kept, or None for nothing. It runs in the thread that writes, and
            no caller waits for it.
    """

    inputs: float = 0.0
    days: float = 30.0
    redact: Redact | None = None


@dataclass(frozen=True)
class Prediction:
    """What a caller got for one instance: an id for feedback, and the outputs by name."""

    id: str
    instance: Instance
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class _Noted:
    request: ServedRequest
    predictions: Sequence[Prediction]
    kind: ServedAnswers
    keeps_inputs: bool


@dataclass
class _Rows:
    """What waits to be written, or is written now, in the order in which it came."""

    requests: list[_Noted] = field(default_factory=list)
    shadows: list[Shadowed] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def __add__(self, later: _Rows) -> _Rows:
        return _Rows(self.requests + later.requests, self.shadows + later.shadows, self.pairs + later.pairs)


class SteadyClock:
    """Seconds since 1970 as the machine's clock had them at the start, so that a clock that is set moves nothing."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Returns the seconds."""
        return self._offset + time.monotonic()


class RequestLog:
    """Requests, shadows and feedback on their way into a store; metrics count what found no room.

    It belongs to the event loop in which it is used; all writing is done in one thread of its own.
    """

    def __init__(self, store: Store, settings: LogSettings, metrics: Metrics) -> None:
        self.clock = SteadyClock()
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._inputs = KeptInputs(settings.redact, metrics)
        self._writer = ThreadPoolExecutor(1, "store")
        self._waiting = _Rows()
        self._under_way: list[_Rows] = []
        self._is_failing = False
        self._marked = 0
        self._followed: Sequence[Entry] | None = None

    def add_request(
        self, request: ServedRequest, predictions: Sequence[Prediction] = (), kind: ServedAnswers | None = None
    ) -> None:
        """Notes a request; it is on the disk a moment later.

        Args:
            request: without its answers.
            predictions: its answers; none where it was refused.
            kind: of the answers.
        """
        if self._has_no_room("requests"):
            return
        keeps_inputs = bool(predictions) and self._keeps_inputs(predictions[0].id)
        if not keeps_inputs:  # they may be large, and wait here as long as the store cannot be written
            predictions = [replace(prediction, instance={}) for prediction in predictions]
        request = replace(request, journal=self._store.journal)
        self._waiting.requests.append(_Noted(request, predictions, kind or ServedAnswers(), keeps_inputs))

    def add_shadow(self, shadowed: Shadowed) -> None:
        """Notes what a shadow says to an instance."""
        if not self._has_no_room("shadows"):
            self._waiting.shadows.append(shadowed)

    def add_pair(self, pair: Pair) -> None:
        """Notes what two versions say to a caller. Where inputs of a share of the requests are kept, these alone are
        evidence, so that whoever is asked for a label sees what it is about; whose they are is drawn by an id's digits.
        """
        is_drawn = not self._settings.inputs or self._keeps_inputs(pair.prediction or pair.question)
        if is_drawn and not self._has_no_room("pairs"):
            self._waiting.pairs.append(replace(pair, journal=self._store.journal))

    async def add_feedback(self, feedback: Feedback) -> tuple[int | None, Feedback]:
        """Keeps feedback; on the disk when this returns.

        Returns:
            The version that it is about, or None where no such prediction is known; and what was kept.

        Raises:
            UnlikeAnswer: its label is of another kind than the answer.
            StoreError: it could not be written.
        """
        said = {"comment": feedback.comment, EXPECTED: feedback.expected}
        if feedback.is_unknown_label:  # no class, and so whatever somebody has written
            said[LABEL] = feedback.label
        given = {name: text for name, text in said.items() if text is not None}
        if given and self._settings.redact is not None:
            kept = await self._in_writer(self._inputs.redacted, given) or {}
            texts = {name: text for name, text in kept.items() if isinstance(text, str)}
            feedback = replace(feedback, comment=texts.get("comment"), expected=texts.get(EXPECTED))
            if LABEL in given:
                feedback = replace(feedback, label=texts.get(LABEL))
        await self.flush()
        return await self._in_writer(self._store.add_feedback, feedback, self.clock.now()), feedback

    async def paired(self, versions: TwoVersions) -> Paired:
        """Returns what is known of two versions, see `Store.paired`."""
        await self.flush()
        return await self._in_writer(self._store.paired, versions)

    async def questions(self, versions: TwoVersions, limit: int, kind: ServedAnswers) -> list[dict[str, Any]]:
        """Returns the questions that settle a proof soonest, see `Store.questions`."""
        await self.flush()
        return await self._in_writer(self._store.questions, versions, limit, kind)

    async def answer_question(self, question: str, label: Any, is_unknown_label: bool = False) -> Any:
        """Keeps the right label of a question, on the disk when this returns; see `Store.answer_question`.

        Returns what was kept of it: of one that no version knows what the redaction hook lets through, and else None,
        by which both answers are as wrong.
        """
        if is_unknown_label and self._settings.redact is not None:
            kept = (await self._in_writer(self._inputs.redacted, {LABEL: label}) or {}).get(LABEL)
            label = kept if isinstance(kept, str) else None
        await self._in_writer(self._store.answer_question, question, label)
        return label

    async def step_counts(
        self, step: int, slow_beyond: Mapping[int, float] = NOT_MEASURED, stable: int | None = None
    ) -> StepCounts:
        """Returns what canary and stable did at a step of a rollout, see `Store.step_counts`."""
        await self.flush()
        return await self._in_writer(self._store.step_counts, step, slow_beyond, stable)

    async def seconds_before(self, step: int, stable: int | None = None) -> dict[int, list[float]]:
        """Returns how long the network took for stable's newest answers before a step, see `Store.seconds_before`."""
        await self.flush()
        return await self._in_writer(self._store.seconds_before, step, stable)

    @property
    def journal(self) -> int:
        """The number of the journal by which is counted, see `Store.follow`."""
        return self._store.journal

    def follows(self, entries: Sequence[Entry]) -> bool:
        """Whether is counted by a journal as it is now."""
        return self._followed is entries

    async def follow(self, entries: Sequence[Entry], lineage: LabelLineage = EVERY_WORD) -> None:
        """Counts by a journal, and judges by the words of its versions, see `Store.follow`; what has come so far
        belongs to the one before. What cannot be written now is tried again.
        """
        if self.follows(entries):
            return
        try:
            if not await self.flush():
                return
            await self._in_writer(self._store.follow, entries, lineage)
        except StoreError as error:
            self._failed(error)
        else:
            self._followed = entries

    async def mark_newest(self, entries: Sequence[Entry]) -> None:
        """Notes the newest version that a journal has, once; what cannot be written now is tried again."""
        newest = max(
            (entry for entry in entries if entry.event == COMMIT), key=lambda entry: entry.version or 0, default=None
        )
        if newest is None or newest.version in (None, self._marked):
            return
        released = datetime.fromisoformat(newest.time).timestamp()
        try:
            if not await self.flush():
                return
            await self._in_writer(self._store.mark_release, newest.version, released)
        except StoreError as error:
            self._failed(error)
        else:
            self._marked = int(newest.version or 0)

    async def keep(self) -> None:
        """Writes what has come every second, and removes what is old, until it is cancelled."""
        prune_at = self.clock.now() + await self._seconds_before_pruning()
        while True:
            await self.flush()
            if self.clock.now() >= prune_at:
                prune_at = self.clock.now() + PRUNE_SECONDS
                try:
                    await self._in_writer(self._store.prune, self.clock.now() - self._settings.days * _DAY)
                except StoreError as error:
                    self._failed(error)
            await asyncio.sleep(FLUSH_SECONDS)

    async def _seconds_before_pruning(self) -> float:
        """Returns how long nothing is removed after the start, as the clock may be wrong.

        It is longer, and a warning says so, where by the clock all that there is would go.
        """
        try:
            newest = await self._in_writer(self._store.newest)
        except StoreError as error:
            self._failed(error)
            newest = None
        if newest is None or newest >= self.clock.now() - self._settings.days * _DAY:
            return PRUNE_SECONDS
        log.warning(
            "by this machine's clock all that the store has is older than --keep-days %g, and it will be removed in %g "
            "minutes; if the clock is wrong, stop the server and set it, and else nothing needs to be done",
            self._settings.days,
            GRACE_SECONDS / 60,
        )
        return GRACE_SECONDS

    async def flush(self) -> bool:
        """Writes what has come, and returns whether that succeeded; what cannot be written waits, up to a limit."""
        rows, self._waiting = self._waiting, _Rows()
        if rows == _Rows():
            return True
        self._under_way.append(rows)
        try:
            # A server that stops ends the task that waits here; what waits for its turn is written all the same.
            await asyncio.shield(self._in_writer(self._write, rows))
        except Exception as error:
            self._waiting = rows + self._waiting
            self._failed(error)
            return False
        finally:
            self._under_way = [each for each in self._under_way if each is not rows]
        self._is_failing = False
        return True

    async def close(self) -> None:
        """Writes what is left and closes the store."""
        await self.flush()
        await self._in_writer(self._store.close)
        self._writer.shutdown()

    def _in_writer(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what the thread that writes will give; a coroutine would take its place in the queue too late."""
        return asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    def _write(self, rows: _Rows) -> None:
        """Writes rows together; where one of them cannot be kept, each alone, and takes out what is done with."""
        try:
            self._add(rows)
        except StoreError:
            raise
        except Exception:
            for kind in [each.name for each in fields(_Rows)]:
                while waiting := getattr(rows, kind):
                    self._add_alone(kind, waiting[0])
                    del waiting[0]

    def _add_alone(self, kind: str, row: _Noted | Shadowed | Pair) -> None:
        try:
            self._add(_Rows(**{kind: [row]}))  # type: ignore[arg-type]
        except StoreError:
            raise
        except Exception:
            log.warning("one of the %s cannot be kept, and is left out", kind, exc_info=True)
            self._not_kept(kind)

    def _add(self, rows: _Rows) -> None:
        self._store.add([self._served(request) for request in rows.requests], rows.shadows, rows.pairs)

    def _keeps_inputs(self, identity: str) -> bool:
        """Whether an id is among the share whose inputs are kept: its first eight hexadecimal digits are drawn."""
        return int(identity[:8], 16) < self._settings.inputs * 2**32

    def _served(self, noted: _Noted) -> ServedRequest:
        answers = []
        for prediction in noted.predictions:
            outputs = prediction.outputs
            answer = noted.kind.label(outputs), probabilities_of(outputs)
            written = noted.kind.kept(outputs)
            kept = self._inputs.kept(prediction.instance, written) if noted.keeps_inputs else None
            said = was_cut(outputs), abstained(outputs), is_unknown(outputs)
            answers.append(Answered(prediction.id, *answer, kept, *said))
        return replace(noted.request, answers=answers)

    def _has_no_room(self, kind: str) -> bool:
        if sum(len(getattr(rows, kind)) for rows in (self._waiting, *self._under_way)) < MOST_WAITING:
            return False
        self._not_kept(kind)
        return True

    def _not_kept(self, kind: str) -> None:
        self._metrics.not_kept.labels(kind.removesuffix("s")).inc()

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            log.error("what is answered cannot be kept for now: %s", error)
        self._is_failing = True
