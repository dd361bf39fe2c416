"""What a confidence becomes when the same gate rows are looked at again and again."""

from __future__ import annotations

import math

from progressive_tf.plan.gate_rule import GateRule


def share(look: int) -> float:
    """Returns the share of 1 − confidence that a look may use: 6 / (π² · look²).

    Over any number of looks the shares add up to 1 (Euler's Σ 1/k² = π²/6), so that the chance that any of the
    candidates which miss a threshold passes stays below 1 − confidence, however many there are and whatever they share:
    alpha spending (Foster & Stine 2008; Tian & Ramdas 2021, "Online control of the familywise error rate", §2).

    Args:
        look: counts from 1.
    """
    return 6 / (math.pi * look) ** 2


def confidence_at(rule: GateRule, look: int | None) -> float | None:
    """Returns the confidence that a rule's outcome rests on at a look; the rule's own where looks are not counted."""
    if rule.confidence is None or look is None:
        return rule.confidence
    return 1 - (1 - rule.confidence) * share(look)


def are_used_up(rule: GateRule, look: int | None, resamples: int) -> bool:
    """Whether a look may use less than the smallest p-value that resamples can show, 1 / (resamples + 1)."""
    confidence = confidence_at(rule, look)
    return confidence is not None and (1 - confidence) * (resamples + 1) < 1


def looks_words(rule: GateRule, look: int | None) -> str:
    """Returns in words at which look a rule stands, "" where that changes nothing and is the first."""
    confidence = confidence_at(rule, look)
    if look is None or (confidence is None and look == 1):
        return ""
    if confidence is None:
        return f"look {look} on these rows, which is only counted, for the rule has no confidence"
    return f"look {look} on these rows, so at {percent(confidence)} instead of {percent(rule.confidence)}"


def percent(confidence: float | None) -> str:
    """Returns a confidence as `96.96 %`, with as many decimals as tell it from 100 %."""
    rest = 100 * (1 - (confidence or 0.0))
    decimals = max(0, 2 - math.floor(math.log10(rest))) if rest > 0 else 2
    return f"{100 - rest:.{decimals}f}".rstrip("0").rstrip(".") + " %" if decimals else f"{100 - rest:.0f} %"


USED_UP = (
    "look {look} on these rows leaves less of 1 − confidence than resamples can show: they are used up; judge on rows "
    "that no version has learnt, half of them new or more: rows added to the source, or a file in data.validation_sets"
)
