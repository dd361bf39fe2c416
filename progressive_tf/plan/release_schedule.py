"""How a promoted stage reaches its callers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from progressive_tf.plan.methods import Strict, tuple_from_list

Percent = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(gt=0, lt=1)]


class ReleaseSchedule(Strict):
    """A promoted stage becomes the canary, for the first of the steps; without it a promoted stage becomes stable.

    Where nothing is stable yet there are no callers to share, and it becomes stable at once.
    """

    steps: Annotated[tuple[Percent, ...], BeforeValidator(tuple_from_list), Field(min_length=2)] = (1, 5, 25, 50, 100)
    min_samples: int = Field(default=200, ge=1)
    min_judged: int = Field(default=0, ge=0)
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    automatic: bool = True
    alpha: Share = 0.05
    max_error_rate: Share = 0.05
    max_slowdown: Annotated[float, Field(ge=1)] = 2.0
    max_disagreement: Share | None = None
    max_drift: Share | None = None

    @field_validator("steps")
    @classmethod
    def _widen_up_to_all(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)) or steps[-1] != 100:
            raise ValueError(
                f"percentages that rise and end with 100 expected; got {', '.join(map('{:g}'.format, steps))}"
            )
        return steps
