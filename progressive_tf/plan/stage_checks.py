"""What stages ask for and cannot have, each with its place in the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progressive_tf.plan.schema import Plan, Stage

# A stage → what is wrong with it, beginning with the key; empty where nothing is.
StageCheck = Callable[["Stage"], str]
# What may change from stage to stage where the network's outputs do not.
SAME_OUTPUTS = ("data-incremental", "domain-incremental")


def stage_problems(plan: Plan, checks: Sequence[StageCheck]) -> Iterator[str]:
    """Yields what the checks find, stage by stage."""
    for index, stage in enumerate(plan.stages):
        for check in checks:
            problem = check(stage)
            if problem:
                yield f"stages[{index}].{problem}"
