"""What is counted about the canary under way, step by step, and what that says; the same for a server and a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry.history import (
    CANARY,
    STABLE,
    Rollout,
    current_aliases,
    evidence_since,
    rollout,
    shadow,
)
from progressive_tf.registry.journal import ALIAS, WIDEN, Entry
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.tables import rollout_text
from progressive_tf.registry.traffic import Traffic, minutes_since
from progressive_tf.serving.canary_decision import CanaryDecision, advise, counted_of_step, decide
from progressive_tf.serving.pairs import TwoVersions
from progressive_tf.serving.proof import Proof, keeps_pairs, proof_of, recorded_proof
from progressive_tf.serving.step_counts import StepCounts
from progressive_tf.serving.store import Store, StoreError, store_path

# A request is slow for which the network takes longer than the schedule's multiple of this quantile of stable's answers
# in batches of its size before the step, of which there have to be so many.
QUANTILE, FEWEST_BEFORE = 0.95, 20


def steps_of_rollout(entries: Sequence[Entry]) -> list[int]:
    """Returns the steps of the canary under way, as the store counts them, the present one last."""
    began = max(entry.id for entry in entries if entry.event == ALIAS and entry.alias == CANARY)
    return [
        entry.id for entry in entries if entry.id >= began and entry.alias == CANARY and entry.event in (ALIAS, WIDEN)
    ]


def slow_limits(before: Mapping[int, Sequence[float]], schedule: ReleaseSchedule | None) -> dict[int, float]:
    """Returns from how many seconds on a request is slow, by the size of its batch; without the sizes of which too
    little is known of stable.

    Args:
        before: seconds that the network took for stable's newest answers before a step, by size.
        schedule: of the canary's plan; None for a plan without steps.
    """
    slowdown = (schedule or ReleaseSchedule()).max_slowdown
    return {
        size: float(np.quantile(seconds, QUANTILE)) * slowdown
        for size, seconds in before.items()
        if len(seconds) >= FEWEST_BEFORE
    }


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
    running, path = traffic.rollout(), store_path(folder, traffic.model.name)
    if running is None or not path.is_file():
        return None
    schedule, entries = traffic.schedule(), traffic.model.entries()
    stable = current_aliases(entries).get(STABLE)
    with contextlib.closing(Store(path, only_reads=True)) as store:
        store.read_by(entries, LabelLineage.read(traffic.model))
        counts = [
            store.step_counts(step, slow_limits(store.seconds_before(step, stable), schedule), stable)
            for step in steps_of_rollout(entries)
        ]
        proof = read_proof(store, entries, running.version, schedule)
    return judge(counts, running, minutes_since(evidence_since(entries, running)), schedule, proof)


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
            store.read_by(entries, LabelLineage.read(traffic.model))
            proof = read_proof(store, entries, running.version, schedule)
    except StoreError as error:
        return [*lines, f"  no evidence: {error}"]
    said = [] if proof is None else [f"  proof: {proof.says}", f"  {proof.lacks}"]
    return [*lines, *filter(str.strip, said)]


def counted_now(traffic: Traffic, folder: Path) -> tuple[int, int]:
    """Returns how many answers and judged answers of the canary count at its present step, see `counted_of_step`;
    none where no server has kept anything, or its plan has no steps.
    """
    path, entries, schedule = store_path(folder, traffic.model.name), traffic.model.entries(), traffic.schedule()
    running = rollout(entries)
    if running is None or schedule is None or not path.is_file():
        return 0, 0
    with contextlib.closing(Store(path, only_reads=True)) as store:
        store.read_by(entries, LabelLineage.read(traffic.model))
        counts = store.step_counts(running.step, stable=current_aliases(entries).get(STABLE))
    return counted_of_step(counts.canary, schedule)


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
