"""Keeps what is answered without making a caller wait, and feedback before its sender is answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
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
from progressive_tf.serving.store_thread import StoreThread

LABEL = "label"  # of feedback, as the redaction hook gets it
FLUSH_SECONDS = 1.0
PRUNE_SECONDS = 600.0
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
        self._store = StoreThread(store, metrics)
        self._settings = settings
        self._metrics = metrics
        self._inputs = KeptInputs(settings.redact, metrics)
        self._waiting = _Rows()
        self._under_way: list[_Rows] = []
        self._is_at_a_loss = False
        self._marked: tuple[Store, int] | None = None
        self._followed: tuple[Store, Sequence[Entry]] | None = None

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
        request = replace(request, journal=self.journal)
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
            self._waiting.pairs.append(replace(pair, journal=self.journal))

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
            kept = await self._store.run(self._inputs.redacted, given) or {}
            texts = {name: text for name, text in kept.items() if isinstance(text, str)}
            feedback = replace(feedback, comment=texts.get("comment"), expected=texts.get(EXPECTED))
            if LABEL in given:
                feedback = replace(feedback, label=texts.get(LABEL))
        await self.flush()
        return await self._store.ask(Store.add_feedback, feedback, self.clock.now()), feedback

    async def paired(self, versions: TwoVersions) -> Paired:
        """Returns what is known of two versions, see `Store.paired`."""
        await self.flush()
        return await self._store.ask(Store.paired, versions)

    async def questions(self, versions: TwoVersions, limit: int, kind: ServedAnswers) -> list[dict[str, Any]]:
        """Returns the questions that settle a proof soonest, see `Store.questions`."""
        await self.flush()
        return await self._store.ask(Store.questions, versions, limit, kind)

    async def answer_question(self, question: str, label: Any, is_unknown_label: bool = False) -> Any:
        """Keeps the right label of a question, on the disk when this returns; see `Store.answer_question`.

        Returns what was kept of it: of one that no version knows what the redaction hook lets through, and else None,
        by which both answers are as wrong.
        """
        if is_unknown_label and self._settings.redact is not None:
            kept = (await self._store.run(self._inputs.redacted, {LABEL: label}) or {}).get(LABEL)
            label = kept if isinstance(kept, str) else None
        await self._store.ask(Store.answer_question, question, label)
        return label

    async def step_counts(
        self, step: int, slow_beyond: Mapping[int, float] = NOT_MEASURED, stable: int | None = None
    ) -> StepCounts:
        """Returns what canary and stable did at a step of a rollout, see `Store.step_counts`."""
        await self.flush()
        which = step, slow_beyond, stable
        while not await self._store.ask(Store.count_some, *which):  # whoever else asks has his turn in between
            pass
        return await self._store.ask(Store.step_counts, *which)

    async def forget_counts(self) -> None:
        """Lets go of what has been counted of steps, see `Store.forget_counts`."""
        await self._store.ask(Store.forget_counts)

    async def seconds_before(self, step: int, stable: int | None = None) -> dict[int, list[float]]:
        """Returns how long the network took for stable's newest answers before a step, see `Store.seconds_before`."""
        await self.flush()
        return await self._store.ask(Store.seconds_before, step, stable)

    @property
    def journal(self) -> int:
        """The number of the journal by which is counted, see `Store.follow`."""
        return self._store.store.journal

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the store, see `StoreThread.problems`."""
        return self._store.problems

    def forget_losses(self) -> None:
        """Takes note that an operator knows what the store has lost."""
        self._store.forget_losses()

    def follows(self, entries: Sequence[Entry]) -> bool:
        """Whether is counted by a journal as it is now."""
        return self._followed is not None and self._followed[0] is self._store.store and self._followed[1] is entries

    async def follow(self, entries: Sequence[Entry], lineage: LabelLineage = EVERY_WORD) -> None:
        """Counts by a journal, and judges by the words of its versions, see `Store.follow`; what has come so far
        belongs to the one before. What cannot be written now is tried again.
        """
        if self.follows(entries):
            return
        store = self._store.store
        with contextlib.suppress(StoreError):
            if await self.flush():
                await self._store.ask(Store.follow, entries, lineage)
                self._followed = store, entries

    async def mark_newest(self, entries: Sequence[Entry]) -> None:
        """Notes the newest version that a journal has, once; what cannot be written now is tried again."""
        newest = max(
            (entry for entry in entries if entry.event == COMMIT), key=lambda entry: entry.version or 0, default=None
        )
        store = self._store.store
        if newest is None or newest.version is None or self._marked == (store, newest.version):
            return
        released = datetime.fromisoformat(newest.time).timestamp()
        with contextlib.suppress(StoreError):
            if await self.flush():
                await self._store.ask(Store.mark_release, newest.version, released)
                self._marked = store, newest.version

    async def keep(self) -> None:
        """Writes what has come every second, looks after the store, and removes what is old, until it is cancelled."""
        began, jump = self.clock.now(), await self._jump()
        prune_at = began + PRUNE_SECONDS
        while True:
            if await self.flush():
                await self._store.look_after()
            now, kept = self.clock.now(), self._settings.days * _DAY
            if now >= prune_at:
                prune_at = now + PRUNE_SECONDS
                before = now - kept - (jump if now - began < kept else 0.0)
                with contextlib.suppress(StoreError):
                    while await self._store.ask(Store.prune, before, kept):
                        await self.flush()  # a little at a time, so that whoever else asks has his turn
            await asyncio.sleep(FLUSH_SECONDS)

    async def _jump(self) -> float:
        """Returns how many seconds the clock is ahead of all that the store has, where that is more than a day, and
        says so: perhaps nothing has come for so long, and perhaps the clock is wrong. They make nothing older until the
        server has run for as long as rows are kept.
        """
        newest = None
        with contextlib.suppress(StoreError):
            newest = await self._store.ask(Store.newest)
        ahead = 0.0 if newest is None else self.clock.now() - newest
        if ahead > _DAY:
            log.warning(
                "by this machine's clock nothing has been kept for %.1f days; what the store has from before goes "
                "so much later than --keep-days %g says, unless the server has run for as many days itself; if the "
                "clock is wrong, set it and start the server again",
                ahead / _DAY,
                self._settings.days,
            )
            return ahead
        if ahead < -_DAY:
            log.warning(
                "by this machine's clock the newest that the store has is from %.1f days in the future; nothing that "
                "came after it is removed before it; if the clock is wrong, set it and start the server again",
                -ahead / _DAY,
            )
        return 0.0

    async def flush(self) -> bool:
        """Writes what has come, and returns whether that succeeded; what cannot be written waits, up to a limit."""
        rows, self._waiting = self._waiting, _Rows()
        if rows == _Rows():
            return True
        self._under_way.append(rows)
        try:
            # A server that stops ends the task that waits here; what waits for its turn is written all the same.
            await asyncio.shield(self._store.ask(self._write, rows))
        except Exception as error:
            self._waiting = rows + self._waiting
            if not isinstance(error, StoreError) and not self._is_at_a_loss:
                log.exception("what is answered cannot be kept for now")
            self._is_at_a_loss = not isinstance(error, StoreError)
            return False
        finally:
            self._under_way = [each for each in self._under_way if each is not rows]
        self._is_at_a_loss = False
        return True

    async def close(self) -> None:
        """Writes what is left and closes the store."""
        await self.flush()
        await self._store.close()

    def _write(self, store: Store, rows: _Rows) -> None:
        """Writes rows together; where one of them cannot be kept, each alone, and takes out what is done with."""
        try:
            self._add(store, rows)
        except StoreError:
            raise
        except Exception:
            for kind in [each.name for each in fields(_Rows)]:
                while waiting := getattr(rows, kind):
                    self._add_alone(store, kind, waiting[0])
                    del waiting[0]

    def _add_alone(self, store: Store, kind: str, row: _Noted | Shadowed | Pair) -> None:
        try:
            self._add(store, _Rows(**{kind: [row]}))  # type: ignore[arg-type]
        except StoreError:
            raise
        except Exception:
            log.warning("one of the %s cannot be kept, and is left out", kind, exc_info=True)
            self._not_kept(kind)

    def _add(self, store: Store, rows: _Rows) -> None:
        store.add([self._served(request) for request in rows.requests], rows.shadows, rows.pairs)

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
