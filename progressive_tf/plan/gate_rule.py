"""A rule of a gate: one condition for promotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from progressive_tf.errors import unknown_name
from progressive_tf.plan.methods import EXPLANATION_CORRELATION, AgainstVersion, Strict
from progressive_tf.plan.metric_names import MetricName, find_metric, metric_patterns, range_words
from progressive_tf.plan.networks import Text

EVERY_PREVIOUS = "every-previous"
THRESHOLDS = ("at_least", "at_most", "drop_at_most", "at_least_rival")


class GateRule(Strict):
    """One condition for promotion: exactly one threshold on a metric of a slice.

    `drop_at_most` compares with released versions, in the direction in which the metric gets worse: with the last one,
    and as `against` says with another too. `at_least_rival` compares likewise with each of the plan's `rivals`: true
    allows the stage to fall behind none, a number to fall behind by so much. With `confidence` the one-sided bound must
    meet the threshold; without, the estimate decides.
    """

    metric: str
    slice: Text = "current"
    at_least: float | None = None
    at_most: float | None = None
    drop_at_most: Annotated[float, Field(ge=0)] | None = None
    against: Literal["released", "best", "first"] | AgainstVersion | None = None
    at_least_rival: Literal[True] | Annotated[float, Field(ge=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    min_samples: int = Field(default=30, ge=1)

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, name: str) -> str:
        if find_metric(name) is None and name != EXPLANATION_CORRELATION:
            raise ValueError(unknown_name("metric", name, [*metric_patterns(), EXPLANATION_CORRELATION]))
        return name

    @model_validator(mode="after")
    def _correlation_is_of_all_probes(self) -> GateRule:
        has_more = self.at_least is None or self.confidence is not None or self.slice != "current"
        if self.metric == EXPLANATION_CORRELATION and has_more:
            raise ValueError(f"{self.metric}: takes at_least alone, with no confidence and no slice")
        return self

    @model_validator(mode="after")
    def _one_threshold_in_range(self) -> GateRule:
        given = [key for key in THRESHOLDS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(THRESHOLDS)}; got {sorted(given) or 'none'}")
        key, value = self.threshold
        metric = self.metric_name
        least, most = (
            (0.0, metric.highest - metric.lowest) if self.drop_allowed is not None else (metric.lowest, metric.highest)
        )
        if not least <= value <= most:
            what = f"a drop of {self.metric}" if self.drop_allowed is not None else self.metric
            raise ValueError(f"{key}: {what} {range_words(least, most)}; got {value:g}")
        if self.slice == EVERY_PREVIOUS and key != "drop_at_most":
            raise ValueError("slice every-previous compares with the last released version; use drop_at_most")
        if self.against is not None and key != "drop_at_most":
            raise ValueError(f"against: {key} compares with no released version; use drop_at_most, or drop against")
        return self

    @classmethod
    def known_keys(cls, recorded: Any) -> Any:
        """Returns what a run has recorded of a rule, without keys that only another release has."""
        if not isinstance(recorded, Mapping):
            return recorded
        return {name: recorded[name] for name in cls.model_fields if name in recorded}

    @property
    def threshold(self) -> tuple[str, float]:
        """The key of its threshold, and the threshold."""
        key, value = next((key, value) for key in THRESHOLDS if (value := getattr(self, key)) is not None)
        return key, 0.0 if value is True else value

    @property
    def drop_allowed(self) -> float | None:
        """The most that may be lost, where it compares with another model on the same rows; None where it does not."""
        key, value = self.threshold
        return value if key in ("drop_at_most", "at_least_rival") else None

    @property
    def metric_name(self) -> MetricName:
        """The metric with its direction and range."""
        metric = find_metric(self.metric)
        if self.metric == EXPLANATION_CORRELATION:
            return MetricName(EXPLANATION_CORRELATION)
        if metric is None:
            raise ValueError(f"unknown metric {self.metric!r}")
        return metric
