"""How a plan asks for inputs to be marked that are like nothing its stages have learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from progressive_tf.plan.methods import Share, Strict
from progressive_tf.plan.networks import Text
from progressive_tf.plan.refusals import TASK_INCREMENTAL

ScoreName = Literal["nearest-neighbour", "nearest-mean", "mahalanobis", "confidence"]


class UnknownInputs(Strict):
    """After each stage, from which score on an input is like nothing learnt so far; versions say it of every input.

    `nearest-neighbour` is the distance to the nearest training row (Sun et al. 2022), of which the version keeps up to
    10,000; `nearest-mean` that to the nearest mean of a class; `mahalanobis` the same with one covariance within
    classes (Lee et al. 2018); `confidence` is one less the highest probability (Hendrycks & Gimpel 2017). Distances are
    of what the head's dense layer reads, as a direction and the logarithm of its length. Rows of `source` are measured
    and decide nothing.
    """

    score: ScoreName = "nearest-neighbour"
    flagged: Share = 0.05
    source: Text | None = None


def problem_with_unknown_inputs(scenario: str, stages: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns why a plan with these stages cannot have `unknown_inputs`, or None."""
    if scenario == TASK_INCREMENTAL:
        return f"unknown_inputs: an input that no class fits has no task either; drop it for scenario {scenario}"
    for index, stage in enumerate(stages):
        average = stage["retention"]["average"] or {}
        if stage["data"]["stream"] is not None:
            return (
                f"unknown_inputs: stages[{index}].data.stream: a stream's rows are not kept, so that nothing can be "
                f"measured on them; drop one of the two"
            )
        if average.get("kind") == "ensemble":
            return (
                f"unknown_inputs: stages[{index}].retention.average: what one network reads says nothing of the others "
                f"of an ensemble; drop one of the two"
            )
    return None
