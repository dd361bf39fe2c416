"""What it costs to answer a row of one class with another, and the answer that is cheapest to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
USUAL = 1.0
"""The cost of a wrong answer of which nothing is said."""


@dataclass(frozen=True)
class Costs:
    """Costs of wrong answers; a right one costs nothing.

    Attributes:
        given: true class, answer, and what that costs, ≥ 0, of the pairs that do not cost the usual.
    """

    given: tuple[tuple[str, str, float], ...]

    @classmethod
    def of_json(cls, recorded: Mapping[str, Mapping[str, float]]) -> Costs:
        """Returns the costs from {true class: {answer: cost}}."""
        return cls(tuple((true, said, float(cost)) for true, of in recorded.items() for said, cost in of.items()))

    def to_json(self) -> dict[str, dict[str, float]]:
        """Returns them as `of_json` takes them."""
        recorded: dict[str, dict[str, float]] = {}
        for true, said, cost in self.given:
            recorded.setdefault(true, {})[said] = cost
        return recorded

    def of_wholes(self, wholes: Mapping[str, str]) -> Costs:
        """Returns the costs of classes some of which are parts of a whole; of several costs of a pair, the highest."""
        named: dict[tuple[str, str], float] = {}
        for true, said, cost in self.given:
            pair = wholes.get(true, true), wholes.get(said, said)
            if pair[0] != pair[1]:
                named[pair] = max(cost, named.get(pair, 0.0))
        return Costs(tuple((*pair, cost) for pair, cost in named.items()))

    def matrix(self, labels: Sequence[str]) -> Floats:
        """Returns float64 [true classes, answers] of some classes, of which the costs may know more or fewer."""
        place = {label: index for index, label in enumerate(labels)}
        costs = USUAL * (1 - np.eye(len(place)))
        for true, said, cost in self.given:
            if true in place and said in place:
                costs[place[true], place[said]] = cost
        return costs

    def cheapest(self, probabilities: Floats, labels: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns the answer k with the least Σ_j p_j · cost[j, k], the first one on a tie: int32 [rows].

        Source: Elkan 2001, "The foundations of cost-sensitive learning", section 1.

        Args:
            probabilities: float64 [rows, classes], of all that can be answered.
            labels: these classes.
        """
        return (probabilities @ self.matrix(labels)).argmin(axis=1).astype(np.int32)


def mean_cost(sums: Floats) -> Floats:
    """Returns the mean cost of answers from sums over rows of 1 and of the cost: float64 [..., 2] → [...]."""
    return np.divide(sums[..., 1], sums[..., 0], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 0] > 0)


def smoothed_mean_cost(sums: Floats, right: Floats, wrong: Floats, name: str, highest: float) -> Floats:
    """Returns it with pseudo-observations: rows that cost nothing, and rows that cost the most.

    Args:
        sums: float64 [..., 2].
        right: float64 [...], how many cost nothing.
        wrong: float64 [...], how many cost the most.
        name: `expected_cost`, the only one of its kind.
        highest: what the dearest answer costs.
    """
    return mean_cost(sums + np.stack([right + wrong, wrong * highest], axis=-1))
