"""How probabilities of classes become an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.costs import Costs

NOTHING = 2.0
"""Above every probability: of a model that abstains from everything."""


@dataclass(frozen=True)
class AnswerRule:
    """Whether an answer is given, and which.

    Attributes:
        abstain_below: the probability of the answer below which the model abstains; None: it always answers.
        costs: of wrong answers, by which the cheapest is given; None: the most probable one.
        among: how many of the classes, from the first, it decides among; None: all that it has outputs for.
    """

    abstain_below: float | None = None
    costs: Costs | None = None
    among: int | None = None

    @classmethod
    def of_abstention(cls, recorded: Mapping[str, Any] | None) -> AnswerRule:
        """Returns the rule of a stage or a version, from an `Abstention` as plain JSON; None where it has none."""
        if recorded is None:
            return cls()
        return cls(NOTHING if recorded["threshold"] is None else recorded["threshold"])

    @classmethod
    def of_version(cls, manifest: Mapping[str, Any]) -> AnswerRule:
        """Returns the rule of a version, from the content of its manifest.json."""
        costs, rule = manifest.get("costs"), cls.of_abstention(manifest.get("abstain"))
        return rule if costs is None else replace(rule, costs=Costs.of_json(costs))

    @classmethod
    def of_json(cls, recorded: Mapping[str, Any]) -> AnswerRule:
        """Returns what `to_json` gave."""
        costs = recorded.get("costs")
        return cls(recorded.get("abstain_below"), None if costs is None else Costs.of_json(costs))

    def to_json(self) -> dict[str, Any]:
        """Returns the rule as plain JSON, without what it does not have."""
        costs = None if self.costs is None else self.costs.to_json()
        recorded = {"abstain_below": self.abstain_below, "costs": costs}
        return {name: value for name, value in recorded.items() if value is not None}

    def predicted(self, probabilities: npt.NDArray[np.float64], labels: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns the answer to each row, the first one on a tie: int32 [rows].

        Args:
            probabilities: float64 [rows, classes].
            labels: the classes.
        """
        if self.costs is None:
            return probabilities.argmax(axis=1).astype(np.int32)
        return self.costs.cheapest(probabilities[:, : self.among], labels[: self.among])

    def answers(self, probability: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Returns which answers are given, bool [rows], from the probability of each, float64 [rows]."""
        if self.abstain_below is None:
            return np.ones(len(probability), bool)
        given: npt.NDArray[np.bool_] = probability >= self.abstain_below
        return given


ALWAYS = AnswerRule()
