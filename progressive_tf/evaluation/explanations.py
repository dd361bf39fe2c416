"""How alike the reasons of two versions are, on the same probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST_PARTS = 3
SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]")


@dataclass(frozen=True)
class Agreement:
    """How alike two versions' reasons are.

    Args:
        correlation: mean of Spearman's rank correlations over the probes, in [−1, 1]; None where none has one.
        probes: with a correlation.
        of_probe: each probe's, None where it has too few parts, or the versions read it differently.
    """

    correlation: float | None
    probes: int
    of_probe: tuple[float | None, ...]


def agreement(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Agreement:
    """Returns how alike the explanations of the same probes are.

    Args:
        before: of each probe: `parts` and `values`, as `explanations.json` has them.
        after: the same probes, in the same order.

    Raises:
        ValueError: they are not the same probes.
    """
    if [probe["row"] for probe in before] != [probe["row"] for probe in after]:
        raise ValueError("the two versions were explained on other probes")
    of_probe = tuple(_correlation(*pair) for pair in zip(before, after, strict=True))
    known = [correlation for correlation in of_probe if correlation is not None]
    return Agreement(float(np.mean(known)) if known else None, len(known), of_probe)


def words_of(parts: Sequence[str], values: Sequence[float]) -> list[tuple[str, float]]:
    """Returns words with the sums of their tokens' values; a token that begins with ## goes on with a word."""
    words: list[tuple[str, float]] = []
    for part, value in zip(parts, values, strict=True):
        if part in SPECIAL_TOKENS:
            continue
        if part.startswith("##") and words:
            word, total = words[-1]
            words[-1] = (word + part[2:], total + value)
        else:
            words.append((part, value))
    return words


def _correlation(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    same_parts = before["parts"] == after["parts"] and len(before["values"]) == len(after["values"])
    if not same_parts or len(before["values"]) < FEWEST_PARTS:
        return None
    if np.ptp(before["values"]) == 0 or np.ptp(after["values"]) == 0:
        return None
    from scipy.stats import spearmanr  # a second of imports, which whoever only reads a record does without

    return float(spearmanr(before["values"], after["values"]).statistic)
