"""What is counted about the canary under way, step by step, and what that says; the same for a server and a command."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from progressive_tf.plan.methods import ReleaseSchedule
from progressive_tf.registry.history import CANARY, STABLE, Rollout
from progressive_tf.registry.journal import ALIAS, WIDEN, Entry
from progressive_tf.registry.tables import rollout_text
from progressive_tf.registry.traffic import Traffic, minutes_since
from progressive_tf.serving.canary_decision import CanaryDecision, advise, decide
from progressive_tf.serving.step_counts import StepCounts, VersionCounts
from progressive_tf.serving.store import Store, StoreError, store_path

# A request is slow that takes longer than the schedule's multiple of this quantile of so many answers of stable.
QUANTILE, MOST_BEFORE, FEWEST_BEFORE = 0.95, 1000, 100


def steps_of_rollout(entries: Sequence[Entry]) -> list[int]:
    """Returns the steps of the canary under way, as the store counts them, the present one last."""
    began = max(entry.id for entry in entries if entry.event == ALIAS and entry.alias == CANARY)
    return [
        entry.id for entry in entries if entry.id >= began and entry.alias == CANARY and entry.event in (ALIAS, WIDEN)
    ]


def slow_limit(before: Sequence[float], schedule: ReleaseSchedule | None) -> float | None:
    """Returns from how many seconds on a request is slow; None where too little is known of stable.

    Args:
        before: seconds that stable's newest answers before a step took.
        schedule: of the canary's plan; None for a plan without steps.
    """
    if len(before) < FEWEST_BEFORE:
        return None
    slowdown = (schedule or ReleaseSchedule()).max_slowdown
    return float(np.quantile(before, QUANTILE)) * slowdown


def judge(
    counts: Sequence[StepCounts], rollout: Rollout, minutes: float, schedule: ReleaseSchedule | None
) -> CanaryDecision:
    """Returns what the counts of all steps say of a canary that has been at its step for so many minutes."""
    if schedule is None:
        return advise(counts, rollout.percent)
    return decide(counts, minutes, schedule)


def read_evidence(traffic: Traffic, folder: Path) -> CanaryDecision | None:
    """Returns what a server's `--store` says of the canary under way; None without a canary, or without a store.

    Raises StoreError where it cannot be read.
    """
    rollout, path = traffic.rollout(), store_path(folder, traffic.model.name)
    if rollout is None or not path.is_file():
        return None
    schedule, stable = traffic.schedule(), traffic.model.aliases().get(STABLE)
    with contextlib.closing(Store(path, only_reads=True)) as store:
        counts = [
            store.step_counts(step, slow_limit(store.seconds_before(step, MOST_BEFORE, stable), schedule), stable)
            for step in steps_of_rollout(traffic.model.entries())
        ]
    return judge(counts, rollout, minutes_since(rollout.since), schedule)


def present_counts(traffic: Traffic, folder: Path) -> VersionCounts:
    """Returns what the canary has done at its present step; nothing where no server has kept anything."""
    path, rollout = store_path(folder, traffic.model.name), traffic.rollout()
    if rollout is None or not path.is_file():
        return VersionCounts()
    with contextlib.closing(Store(path, only_reads=True)) as store:
        return store.step_counts(rollout.step).canary


def canary_lines(traffic: Traffic, folder: Path) -> list[str]:
    """Returns in words how far the canary under way is, who decides on it, and what each metric says of it, given the
    server's `--store`.
    """
    lines = [rollout_text(traffic.rollout(), traffic.schedule())]
    try:
        decision = read_evidence(traffic, folder)
    except StoreError as error:
        return [*lines, f"  no evidence: {error}"]
    if decision is None:
        return [*lines, f"  no evidence: no server has kept an answer in {folder}; give its folder with --store"]
    lines.append(f"  {decision.outcome}: {decision.reason}")
    return [*lines, *(f"  {finding.metric}: {finding.says}" for finding in decision.findings)]
