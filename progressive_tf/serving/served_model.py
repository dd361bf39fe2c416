"""The versions of a model that are in memory, kept to what the registry's journal says."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from progressive_tf.errors import ProgressiveError
from progressive_tf.registry import RegistryError, history
from progressive_tf.registry.errors import UnsignedError
from progressive_tf.registry.history import CANARY, SHADOW, STABLE
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.registry.signatures import Signed, unsigned_text
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.serving.batching import Batcher, BatchSettings
from progressive_tf.serving.canary_decision import compares_with_stable
from progressive_tf.serving.instances import PredictRequest
from progressive_tf.serving.limits import Limits
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import TwoVersions
from progressive_tf.serving.proof import keeps_pairs
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.routing import Split
from progressive_tf.serving.second_answers import Given, SecondAnswers
from progressive_tf.serving.served_rows import ServedRequest
from progressive_tf.serving.standing import Answering, Standing
from progressive_tf.serving.told import told

UNREAD = object()
LOOK_SECONDS = 0.25
RETRY_SECONDS = 30.0

log = logging.getLogger("progressive_tf.serving")


class ServedModel:
    """Loads what aliases point to, switches once it is warm, and lets go of what no alias needs.

    Args:
        model: its versions in the registry.
        limits: of the queue.
        batching: how instances are put together.
        metrics: are told of batches, aliases and the canary.
        request_log: keeps what the shadow says.
    """

    def __init__(
        self, model: ModelVersions, limits: Limits, batching: BatchSettings, metrics: Metrics, request_log: RequestLog
    ) -> None:
        self.model = model
        self.standing = Standing()
        self._limits = limits
        self._batching = batching
        self._metrics = metrics
        self._request_log = request_log
        self._second = SecondAnswers(model.name, metrics, request_log)
        self._loading = ThreadPoolExecutor(1, "load")
        self._reading = ThreadPoolExecutor(1, "journal")
        self.entries: tuple[Entry, ...] = ()  # the journal as it was read last
        self.lineage: LabelLineage = EVERY_WORD  # the words of all of its versions
        self.called_before: Mapping[int, Mapping[str, str | None]] = {}  # of each, see `LabelLineage`
        self.is_read = False  # whether it could be, when it changed last
        self._wanted = asyncio.Event()
        self._failed: dict[int, str] = {}  # why, until it is loaded
        self._waits: set[int] = set()  # which of these are not tried again yet
        self._unread = ""  # why the journal cannot be read
        self._unsigned = ""  # what of it is not followed, and why
        self._seen: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Keeps what is served to what the journal says, until it is cancelled."""
        await asyncio.gather(self._watch(), self._load_what_is_missing(), self._tell_the_log())

    async def _watch(self) -> None:
        """Reads the journal whenever it changes, and serves at once what is in memory of what it asks for."""
        loop = asyncio.get_running_loop()
        while True:
            now = await loop.run_in_executor(self._reading, self._journal_state)
            if now != self._seen:
                before, self._seen = self.entries, now
                try:
                    read = await loop.run_in_executor(self._reading, self._read_journal)
                    signed, self.lineage, self.called_before = read
                except (ProgressiveError, OSError) as error:
                    problem = told(error, self.model.files.path)
                    if self._unread != problem:
                        log.error("the journal cannot be read; what is served stays: %s", error)
                    self._unread = problem
                    self._seen = UNREAD  # a copy that is put back may be the very journal of before
                    self.is_read = False
                else:
                    self._unread = ""
                    self.is_read = True
                    self.entries = signed.entries
                    self._note_unsigned(signed)
                    self._say_if_another(before)
                    self._waits.clear()
                    self._switch()
                    self._wanted.set()
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell_the_log(self) -> None:
        """Tells the log of requests what the journal says; nothing else waits for it, or for a store that is locked."""
        while True:
            if self.is_read:
                await self._request_log.follow(self.entries, self.lineage)
                await self._request_log.mark_newest(self.entries)
            await asyncio.sleep(LOOK_SECONDS)

    def _read_journal(self) -> tuple[Signed, LabelLineage, Mapping[int, Mapping[str, str | None]]]:
        """Returns the journal, the words of its versions and what each called its classes before; raises RegistryError
        where there was one and is none, as while its disk is away, where what was followed is signed no more, and where
        its entries are in no order that makes sense: nothing that follows it may stumble over that.
        """
        signed = self.model.files.signed()
        if signed.unsigned and not signed.entries:
            raise UnsignedError(unsigned_text(self.model.name, signed))
        if self.entries and not signed.entries:
            raise RegistryError(f"{self.model.files.journal} is missing or empty, and was there before; put it back")
        history.refuse_strange_order(signed.entries)
        lineage = LabelLineage.read(self.model)
        return signed, lineage, {number: lineage.called_before(number) for number in lineage.of}

    def _note_unsigned(self, signed: Signed) -> None:
        before, self._unsigned = self._unsigned, ""
        if signed.unsigned:
            self._unsigned = f"{unsigned_text(self.model.name, signed)}; what is signed goes on being served"
        if self._unsigned not in ("", before):
            log.error("%s", self._unsigned)

    def read_again(self) -> None:
        """Reads the journal again at the next look, as if it had changed, and tries again what failed."""
        self._seen = UNREAD

    @property
    def problems(self) -> dict[str, tuple[str, ...]]:
        """Why something that the registry asks for is not served, by what is wrong: its journal, or versions."""
        wanted = history.current_aliases(self.entries)
        journal = [self._unread] if self._unread else []
        stable = self.standing.aliases.get(STABLE)
        if stable is not None and STABLE not in wanted:
            journal.append(f"the journal has no stable version any more; version {stable}, which was, is served on")
        failed = [f"version {number}: {why}" for number, why in self._failed.items() if number in wanted.values()]
        unsigned = (self._unsigned,) if self._unsigned else ()
        return {"journal": tuple(journal), "unsigned": unsigned, "version": tuple(failed)}

    def _say_if_another(self, before: tuple[Entry, ...]) -> None:
        """Warns where the journal does not continue the one that was read before, as one that was restored or made
        anew.
        """
        if self.entries[: len(before)] != before:
            was, now = (history.current_aliases(entries) for entries in (before, self.entries))
            log.warning(
                "the journal is not the one that was read before, nor goes on from it; aliases were %s and are now %s",
                _in_words(was),
                _in_words(now),
            )

    async def _load_what_is_missing(self) -> None:
        """Loads one version after the other, stable first; what failed is tried again after a while."""
        loop = asyncio.get_running_loop()
        while True:
            number = self._most_wanted()
            if number is None:
                self._wanted.clear()
                with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), RETRY_SECONDS)
                    continue
                self._waits.clear()
                continue
            try:
                loaded = await loop.run_in_executor(self._loading, self._load, number)
            except Exception as error:
                self._failed[number] = told(error, self.model.files.path)
                self._waits.add(number)
                log.error("version %d is not served: %s", number, error)
            else:
                self._failed.pop(number, None)
                before = self.standing.by_number.get(number)
                self._replace(by_number={**self.standing.by_number, number: self._answering(loaded)})
                if before is not None:
                    self._begin(self._retire(before))
                log.info("version %d is loaded and warm%s", number, loaded.caution)
            self._switch()

    def _answering(self, loaded: LoadedVersion) -> Answering:
        threads = ThreadPoolExecutor(self._batching.threads, "batch"), ThreadPoolExecutor(1, "shadow")
        observe = self._metrics.batch_size.labels(self.model.name, loaded.number).observe
        wait = self._metrics.queue_wait.labels(self.model.name, loaded.number).observe
        batcher, background = (
            Batcher(loaded.answer, settings, executor, self._limits.queued_instances, observe, observe_wait)
            for settings, executor, observe_wait in zip(
                (self._batching, replace(self._batching, threads=1)), threads, (wait, None), strict=True
            )
        )
        return Answering(loaded, batcher, background, threads)

    def _most_wanted(self) -> int | None:
        """Returns the version to load next, or None."""
        aliases = history.current_aliases(self.entries)
        order = [aliases[alias] for alias in (STABLE, CANARY, *aliases) if alias in aliases]
        ready = self._ready()
        missing = (number for number in order if number not in ready and number not in self._waits)
        return next(missing, None)

    async def close(self) -> None:
        """Lets go of everything; call it when no request is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for answering in self.standing.by_number.values():
            answering.end()
        self._loading.shutdown()
        self._reading.shutdown()

    def shadow(self, given: Given) -> None:
        """Gives others what a caller was answered, and notes where they say something else.

        The shadow is asked, if there is one; stable about the canary's answers, see `compares_with_stable`; and the
        canary about stable's where both are evidence, see `keeps_pairs`.
        """
        if not given.answers:
            return
        standing = self.standing
        others = {standing.aliases[SHADOW]} if SHADOW in standing.aliases else set()
        split = standing.split
        if split is not None and split.canary is not None:
            if given.by == split.canary and standing.asks_stable_too:
                others.add(split.stable)
            if given.alias == STABLE and split.canary in standing.candidates:
                others.add(split.canary)
        ours = standing.by_number.get(given.by)
        for number in others - {given.by}:
            other = standing.by_number[number]
            same_classes = ours is not None and ours.loaded.labels == other.loaded.labels
            two = self._evidence_of(given, number)
            self._begin(self._second.ask(other, given, same_classes, two, self.lineage))

    def note_failure(self, noted: ServedRequest, request: PredictRequest) -> None:
        """Notes that a candidate failed for a caller of its own, unless stable fails on that too: neither is better."""
        two = self._two_of(noted)
        if two is not None:
            self._begin(self._judge_failure(noted, request, two))

    async def _judge_failure(self, noted: ServedRequest, request: PredictRequest, two: TwoVersions) -> None:
        if await self._second.is_answered(self.standing.by_number[two.stable], request) is not False:
            self._second.note_failure(noted.caller, two)

    def _two_of(self, noted: ServedRequest) -> TwoVersions | None:
        """Returns stable and the candidate where the candidate answers a caller of its own, and waits for proof."""
        split, by = self.standing.split, noted.version
        if noted.alias != CANARY or split is None or by != split.canary or by not in self.standing.candidates:
            return None
        return TwoVersions(split.stable, by)

    def note_refusal(self, noted: ServedRequest, request: PredictRequest) -> None:
        """Keeps a request that a version refused: its own failure if the other of stable and canary answers it, and
        else its caller's fault. Where there is no other, or the path named one, nobody asks.
        """
        other = self.beside(noted.alias, noted.version)
        if other is None:
            self._request_log.add_request(noted)
        else:
            self._begin(self._judge_refusal(noted, request, other))

    def beside(self, alias: str, number: int) -> Answering | None:
        """Returns the other of stable and canary for a version that answers under an alias; None without another, or
        where the path named the version.
        """
        split = self.standing.split
        other = None if split is None else {STABLE: split.canary, CANARY: split.stable}.get(alias)
        return None if other in (None, number) else self.standing.by_number[int(other or 0)]

    async def _judge_refusal(self, noted: ServedRequest, request: PredictRequest, other: Answering) -> None:
        failed = await self._second.is_answered(other, request) is True
        self._request_log.add_request(replace(noted, failed=failed))
        two = self._two_of(noted)
        if failed and two is not None:
            self._second.note_failure(noted.caller, two)

    def _evidence_of(self, given: Given, other: int) -> TwoVersions | None:
        """Returns stable and the candidate where these are the two that answer, and no path named one."""
        stable, both = self.standing.aliases[STABLE], {given.by, other}
        if not given.alias or stable not in both:
            return None
        candidate = (both - {stable}).pop()
        return TwoVersions(stable, candidate) if candidate in self.standing.candidates else None

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _load(self, number: int) -> LoadedVersion:
        loaded = LoadedVersion(self.model.version(number))
        loaded.warm_up(self._batching.most)
        _collect()
        return loaded

    def _switch(self) -> None:
        """Serves each alias by the version it points to, or as before while that is not in memory."""
        wanted = history.current_aliases(self.entries)
        ready = self._ready()
        aliases = {alias: number for alias, number in wanted.items() if number in ready}
        stable = aliases.get(STABLE, self.standing.aliases.get(STABLE))
        if stable is not None:
            aliases[STABLE] = stable
        rollout = history.rollout(self.entries)
        split, schedule = None, None
        if stable is not None:
            split = Split(stable)
            if rollout is not None and rollout.version in ready and not rollout.paused:
                split = Split(stable, rollout.version, rollout.percent, rollout.step)
                schedule = ready[rollout.version].loaded.schedule
        needed = {*wanted.values(), *aliases.values()}
        in_memory = self.standing.by_number
        kept = {number: answering for number, answering in in_memory.items() if number in needed}
        for number in set(in_memory) - set(kept):
            self._begin(self._retire(in_memory[number]))
        beside = {aliases[alias] for alias in (CANARY, SHADOW) if alias in aliases}
        candidates = frozenset(number for number in beside if self._waits_for_proof(ready[number]))
        canary = None if split is None else split.canary
        asks_stable_too = canary is not None and (compares_with_stable(schedule) or canary in candidates)
        self.standing = Standing(
            by_number=kept,
            aliases=aliases,
            split=split,
            asks_stable_too=asks_stable_too,
            candidates=candidates,
        )
        self._metrics.canary_percent.labels(self.model.name).set(split.percent if split else 0)
        self._metrics.alias.clear()
        for alias, number in aliases.items():
            self._metrics.alias.labels(self.model.name, alias).set(number)
        self._metrics.stable_by.clear()
        if stable is not None and stable == wanted.get(STABLE):
            by = history.released_by(self.entries, stable)
            self._metrics.stable_by.labels(self.model.name, stable, by).set(1)

    def _ready(self) -> dict[int, Answering]:
        """Returns the versions in memory that are the journal's: another journal gives their numbers to others."""
        released = {one.version: one.manifest_sha256 for one in history.publications(self.entries)}
        return {
            number: answering
            for number, answering in self.standing.by_number.items()
            if released.get(number) == answering.loaded.version.manifest_sha256
        }

    def _waits_for_proof(self, candidate: Answering) -> bool:
        """Whether what it says beside stable is still evidence, and not only a cost."""
        number, schedule = candidate.loaded.number, candidate.loaded.schedule
        return keeps_pairs(schedule) and history.proof_of(self.entries, number) is None

    def _replace(self, **changes: Any) -> None:
        self.standing = replace(self.standing, **changes)

    async def _retire(self, answering: Answering) -> None:
        while answering.in_flight:
            await asyncio.sleep(LOOK_SECONDS)
        number = answering.loaded.number
        await asyncio.get_running_loop().run_in_executor(self._loading, answering.end)
        del answering
        await asyncio.get_running_loop().run_in_executor(self._loading, _collect)
        log.info("version %d is no longer in memory", number)

    def _journal_state(self) -> tuple[bytes, int, int] | None:
        """Returns what changes when the journal does: SQLite's own count of its changes, the size, and which file it
        is, since another may be put in its place.
        """
        try:
            with self.model.files.journal.open("rb") as stream:
                status = os.fstat(stream.fileno())
                return stream.read(100)[24:28], status.st_size, status.st_ino
        except OSError:
            return None


def _in_words(aliases: Mapping[str, int]) -> str:
    return ", ".join(f"{alias} {number}" for alias, number in aliases.items()) or "none"


def _collect() -> None:
    """Collects garbage, and takes what is left from every later collection: a version's objects are a million.

    Without it a full collection, which comes every few thousand requests, stops all callers for a quarter of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
