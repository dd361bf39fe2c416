"""What is counted about the canary under way, step by step, and what that says; the same for a server and a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry.history import CANARY, STABLE, Rollout, current_aliases, shadow
from progressive_tf.registry.journal import ALIAS, WIDEN, Entry
from progressive_tf.registry.tables import rollout_text
from progressive_tf.registry.traffic import Traffic, minutes_since
from progressive_tf.serving.canary_decision import CanaryDecision, advise, decide
from progressive_tf.serving.pairs import TwoVersions
from progressive_tf.serving.proof import Proof, keeps_pairs, proof_of, recorded_proof
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
    counts: Sequence[StepCounts],
    rollout: Rollout,
    minutes: float,
    schedule: ReleaseSchedule | None,
    proof: Proof | None,
) -> CanaryDecision:
    """Returns what the counts of all steps say of a canary that has been at its step for so many minutes, and what is
    shown of it.
    """
    if schedule is None:
        return advise(counts, rollout.percent, proof)
    return decide(counts, minutes, schedule, proof)


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
        proof = read_proof(store, traffic.model.entries(), rollout.version, schedule)
    return judge(counts, rollout, minutes_since(rollout.since), schedule, proof)


def read_proof(
    store: Store, entries: Sequence[Entry], candidate: int, schedule: ReleaseSchedule | None
) -> Proof | None:
    """Returns what is shown of a candidate beside what is stable now; None where its plan asks for no proof."""
    stable = current_aliases(entries).get(STABLE)
    if stable is None or not keeps_pairs(schedule):
        return None
    shown = recorded_proof(entries, candidate)
    return shown or proof_of(store.paired(TwoVersions(stable, candidate)), schedule, time.time())


def shadow_lines(traffic: Traffic, folder: Path) -> list[str]:
    """Returns in words what is shown of the shadow beside stable, given the server's `--store`; none without one."""
    entries, path = traffic.model.entries(), store_path(folder, traffic.model.name)
    running = shadow(entries)
    if running is None:
        return []
    release = (traffic.model.version(running.version).manifest() or {}).get("release")
    schedule = None if release is None else ReleaseSchedule.of_version(release)
    lines = [f"shadow: version {running.version}, which answers no caller"]
    try:
        if not path.is_file():
            raise StoreError(f"no server has kept an answer in {folder}; give its folder with --store")
        with contextlib.closing(Store(path, only_reads=True)) as store:
            proof = read_proof(store, entries, running.version, schedule)
    except StoreError as error:
        return [*lines, f"  no evidence: {error}"]
    said = [] if proof is None else [f"  proof: {proof.says}", f"  {proof.lacks}"]
    return [*lines, *filter(str.strip, said)]


def present_counts(traffic: Traffic, folder: Path) -> VersionCounts:
    """Returns what the canary has done at its present step; nothing where no server has kept anything."""
    path, rollout = store_path(folder, traffic.model.name), traffic.rollout()
    if rollout is None or not path.is_file():
        return VersionCounts()
    with contextlib.closing(Store(path, only_reads=True)) as store:
        return store.step_counts(rollout.step).canary


def canary_lines(traffic: Traffic, folder: Path) -> list[str]:
    """Returns in words how far the canary under way is, who decides on it, and what each metric says of it, given the
    server's `--store`; none without a canary.
    """
    if traffic.rollout() is None:
        return []
    lines = [rollout_text(traffic.rollout(), traffic.schedule())]
    try:
        decision = read_evidence(traffic, folder)
    except StoreError as error:
        return [*lines, f"  no evidence: {error}"]
    if decision is None:
        return [*lines, f"  no evidence: no server has kept an answer in {folder}; give its folder with --store"]
    lines.append(f"  {decision.outcome}: {decision.reason}")
    return [*lines, *(f"  {finding.metric}: {finding.says}" for finding in decision.findings)]
