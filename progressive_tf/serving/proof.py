"""What the pairs of two versions show of the candidate, in words; and what was shown before, as the journal has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from progressive_tf.evaluation.paired_proof import Missing, is_shown, log_evidence_of_harm, lower_bound, missing
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import history
from progressive_tf.registry.history import CANARY, SHADOW, STABLE
from progressive_tf.registry.journal import Entry
from progressive_tf.serving.pairs import Paired, TwoVersions

# Behind every date that a forecast could name.
_LONGEST_SECONDS = 1000 * 365 * 86_400.0
_LARGEST_LOGARITHM = 700.0


@dataclass(frozen=True)
class Proof:
    """Whether a candidate is shown to be good enough beside stable.

    Args:
        is_shown: once and for all, for these two versions.
        says: what is known, in words.
        lacks: what is missing and until when it may come, in words; "" once it is shown.
        harm: the likelihood ratio for that it is worse by more than its plan allows, by the same labels; see
            `log_evidence_of_harm`.
    """

    is_shown: bool
    says: str
    lacks: str = ""
    harm: float = 1.0


def keeps_pairs(schedule: ReleaseSchedule | None) -> bool:
    """Whether stable and a candidate both answer every caller: where the plan asks for a proof, and where it says
    nothing and a person decides, who has nothing but the evidence.

    Args:
        schedule: of the candidate's plan; None for a plan without steps.
    """
    return schedule is None or schedule.needs_proof


def two_to_compare(aliases: Mapping[str, int]) -> TwoVersions | None:
    """Returns stable and the candidate beside it, the canary if there is one and else the shadow; None without."""
    candidate = aliases.get(CANARY, aliases.get(SHADOW))
    return None if candidate is None or STABLE not in aliases else TwoVersions(aliases[STABLE], candidate)


def recorded_proof(entries: Sequence[Entry], version: int) -> Proof | None:
    """Returns the proof that the journal has of a version beside what is stable now, or None."""
    entry = history.proof_of(entries, version)
    return None if entry is None else Proof(True, entry.reason or "shown before")


def proof_of(paired: Paired, schedule: ReleaseSchedule | None, now: float) -> Proof:
    """Returns what pairs show.

    Args:
        paired: of stable and the candidate.
        schedule: of the candidate's plan; None for a plan without steps.
        now: seconds since 1970.
    """
    rules = schedule or ReleaseSchedule()
    margin, alpha = rules.max_accuracy_drop, rules.alpha
    differs, gains = paired.differs, paired.gains
    judged = int((differs & paired.is_known).sum())
    low = lower_bound(differs, gains, margin, alpha)
    seen = f"{len(differs)} callers, {int(differs.sum())} disagreements, {judged} of them judged"
    enough = f"at most {100 * margin:g} points less accurate than stable"
    at_least = f"surely {100 * low:+.1f} points or better, by {seen}"
    evidence = float(log_evidence_of_harm(differs, paired.best_gains, margin).max(initial=0.0))
    harm = math.exp(min(evidence, _LARGEST_LOGARITHM))
    if is_shown(differs, gains, margin, alpha):
        return Proof(True, f"it is shown to be {enough}: {at_least}", harm=harm)
    left = missing(differs, gains, paired.is_known, margin, alpha)
    return Proof(False, f"it is not shown yet to be {enough}: {at_least}", _lacks(left, paired, judged, now), harm)


def _lacks(left: Missing, paired: Paired, judged: int, now: float) -> str:
    wanted = [f"{left.labels} judged disagreements"] if left.labels else []
    wanted += [f"{left.callers} callers"] if left.callers else []
    words = f"no proof yet: about {' and '.join(wanted)} are missing if it is as good as stable"
    if left.labels and not judged:
        return f"{words}, and no disagreement has been judged"
    if not len(paired.times):
        return f"{words}, and no caller has come"
    passed = max(now - float(paired.times[0]), 1.0)
    seconds = passed * max(left.labels / max(judged, 1), left.callers / len(paired.times))
    if seconds > _LONGEST_SECONDS:
        return words
    end = datetime.fromtimestamp(now + seconds, timezone.utc)
    return f"{words}, at the present rate until {end:%Y-%m-%d %H:%M} UTC"
