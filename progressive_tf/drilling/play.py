"""Each saboteur through gate, canary and monitor; the first that catches it ends it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from progressive_tf.drilling.answers.base import confidence
from progressive_tf.drilling.canary import CanaryPlay, Traffic
from progressive_tf.drilling.gate import at_gate
from progressive_tf.drilling.rows import Subject
from progressive_tf.drilling.saboteurs import Given, Saboteur
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.monitoring.drift import DriftTest, judged_together
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.reference import Rows, rows_of_live
from progressive_tf.monitoring.snapshot import drift_tests
from progressive_tf.seeds import derive_seed

GATE, CANARY, MONITOR, NOBODY = "gate", "canary", "monitor", "nobody"
ALPHA = 0.01  # as `monitor` has it
Read = tuple[Answers, Answers]


@dataclass(frozen=True)
class Outcome:
    """Who caught a saboteur in one order of callers.

    Args:
        by: gate, canary, monitor or nobody.
        how: the rule, the metric or the test; "" where nobody did.
        reason: in words.
        requests: that came until then; 0 where the gate caught it.
        labels: that were given until then.
        harmed: callers, see `Played`.
    """

    by: str
    how: str = ""
    reason: str = ""
    requests: int = 0
    labels: int = 0
    harmed: int = 0

    @property
    def in_words(self) -> str:
        """By whom and how."""
        return f"{self.by}: {self.how}" if self.how else self.by


@dataclass(frozen=True)
class Drilled:
    """What became of one saboteur.

    Args:
        name: the saboteur's.
        says: what it does, in words.
        outcomes: of each order of callers.
    """

    name: str
    says: str
    outcomes: Sequence[Outcome]

    @property
    def caught(self) -> int:
        """In how many orders it was caught."""
        return sum(outcome.by != NOBODY for outcome in self.outcomes)

    @property
    def ways(self) -> list[tuple[str, int]]:
        """Who caught it, in how many orders; the most frequent first."""
        return Counter(outcome.in_words for outcome in self.outcomes).most_common()

    @property
    def reason(self) -> str:
        """Why, in the first order that went the most frequent way."""
        return next(outcome.reason for outcome in self.outcomes if outcome.in_words == self.ways[0][0])

    def middle(self, name: str) -> float:
        """Returns the median over orders of `requests`, `labels` or `harmed`."""
        return float(median(getattr(outcome, name) for outcome in self.outcomes))


@dataclass(frozen=True)
class Drill:
    """How saboteurs are played.

    Args:
        subject: the version.
        reference: what the monitor compares with.
        feedback: the part of answers whose right label a user sends, in [0, 1].
        orders: of callers; >= 1.
        seed: of all that is left to chance.
    """

    subject: Subject
    reference: Rows
    feedback: float
    orders: int
    seed: int

    @property
    def notes(self) -> list[str]:
        """What is decided about how it is played, a line each."""
        rows, steps = len(self.subject.callers), self.subject.schedule.steps
        return [
            f"callers ask {self.subject.described}; where a canary needs more, they come again from new callers",
            f"steps of {', '.join(map('{:g}'.format, steps))} %; users label {self.feedback:.0%} of the answers, and "
            "every disagreement that is asked for",
            f"the monitor sees the answers to all {rows:,} rows beside {self.reference.name}",
            *(f"{about}, {name}: left out, the monitor finds drift whoever answers" for about, name in self.sounding),
            *self.subject.notes,
        ]

    @cached_property
    def sounding(self) -> list[tuple[str, str]]:
        """What the tests are about, with their names, that find drift in the version's own answers to the rows."""
        rows, kind = self.subject.callers, self.subject.kind
        stated = confidence(kind.stated(rows.answers))
        known = np.isfinite(stated)
        own = Rows(
            "the version's own answers",
            [given for given in rows.inputs if given is not None],
            kind.said(rows.answers),
            stated,
            (stated[known], rows.right[known]),
        )
        return [(test.about, test.name) for test in self._drifted(own)]

    def _drifted(self, live: Rows) -> list[DriftTest]:
        tests = drift_tests(self.reference, live, self.seed, self.subject.version.task)
        return [test for test in judged_together(tests, ALPHA) if test.is_drift]

    def play(
        self, saboteur: Saboteur, read: Read | None = None, done: Callable[[int], None] = lambda more: None
    ) -> Drilled:
        """Returns what becomes of a saboteur.

        Args:
            saboteur: that one.
            read: what the network answers to what it reads, where that is another text: to gate rows, and to callers'.
            done: told of each order that has ended.
        """
        gate, callers = given_by(self.subject, saboteur, self.seed, read)
        decision = at_gate(self.subject, gate, self.seed)
        outcomes = []
        for order in range(self.orders):
            outcomes.append(_by_gate(decision) if not decision.promoted else self.before_callers(callers, order))
            done(1)
        return Drilled(saboteur.name, saboteur.says, outcomes)

    def before_callers(self, given: Given, order: int) -> Outcome:
        """Returns who catches a saboteur that the gate lets through, given its answers to callers' rows."""
        subject = self.subject
        traffic = Traffic(subject.schedule, self.feedback, derive_seed(self.seed, "drill", order))
        with tempfile.TemporaryDirectory(prefix="drill-") as folder:
            canary = CanaryPlay(Path(folder), subject, given, traffic)
            played = canary.play()
            counts = played.requests, played.labels, played.harmed
            if played.released is None:
                return Outcome(CANARY, str(played.caught_by), played.reason, *counts)
            live = read_live_rows(canary.path, since=played.released).by(canary.number)
        drifted = self._drifted(rows_of_live(live, "live", self.seed))
        drifted = [test for test in drifted if (test.about, test.name) not in self.sounding]
        if not drifted:
            return Outcome(NOBODY, "", "it became stable, and the monitor finds no drift", *counts)
        first = min(drifted, key=lambda test: test.adjusted or 0.0)
        reason = f"{first.about}, {first.name}: {first.statistic} {first.value:.3f}, adjusted p {first.adjusted:.2g}"
        return Outcome(MONITOR, f"{first.about}, {first.name}", reason, *counts)


def given_by(subject: Subject, saboteur: Saboteur, seed: int, read: Read | None = None) -> tuple[Given, Given]:
    """Returns what a saboteur answers to gate rows and to callers' rows; for the arguments see `Drill.play`."""
    sides = subject.gate, subject.callers
    if read is not None:
        sides = sides[0].answered(read[0]), sides[1].answered(read[1])
    return saboteur.given(sides[0], True, seed), saboteur.given(sides[1], False, seed)


def _by_gate(decision: Decision) -> Outcome:
    return Outcome(GATE, f"{decision.decision}, {decision.reason.partition(':')[0]}", decision.reason)
