"""A saboteur before the gate: the next stage after the version under drill, judged by the rules of that one's stage."""

from __future__ import annotations

import numpy as np

from progressive_tf.drilling.rows import Subject
from progressive_tf.drilling.saboteurs import Given
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, judge


def at_gate(subject: Subject, given: Given, seed: int) -> Decision:
    """Returns what the gate decides on a saboteur's answers beside the version's own.

    Args:
        subject: the version.
        given: the saboteur's answers to `subject.gate`.
        seed: of the bootstrap.
    """
    missing = int((~given.has_numbers).sum())
    if missing:
        return Decision("reject", f"no numbers in the answers to {missing} of {len(given.answers)} rows")
    callers = subject.gate.callers
    groups = None if callers is None else np.unique(callers, return_inverse=True)[1].astype(np.int64)
    every = [side.in_groups(groups).by_rule(subject.rule) for side in (given.answers, subject.gate.answers)]
    candidate, baseline = ({name: answers.take(rows) for name, rows in subject.slices.items()} for answers in every)
    beside_it = [rule.model_copy(update={"against": None}) for rule in subject.rules]  # the one version under drill
    return judge(beside_it, Compared(candidate, baseline, subject.previous), seed)
