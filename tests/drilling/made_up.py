"""A version with rows and answers that chance has made, about which nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tiny import LABELS, WORDS

from progressive_tf.drilling.answers.base import confidence
from progressive_tf.drilling.play import Drill
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.monitoring.reference import Rows
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import Version

RIGHT = 0.85
QUICK = ReleaseSchedule(steps=(20, 50, 100), min_samples=60)


def asked(rows: int, seed: int) -> Asked:
    """Returns rows of words, of which some answers are right, more surely than not."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, rows)
    said = np.where(generator.random(rows) < RIGHT, truth, 1 - truth)
    sure = generator.uniform(0.55, 0.9, rows)
    probabilities = np.where(np.arange(2) == said[:, None], sure[:, None], 1 - sure[:, None])
    texts = [" ".join(generator.choice(WORDS, generator.integers(2, 9))) for _ in range(rows)]
    return Asked([{"text": text} for text in texts], ClassAnswers(LABELS, truth, probabilities, len(LABELS)))


def subject(rows: int = 200, gate_rows: int = 600) -> Subject:
    """Returns a version whose gate forbids losing more than two points."""
    version = Version("made-up", 1, Path("gone"), "run", "stage", "", "", "", "2026-01-01T00:00:00+00:00", False, ())
    every = np.arange(gate_rows)
    return Subject(
        version=version,
        gate=asked(gate_rows, 1),
        slices={"stage": every, "current": every, "all": every},
        previous=("stage",),
        rules=(GateRule(metric="accuracy", slice="every-previous", drop_at_most=0.02, confidence=0.95),),
        schedule=QUICK,
        callers=asked(rows, 2),
        described="200 made-up rows",
    )


def reference(of: Subject) -> Rows:
    """Returns the version's answers to the rows of its gate."""
    rows = of.gate
    inputs = [given for given in rows.inputs if given is not None]
    stated = confidence(of.kind.stated(rows.answers))
    known = np.isfinite(stated)
    return Rows("the gate's rows", inputs, of.kind.said(rows.answers), stated, (stated[known], rows.right[known]))


def drill(orders: int = 1, feedback: float = 0.2, lenient: bool = False) -> Drill:
    """Returns a drill; a lenient one has a gate that lets everything through that has numbers."""
    of = subject()
    if lenient:
        of = replace(of, rules=(GateRule(metric="accuracy", at_least=0.0),))
    return Drill(of, reference(of), feedback, orders, seed=0)
