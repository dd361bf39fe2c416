"""What a plan says about how a promoted stage reaches its callers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from progressive_tf.plan.methods import Share, Strict, tuple_from_list

Percent = Annotated[float, Field(gt=0, le=100)]
REQUIRED: Literal["required"] = "required"
HARM_ONLY: Literal["harm-only"] = "harm-only"


class ReleaseSchedule(Strict):
    """A promoted stage becomes the canary, for the first of the steps; without it a promoted stage becomes stable.

    Where nothing is stable yet there are no callers to share, and it becomes stable at once.
    """

    steps: Annotated[tuple[Percent, ...], BeforeValidator(tuple_from_list), Field(min_length=2)] = (1, 5, 25, 50, 100)
    min_samples: int = Field(default=200, ge=1)
    min_judged: int = Field(default=0, ge=0)
    min_minutes: Annotated[float, Field(ge=0)] = 10.0
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    automatic: bool = True
    alpha: Share = 0.05
    max_error_rate: Share = 0.05
    max_slowdown: Annotated[float, Field(ge=1)] = 2.0
    max_disagreement: Share | None = None
    max_drift: Share | None = None
    max_accuracy_drop: Share = 0.02
    proof: Literal["required", "harm-only"] = REQUIRED
    shadow_first: bool = False

    @field_validator("steps")
    @classmethod
    def _widen_up_to_all(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)) or steps[-1] != 100:
            raise ValueError(
                f"percentages that rise and end with 100 expected; got {', '.join(map('{:g}'.format, steps))}"
            )
        return steps

    @model_validator(mode="before")
    @classmethod
    def _takes_no_longer_than_it_may(cls, given: Any) -> Any:
        """Takes `max_minutes` for the least time too, where that is left out and would be longer."""
        longest = given.get("max_minutes") if isinstance(given, dict) and "min_minutes" not in given else None
        usual = cls.model_fields["min_minutes"].default
        return given if not isinstance(longest, int | float) or longest >= usual else given | {"min_minutes": longest}

    @model_validator(mode="after")
    def _may_take_as_long_as_it_must(self) -> ReleaseSchedule:
        if self.max_minutes is not None and self.max_minutes < self.min_minutes:
            raise ValueError(
                f"max_minutes: min_minutes, {self.min_minutes:g}, or more expected; got {self.max_minutes:g}"
            )
        return self

    @model_validator(mode="after")
    def _only_a_proof_ends_a_shadow(self) -> ReleaseSchedule:
        if self.shadow_first and not self.needs_proof:
            raise ValueError("shadow_first: a shadow gets callers by proof; drop it, or drop proof: harm-only")
        return self

    @classmethod
    def of_version(cls, release: Mapping[str, Any]) -> ReleaseSchedule:
        """Returns what a manifest has under `release`; one that another release wrote may have other keys.

        Plans of a release that knew no proof and no least time did not ask for them.
        """
        known = {"proof": HARM_ONLY, "min_minutes": 0.0} | dict(release)
        return cls.model_validate({name: known[name] for name in cls.model_fields if name in known})

    @property
    def needs_proof(self) -> bool:
        """Whether a version gets more callers only once it is shown to be good enough, see `paired_proof`."""
        return self.proof == REQUIRED

    def after(self, percent: float) -> float:
        """Returns the step after a percentage."""
        return next((step for step in self.steps if step > percent), 100.0)
