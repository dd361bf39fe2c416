"""A saboteur as a canary, by the server's own routing, store and decisions; simulated time, a request a second.

All that a drill has to do with `serving` stands here.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.drilling.saboteurs import OK, Given
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.registry.traffic import WHOLE
from progressive_tf.seeds import derive_seed
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.canary_decision import HOLD, ROLLBACK, WIDEN, CanaryDecision, compares_with_stable, decide
from progressive_tf.serving.canary_evidence import slow_limits
from progressive_tf.serving.pairs import MOST_OPEN, Pair, TwoVersions
from progressive_tf.serving.proof import Proof, keeps_pairs, proof_of
from progressive_tf.serving.routing import Split, caller_number
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.step_counts import MOST_BEFORE, StepCounts
from progressive_tf.serving.store import STORE_NAME, Store

BEGAN = 1_700_000_000.0  # seconds since 1970; the same in every drill
# The store is looked at after so many requests of a step, and later whenever a tenth more have come.
FEWEST_BETWEEN, MORE_BETWEEN = 100, 0.1
# How long stable takes: median seconds, and standard deviation of the logarithm.
MEDIAN_SECONDS, SPREAD = 0.02, 0.3
# A step is given up, and left to a person, after so many times the requests that its min_samples take, and some more.
PATIENCE, MORE = 1.5, 1000
ALONE = 1  # the size of every batch: what is simulated is one caller after the other
UNPROVED, HELD = "not proved", "held at a step"


@dataclass(frozen=True)
class Played:
    """What became of a canary.

    Args:
        caught_by: the metric that took it back; `not proved`, or `held at a step`, where a person decides; None where
            it became stable.
        reason: in words.
        requests: that came until then.
        labels: that were given until then.
        harmed: callers that it answered wrongly, not at all, or slowly, where stable's answer was right.
        released: when it became stable, seconds since 1970; None where it did not.
    """

    caught_by: str | None
    reason: str
    requests: int
    labels: int
    harmed: int
    released: float | None


@dataclass(frozen=True)
class Traffic:
    """How callers come, and what they say.

    Args:
        schedule: of the release.
        feedback: the part of answers whose right label a user sends, in [0, 1].
        seed: of the order of callers, their seconds and who sends a label.
    """

    schedule: ReleaseSchedule
    feedback: float
    seed: int


@dataclass
class _Counted:
    requests: int = 0
    labels: int = 0
    harmed: set[int] = field(default_factory=set)


class CanaryPlay:
    """One saboteur before callers, from the first step of its schedule on.

    Args:
        folder: where its store is made.
        subject: the version that it stands beside, with the rows that callers ask.
        given: the saboteur's answers to them.
        traffic: how callers come.

    Attributes:
        path: of the store.
        number: the saboteur's.
    """

    def __init__(self, folder: Path, subject: Subject, given: Given, traffic: Traffic) -> None:
        asked, stable, self._kind = subject.callers, subject.version.number, subject.kind
        self._served = served_answers(asked.answers.kind)
        self.path, self.number = folder / STORE_NAME, stable + 1
        self._asked, self._given, self._traffic = asked, given, traffic
        self._two = TwoVersions(stable, self.number)
        self._truth = list(map(self._kind.kept, self._kind.truth(asked.answers)))
        answers = asked.answers, given.answers
        self._plain = [self._kind.said(side) for side in answers]
        self._said = [list(map(self._kind.kept, side)) for side in self._plain]
        self._stated = [self._kind.stated(side) for side in answers]
        self._is_right = [asked.right, given.answers.right & (given.status == OK)]
        self._generator = np.random.default_rng(traffic.seed)
        self._coming = callers_in_order(asked, traffic.seed)
        self._counted = _Counted()
        self._slow_beyond = math.inf
        self._proof: Proof | None = None

    def play(self) -> Played:
        """Returns what becomes of it."""
        with contextlib.closing(Store(self.path)) as store:
            with store.reading() as connection:
                connection.execute("PRAGMA synchronous = OFF")  # nobody needs it after a power cut
            self._warm_up(store)
            decision, caught_by = self._rollout(store)
            released = None
            if caught_by is None:
                released = self._now + 0.5  # between its last request as a canary and the next
                self._as_stable(store)
        counted = self._counted
        # The forecast of dates is of simulated ones.
        reason = decision.reason.partition(", at the present rate")[0]
        return Played(caught_by, reason, counted.requests, counted.labels, len(counted.harmed), released)

    @property
    def _now(self) -> float:
        return BEGAN + self._counted.requests

    def _seconds(self) -> float:
        return float(MEDIAN_SECONDS * np.exp(SPREAD * self._generator.standard_normal()))

    def _warm_up(self, store: Store) -> None:
        """Keeps answers of stable from before, which say how long it takes."""
        before = [BEGAN - MOST_BEFORE + place for place in range(MOST_BEFORE)]
        stable = self._two.stable
        store.add(
            ServedRequest(
                time, stable, STABLE, 0, OK, 0.0, caller=place, stable=stable, computed=self._seconds(), size=ALONE
            )
            for place, time in enumerate(before)
        )

    def _rollout(self, store: Store) -> tuple[CanaryDecision, str | None]:
        """Returns the last decision, and who caught it; None where it has become stable."""
        schedule, counts = self._traffic.schedule, list[StepCounts]()
        percent, step = schedule.steps[0], 1
        while percent < WHOLE:
            split = Split(self._two.stable, self._two.candidate, percent, step)
            decision, caught_by = self._step(store, split, counts)
            if caught_by is not None:
                return decision, caught_by
            percent, step = schedule.after(percent), step + 1
        return decision, None

    def _step(self, store: Store, split: Split, counts: list[StepCounts]) -> tuple[CanaryDecision, str | None]:
        """Plays a step, whose counts come behind those of the steps before; returns as `_rollout` does."""
        schedule, began = self._traffic.schedule, self._counted.requests
        most = PATIENCE * schedule.min_samples * 100 / split.percent + MORE
        limits = slow_limits(store.seconds_before(split.step, split.stable), schedule)
        self._slow_beyond = limits.get(ALONE, math.inf)
        counts.append(StepCounts())
        while True:
            self._ask(store, split, max(FEWEST_BETWEEN, int(MORE_BETWEEN * (self._counted.requests - began))))
            self._answer_questions(store)
            counts[-1] = store.step_counts(split.step, limits, split.stable)
            if keeps_pairs(schedule) and not (self._proof and self._proof.is_shown):
                self._proof = proof_of(store.paired(self._two), schedule, self._now)
            passed = self._counted.requests - began
            decision = decide(counts, passed / 60, schedule, self._proof)
            if decision.outcome == ROLLBACK:
                return decision, next(found.metric for found in decision.findings if found.is_harm)
            if decision.outcome == WIDEN:
                return decision, None
            if decision.outcome == HOLD or passed > most:
                is_proved = not schedule.needs_proof or (self._proof is not None and self._proof.is_shown)
                return decision, HELD if is_proved else UNPROVED

    def _ask(self, store: Store, split: Split, many: int) -> None:
        requests, shadows, pairs, told = list[ServedRequest](), list[Shadowed](), list[Pair](), list[Feedback]()
        for _ in range(many):
            row, key = next(self._coming)
            alias = split.alias_for(key)
            request = self._request(row, key, alias, split.step)
            requests.append(request)
            prediction = request.answers[0].id if request.answers else None
            status = int(self._given.status[row])
            if alias == CANARY and prediction and compares_with_stable(self._traffic.schedule):
                said, stated = self._said[0][row], self._stated[0][row]
                shadows.append(Shadowed(request.time, prediction, split.stable, said, stated, None))
            if keeps_pairs(self._traffic.schedule):
                pairs.append(
                    Pair(
                        request.time,
                        self._two,
                        request.caller,
                        self._said[0][row],
                        self._said[1][row],
                        prediction,
                        status != OK,
                        f"{self._counted.requests} {row}",
                    )
                )
            if prediction is not None and self._generator.random() < self._traffic.feedback:
                told.append(Feedback(prediction, self._truth[row]))
        store.add(requests, shadows, pairs)
        self._tell(store, told)

    def _request(
        self, row: int, key: str, alias: str, step: int, given: dict[str, object] | None = None
    ) -> ServedRequest:
        """Returns a request that is answered now, and counts it."""
        seconds, is_candidate = self._seconds(), alias == CANARY or step == 0
        status, version = OK, self._two.stable
        caller = caller_number(key)
        if is_candidate:
            status, version = int(self._given.status[row]), self._two.candidate
            slow = seconds * float(self._given.slowness[row])
            is_slow = seconds <= self._slow_beyond < slow
            if self._is_right[0][row] and (not self._is_right[1][row] or is_slow):
                self._counted.harmed.add(caller)
            seconds = slow
        self._counted.requests += 1
        said = [
            Answered(f"{self._counted.requests}", self._said[is_candidate][row], self._stated[is_candidate][row], given)
        ]
        # Stable answers whatever a saboteur refuses, so that this is the saboteur's own failure.
        return ServedRequest(
            self._now,
            version,
            alias,
            step,
            status,
            seconds,
            said if status == OK else (),
            caller,
            self._two.stable,
            failed=status != OK,
            computed=seconds,
            size=ALONE,
        )

    def _tell(self, store: Store, told: list[Feedback]) -> None:
        for feedback in told:
            store.add_feedback(feedback, self._now)
        self._counted.labels += len(told)

    def _answer_questions(self, store: Store) -> None:
        if not keeps_pairs(self._traffic.schedule):
            return
        for question in store.questions(self._two, MOST_OPEN, self._served):
            row = int(question["question_id"].split()[1])
            store.answer_question(question["question_id"], self._truth[row])
            self._counted.labels += 1

    def _as_stable(self, store: Store) -> None:
        """Keeps its answers to every row, once, after it has become stable."""
        requests, told = [], []
        for row in self._generator.permutation(len(self._asked)).tolist():
            asked = self._asked.inputs[row]
            given = None if asked is None else {**asked, **self._kind.beside_input(self._plain[1][row])}
            requests.append(self._request(row, f"{row} at last", STABLE, 0, given))
            if requests[-1].answers and self._generator.random() < self._traffic.feedback:
                told.append(Feedback(requests[-1].answers[0].id, self._truth[row]))
        store.add(requests)
        self._tell(store, told)


def callers_in_order(asked: Asked, seed: int) -> Iterator[tuple[int, str]]:
    """Yields rows in an order of chance, each with the key of who asks; next time round they are new callers."""
    generator, lap = np.random.default_rng(derive_seed(seed, "callers")), 0
    while True:
        for row in generator.permutation(len(asked)).tolist():
            key = f"{row} of {seed}" if asked.callers is None else asked.callers[row]
            yield row, f"{key} {lap}" if lap else key
        lap += 1


def callers_of(path: Path) -> dict[int, str]:
    """Returns who sent each request of a store, by the request's number."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return {number: str(caller) for number, caller in connection.execute("SELECT id, caller FROM requests")}
