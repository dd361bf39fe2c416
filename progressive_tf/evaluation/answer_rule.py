"""How probabilities of classes become an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NOTHING = 2.0
"""Above every probability: of a model that abstains from everything."""


@dataclass(frozen=True)
class AnswerRule:
    """Whether an answer is given, and which.

    Attributes:
        abstain_below: the probability of the answer below which the model abstains; None: it always answers.
    """

    abstain_below: float | None = None

    @classmethod
    def of_abstention(cls, recorded: Mapping[str, Any] | None) -> AnswerRule:
        """Returns the rule of a stage or a version, from an `Abstention` as plain JSON; None where it has none."""
        if recorded is None:
            return cls()
        return cls(NOTHING if recorded["threshold"] is None else recorded["threshold"])

    @classmethod
    def of_json(cls, recorded: Mapping[str, Any]) -> AnswerRule:
        """Returns what `to_json` gave."""
        return cls(**recorded)

    def to_json(self) -> dict[str, Any]:
        """Returns the rule as plain JSON, without what it does not have."""
        return {} if self.abstain_below is None else {"abstain_below": self.abstain_below}

    def answers(self, probability: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Returns which answers are given, bool [rows], from the probability of each, float64 [rows]."""
        if self.abstain_below is None:
            return np.ones(len(probability), bool)
        given: npt.NDArray[np.bool_] = probability >= self.abstain_below
        return given


ALWAYS = AnswerRule()
