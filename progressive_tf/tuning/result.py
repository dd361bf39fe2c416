"""What a trial found, as its folder keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from progressive_tf.files import read_json, write_json

FILE = "result.json"


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        trial: its number, four digits.
        origin: what proposed its values: `plan`, `best of <stage>`, or the oracle's name.
        values: by key, as the plan has them; without those that stay as they are in the plan.
        status: `feasible`; `infeasible` where it loses too much on an earlier stage; `crashed`.
        metric: on the stage's validation rows, a mean over seeds; None where it crashed.
        by_seed: the same for each seed.
        drops: by earlier stage, how much worse its validation rows are answered than before the stage.
        epochs: finished epochs, of all seeds, with those of a trial that it continues.
        whole: whether it was given all of the stage's epochs; hyperband gives most trials fewer.
        seconds: that the last process spent on it.
        continues: the trial whose training it continues, or None.
        reason: why it crashed, or None.
    """

    trial: str
    origin: str
    values: Mapping[str, Any]
    status: Literal["feasible", "infeasible", "crashed"]
    metric: float | None = None
    by_seed: tuple[float, ...] = ()
    drops: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 0
    whole: bool = True
    seconds: float = 0.0
    continues: str | None = None
    reason: str | None = None

    @property
    def worst_drop(self) -> float | None:
        """The largest loss on an earlier stage; None where there is none."""
        return max(self.drops.values(), default=None)

    def save(self, folder: Path) -> None:
        """Writes the trial's result.json."""
        write_json(folder / FILE, asdict(self))


def read_results(folder: Path) -> list[TrialResult]:
    """Returns the finished trials of a sweep, in order.

    Args:
        folder: of the sweep.
    """
    return [read_result(path.parent) for path in sorted(folder.glob(f"trial_*/{FILE}"))]


def read_result(folder: Path) -> TrialResult:
    """Returns what the folder of a finished trial keeps."""
    found = read_json(folder / FILE)
    return TrialResult(**found | {"by_seed": tuple(found["by_seed"])})


def best_of(results: Iterable[TrialResult], maximize: bool) -> TrialResult | None:
    """Returns the feasible trial with the best metric, the first of equal ones; None where there is none.

    Where a trial was given all of the stage's epochs, those that were given fewer do not win.
    """
    feasible = [each for each in results if each.status == "feasible" and each.metric is not None]
    feasible = [each for each in feasible if each.whole] or feasible
    return (max if maximize else min)(feasible, key=lambda each: each.metric or 0.0, default=None)
