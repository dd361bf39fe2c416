"""How many of the inputs that a version was asked are like nothing it has learnt, beside its stage's gate rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from progressive_tf.monitoring.live_metrics import interval_of_accuracy
from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.monitoring.reference import Rows


@dataclass(frozen=True)
class UnknownShare:
    """The share of unknown inputs.

    Args:
        answers: whose version says so.
        callers: who asked.
        share: of these answers, in [0, 1].
        low: lower end of its 95 % interval, as wide as the callers make it; see `interval_of_accuracy`.
        high: upper end.
        reference: the share of the rows that these are compared with; None where that is not known.
        reference_name: what those rows are, in words.
    """

    answers: int
    callers: int
    share: float
    low: float
    high: float
    reference: float | None = None
    reference_name: str = ""

    @property
    def words(self) -> str:
        """Both shares in a line."""
        live = (
            f"unknown inputs: {100 * self.share:.1f} % [{100 * self.low:.1f}–{100 * self.high:.1f}] of "
            f"{self.answers:,} answers to {self.callers:,} callers"
        )
        if self.reference is None:
            return live
        return f"{live}, beside {100 * self.reference:.1f} % of {self.reference_name}"


def unknown_share(live: LiveRows, reference: Rows | None) -> UnknownShare | None:
    """Returns the share of unknown inputs; None where no version says which are.

    Args:
        live: what was asked.
        reference: what that is compared with.
    """
    said = live.answers[live.answers["is_unknown"].notna()]
    if not len(said):
        return None
    flags, callers = said["is_unknown"].to_numpy() > 0, said["caller"].to_numpy()
    low, high = interval_of_accuracy(flags, callers)
    found = UnknownShare(len(flags), int(said["caller"].nunique()), float(flags.mean()), low, high)
    if reference is None or not len(reference.unknown):
        return found
    return replace(found, reference=float(reference.unknown.mean()), reference_name=reference.name)
