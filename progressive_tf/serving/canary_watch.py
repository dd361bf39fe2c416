"""Decides by itself what becomes of a canary whose plan has a schedule, and says the evidence of any other."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import history
from progressive_tf.registry.errors import RegistryBusyError
from progressive_tf.registry.history import CANARY, SERVER, SHADOW, Rollout
from progressive_tf.registry.traffic import Traffic, minutes_since
from progressive_tf.serving import canary_decision
from progressive_tf.serving.canary_decision import CanaryDecision, decide_shadow
from progressive_tf.serving.canary_evidence import judge, slow_limits, steps_of_rollout
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import TwoVersions
from progressive_tf.serving.proof import Proof, keeps_pairs, proof_of, recorded_proof
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.step_counts import StepCounts
from progressive_tf.serving.store import StoreError

LOOK_SECONDS = 1.0
# Of the time at most this share goes into counting, which takes longer the more a step has.
MOST_OF_THE_TIME = 0.05
# What is decided here waits for no lock: it is judged anew at the next look, and may be a rollback by then.
LOCK_SECONDS = 0.0
# So long another process may write to the model, as while it exports a version, before that is said to be a problem.
BUSY_SECONDS = 600.0

log = logging.getLogger("progressive_tf.serving")


class CanaryWatch:
    """Looks at the evidence about the canary every second, and widens it or takes it back where its plan says so."""

    def __init__(self, served: ServedModel, request_log: RequestLog, metrics: Metrics) -> None:
        self.latest: CanaryDecision | None = None
        self.of_shadow: CanaryDecision | None = None
        self.problems: tuple[str, ...] = ()  # why what was decided cannot be done
        self._served = served
        self._request_log = request_log
        self._metrics = metrics
        self._slow_beyond: dict[tuple[int, int, int], dict[int, float]] = {}
        self._began: dict[tuple[int, int, str], float] = {}
        self._said: dict[str, str] = {}
        self._busy: dict[str, float] = {}  # since when another process keeps what was decided from being done
        self._has_counted = False
        self._took = 0.0  # seconds of counting, of this look

    async def follow(self) -> None:
        """Decides, until it is cancelled; what cannot be read or written now is tried again."""
        while True:
            self._took = 0.0
            if self._served.is_read and self._request_log.follows(self._served.entries):
                of_canary = await self._looked(CANARY, self._look)
                self.problems = of_canary + await self._looked(SHADOW, self._look_at_shadow)
            await asyncio.sleep(max(LOOK_SECONDS, self._took / MOST_OF_THE_TIME))

    async def _looked(self, alias: str, look: Callable[[], Awaitable[None]]) -> tuple[str, ...]:
        """Looks once at a canary or shadow, and returns why what was decided about it cannot be done, if it cannot."""
        busy_since = self._busy.pop(alias, time.monotonic())
        try:
            await look()
        except RegistryBusyError:
            self._busy[alias] = busy_since
            if time.monotonic() - busy_since < BUSY_SECONDS:
                return ()
            message = f"another process has been writing to {self._served.model.name} for {BUSY_SECONDS / 60:g} minutes"
            message += " or more; what was decided is done once it has ended"
            self._say(message, message, about=alias)
            return (f"the {alias}: {message}",)
        except (InputError, StoreError) as error:  # somebody else has moved it, or it is the store's own problem
            self._say(str(error), str(error), logging.ERROR, alias)
        except (ProgressiveError, OSError) as error:
            self._say(str(error), str(error), logging.ERROR, alias)
            return (f"the {alias}: {error}",)
        return ()

    async def _look(self) -> None:
        split = self._served.standing.split
        if split is None or split.canary is None:
            self.latest = None
            self._metrics.canary_decision.clear()
            if self._has_counted:
                await self._request_log.forget_counts()
            self._has_counted = False
            return
        schedule = self._served.standing.by_number[split.canary].loaded.schedule
        entries = self._served.entries
        rollout = history.rollout(entries)
        if rollout is None or rollout.paused or rollout.step != split.step:
            return
        self._has_counted = True
        with self._counting():
            counts = [await self._counts(step, split.stable, schedule) for step in steps_of_rollout(entries)]
            proof = await self._proof(rollout, split.stable, schedule)
            self.latest = await self._in_thread(judge, counts, rollout, self._minutes(rollout), schedule, proof)
        self._count(rollout, self.latest)
        is_own = schedule is not None and schedule.automatic
        if not (is_own and self.latest.outcome == canary_decision.ROLLBACK):
            await self._note_proof(CANARY, rollout, split.stable, schedule, proof)
        if schedule is not None and is_own:
            await self._in_thread(self._act, rollout, schedule, self.latest, split.stable)
        else:
            self._tell(rollout, schedule, self.latest)

    async def _look_at_shadow(self) -> None:
        """Gives the shadow callers once it is shown to be good enough, where its plan has `shadow_first`."""
        standing, running = self._served.standing, history.shadow(self._served.entries)
        is_served = running is not None and standing.split is not None and running.version in standing.by_number
        schedule = standing.by_number[running.version].loaded.schedule if running is not None and is_served else None
        if running is None or standing.split is None or schedule is None:
            self.of_shadow = None
            return
        with self._counting():
            proof = await self._proof(running, standing.split.stable, schedule)
        decides = proof is not None and schedule.shadow_first
        self.of_shadow = decide_shadow(proof, self._minutes(running), schedule) if proof and decides else None
        is_harmful = self.of_shadow is not None and self.of_shadow.outcome == canary_decision.ROLLBACK
        if not (is_harmful and schedule.automatic):
            await self._note_proof(SHADOW, running, standing.split.stable, schedule, proof)
        if proof is None or self.of_shadow is None:
            return
        canary, which = history.rollout(self._served.entries), f"version {running.version}, the shadow"
        if self.of_shadow.outcome == canary_decision.HOLD:
            self._say(f"hold {running.step}", f"{which}, holds: {self.of_shadow.reason}", about=SHADOW)
        elif self.of_shadow.outcome == canary_decision.ROLLBACK and not schedule.automatic:
            self._say(f"harm {running.step}", f"{which}, is worse than stable: {self.of_shadow.reason}", about=SHADOW)
        elif self.of_shadow.outcome == canary_decision.ROLLBACK:
            await self._in_thread(self._traffic().withdraw, SHADOW, self.of_shadow.reason, running.step)
            log.warning("%s, is taken back: %s", which, self.of_shadow.reason)
        elif self.of_shadow.outcome == canary_decision.WIDEN and (canary is not None or not schedule.automatic):
            why = "its plan has release.automatic: false"
            why = why if canary is None else f"version {canary.version} is the canary"
            message = f"{which}: {proof.says}. It gets no callers yet, since {why}"
            self._say(f"shown {running.step} {why}", message, logging.INFO, SHADOW)
        elif self.of_shadow.outcome == canary_decision.WIDEN:
            act = self._traffic().end_shadow
            began = await self._in_thread(act, running.step, standing.split.stable, proof.says)
            log.info("version %d now answers %g %% of the callers: %s", began.version, began.percent, proof.says)

    async def _proof(self, running: Rollout, stable: int, schedule: ReleaseSchedule | None) -> Proof | None:
        """Returns what is shown of a candidate."""
        if not keeps_pairs(schedule):
            return None
        recorded = recorded_proof(self._served.entries, running.version)
        if recorded is not None:
            return recorded
        paired = await self._request_log.paired(TwoVersions(stable, running.version))
        return await self._in_thread(proof_of, paired, schedule, self._request_log.clock.now())

    async def _note_proof(
        self, alias: str, running: Rollout, stable: int, schedule: ReleaseSchedule | None, proof: Proof | None
    ) -> None:
        """Notes in the journal that a candidate is shown to be good enough for its plan, once: after `min_minutes` at
        the earliest, since those who ask most come first.
        """
        if proof is None or not proof.is_shown or schedule is None or self._minutes(running) < schedule.min_minutes:
            return
        if recorded_proof(self._served.entries, running.version) is None:
            await self._in_thread(self._traffic().prove, alias, running.version, stable, proof.says)

    def _traffic(self) -> Traffic:
        """Returns what the server itself does with the versions, which waits for no other process."""
        model = copy.copy(self._served.model)
        model.wait_seconds = LOCK_SECONDS
        return Traffic(model, SERVER)

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        """Measures what counting takes; what fails has counted nothing, and what is done afterwards is no counting."""
        began = time.monotonic()
        yield
        self._took += time.monotonic() - began

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def _counts(self, step: int, stable: int, schedule: ReleaseSchedule | None) -> StepCounts:
        which = (self._request_log.journal, step, stable)
        if which not in self._slow_beyond:
            self._slow_beyond[which] = slow_limits(await self._request_log.seconds_before(step, stable), schedule)
        return await self._request_log.step_counts(step, self._slow_beyond[which], stable)

    def _tell(self, rollout: Rollout, schedule: ReleaseSchedule | None, decision: CanaryDecision) -> None:
        """Says what the evidence is of a canary that the server leaves to a person."""
        name, canary = self._served.model.name, f"version {rollout.version}, the canary of {rollout.percent:g} %"
        why = "its plan has no release.steps" if schedule is None else "its plan has release.automatic: false"
        if decision.outcome == canary_decision.ROLLBACK:
            message = f"{canary}, is worse than stable: {decision.reason}. The server leaves it to you, since {why}"
            self._say(f"harm {rollout.step}", f"{message}: `release rollback {name}` takes it back")
        elif decision.outcome == canary_decision.WIDEN:
            message = f"{canary}, has given {decision.reason}: `release widen {name}` goes on, since {why}"
            self._say(f"widen {rollout.step}", message, logging.INFO)
        else:
            message = f"{canary}: the server decides nothing about it, since {why}. What the evidence says is in"
            self._say(
                f"person {rollout.step}", f"{message} /v1/models/{name}/canary and `release show {name}`", logging.INFO
            )

    def _minutes(self, rollout: Rollout) -> float:
        """Returns how long evidence is gathered at a step: by the clock when first seen, which may be set later."""
        now, since = time.monotonic(), history.evidence_since(self._served.entries, rollout)
        which = (self._request_log.journal, rollout.step, since)
        began = self._began.setdefault(which, now - 60 * minutes_since(since))
        return (now - began) / 60

    def _act(self, rollout: Rollout, schedule: ReleaseSchedule, decision: CanaryDecision, stable: int) -> None:
        """Does what was decided, unless somebody else has moved the canary in the meantime."""
        traffic = self._traffic()
        if decision.outcome == canary_decision.WIDEN:
            percent = schedule.after(rollout.percent)
            traffic.widen(percent, decision.reason, at_step=rollout.step, beside=stable)
            log.info("version %d now answers %g %% of the callers: %s", rollout.version, percent, decision.reason)
        elif decision.outcome == canary_decision.ROLLBACK:
            # Beside whichever is stable: another may be in the journal that is not loaded yet, or never will be.
            traffic.withdraw(CANARY, decision.reason, at_step=rollout.step)
            log.warning("version %d is taken back: %s", rollout.version, decision.reason)
        elif decision.outcome == canary_decision.HOLD:
            message = f"version {rollout.version} holds at {rollout.percent:g} %: {decision.reason}"
            self._say(f"hold {rollout.step}", message)

    def _count(self, rollout: Rollout, decision: CanaryDecision) -> None:
        which = (self._served.model.name, rollout.version)
        for outcome in canary_decision.OUTCOMES:
            self._metrics.canary_decision.labels(*which, outcome).set(outcome == decision.outcome)

    def _say(self, which: str, message: str, level: int = logging.WARNING, about: str = CANARY) -> None:
        """Logs what lasts once, not at every look."""
        if self._said.get(about) != which:
            log.log(level, "%s", message)
        self._said[about] = which
