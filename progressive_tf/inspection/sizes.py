"""How many rows are for what, and what a gate can show with its share: from the number of rows and classes alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from progressive_tf.evaluation.looks import share
from progressive_tf.plan.split import FEWEST_PER_CLASS

POWER = 0.8
DIFFERING = 0.1  # share of rows that an unchanged candidate is taken to answer otherwise than the released version
PSEUDO_ROWS = 4  # that smooth a comparison, see docs/decisions/0004
WIDEST_DROP = 0.1
FEWEST_ROWS = 20
FEWEST_IN_STAGES = 100  # rows to train on; fewer are all taken at once
BEYOND_CHANCE = 0.2  # of the way from the most frequent label to no mistake: what is asked of a first model
LOPSIDED = 0.75  # share of the largest class from which on accuracy says little


@dataclass(frozen=True)
class Sizes:
    """How a source is divided.

    Attributes:
        rows: all of them.
        validation: rows, shared by all stages.
        gate: a share, or a count where a share would be more than helps.
        test: likewise.
    """

    rows: int
    validation: int
    gate: float | int
    test: float | int

    @property
    def gate_rows(self) -> int:
        """Rows that a gate reads, about."""
        return self.gate if isinstance(self.gate, int) else round(self.gate * self.rows)

    @property
    def pool(self) -> int:
        """Rows that are left to train on, about."""
        test = self.test if isinstance(self.test, int) else round(self.test * self.rows)
        return self.rows - self.validation - self.gate_rows - test


def divided(rows: int, counts: Mapping[str, int]) -> Sizes:
    """Returns how rows are best divided.

    Args:
        rows: that have a label and something to read.
        counts: label → rows; empty where rows are of no class.
    """
    shares = next(
        (parts for most, parts in ((400, (0.15, 0.3, 0.15)), (1_500, (0.12, 0.25, 0.15))) if rows < most),
        (0.1, 0.2, 0.2),
    )
    if rows >= 20_000:
        return Sizes(rows, 2_000, 4_000, 4_000)
    validation, gate, test = shares
    wanted = sum(min(FEWEST_PER_CLASS, count // 2) for count in counts.values())
    if wanted > gate * rows:
        gate = min(0.35, math.ceil(100 * wanted / rows) / 100)
    return Sizes(rows, max(2, round(validation * rows)), gate, test)


@dataclass(frozen=True)
class Rules:
    """The rules of a gate, and why they are as they are.

    Attributes:
        rules: as a plan has them.
        why: of each, a sentence.
        power: what the gate's rows allow, a sentence.
    """

    rules: tuple[dict[str, Any], ...]
    why: tuple[str, ...]
    power: str


def drop_shown(rows: int, confidence: float) -> float:
    """Returns the largest drop that an unchanged candidate shows four times in five not to have, at a first look.

    It is (z + 0.84) · se, with the standard error of a paired comparison whose answers differ in a tenth of the rows,
    and the pseudo-rows that smooth it (docs/guides/gate-and-statistics.md#power-how-many-rows-a-rule-needs).

    Args:
        rows: of the gate.
        confidence: of the rule.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - (1 - confidence) * share(1)) + normal.inv_cdf(POWER)
    return z * math.sqrt(DIFFERING * rows + PSEUDO_ROWS) / rows


@dataclass(frozen=True)
class GateRows:
    """The rows that rules are about.

    Attributes:
        first: in the first stage.
        later: in the first one that is compared with another.
        groups: that the latter belong to; None where each row is its own.
    """

    first: int
    later: int
    groups: int | None = None

    @property
    def independent(self) -> int:
        """What the gate draws: rows, or groups of them."""
        return self.later if self.groups is None else min(self.groups, self.later)

    @property
    def words(self) -> str:
        """How many they are, for people."""
        of = "" if self.groups is None else f" of about {self.groups:,} groups"
        return f"{self.later:,} gate rows{of}"


def rules_of_classes(rows: GateRows, counts: Mapping[str, int]) -> Rules:
    """Returns the rules of a gate that its rows allow.

    Args:
        rows: that the gate reads.
        counts: label → rows in the file.
    """
    total, most = sum(counts.values()), max(counts.values())
    largest = most / total
    macro = largest >= LOPSIDED and min(counts.values()) >= 2 * FEWEST_PER_CLASS
    metric = "f1_macro" if macro else "accuracy"
    by_chance = 2 * largest / (1 + largest) / len(counts) if macro else largest
    least, digits = asked_of_first(by_chance)
    label = next(name for name, count in counts.items() if count == most)
    says = f"always saying {label!r} reaches {by_chance:.{digits}f} {metric}"
    first: dict[str, Any] = {"metric": metric, "slice": "current", "at_least": least}
    confidence = 0.95 if rows.first >= 100 else 0.9
    if rows.first >= 50 and least <= most_shown(rows.first, confidence):
        first["confidence"] = confidence
        says += f"; surely above {least:.{digits}f} is asked for"
    else:
        says += f"; {rows.first:,} rows cannot show {least:.{digits}f} for sure, so the estimate decides"
    drop, why, power = drop_rule(metric, rows)
    return Rules(_enough((first, drop), rows), (says, why), power)


def asked_of_first(by_chance: float) -> tuple[float, int]:
    """Returns what is asked of a first model, and its digits: a fifth of the way from chance to no mistake.

    It is a multiple of 0.05 where chance is far enough below; else it has as many digits as keep it above chance.

    Args:
        by_chance: what always saying the most frequent label reaches, in (0, 1).
    """
    wanted = by_chance + BEYOND_CHANCE * (1 - by_chance)
    if by_chance <= LOPSIDED:
        return round(0.05 * round(20 * wanted), 2), 2
    digits = 1 - math.floor(math.log10(1 - wanted))
    return round(wanted, digits), digits


def most_shown(rows: int, confidence: float) -> float:
    """Returns the share of right answers that so many rows show for sure where all are right (Wilson's bound).

    Args:
        rows: of the gate.
        confidence: of the rule, at a first look.
    """
    z = NormalDist().inv_cdf(1 - (1 - confidence) * share(1))
    return rows / (rows + z**2)


def drop_rule(metric: str, rows: GateRows, whole: float = 1.0) -> tuple[dict[str, Any], str, str]:
    """Returns the rule on what a later version may lose, why it is so, and what the rows allow; see `rules_of`."""
    confidence = 0.95 if rows.independent >= 400 else 0.9
    shown = drop_shown(rows.independent, confidence)
    rule: dict[str, Any] = {"metric": metric, "slice": "all"}
    if shown > WIDEST_DROP:
        rule |= {"drop_at_most": WIDEST_DROP * whole, "against": "best"}
        power = f"{rows.words} show no drop below {_figure(shown, whole)} for sure: they catch only what is badly worse"
        return rule, "so few rows show no small drop for sure; the estimate decides", power
    drop = math.ceil(100 * shown) / 100
    rule |= {"drop_at_most": round(drop * whole, 2), "against": "best", "confidence": confidence}
    allowed = _figure(drop, whole)
    power = f"with {rows.words} a version as good as the best passes a drop of {allowed} four times in five"
    return rule, "the smallest drop that these rows can show", power


def _figure(share_of_whole: float, whole: float) -> str:
    return f"{share_of_whole * whole:.2f}" if whole == 1.0 else f"{share_of_whole * whole:.0f}"


def _enough(rules: tuple[dict[str, Any], ...], rows: GateRows) -> tuple[dict[str, Any], ...]:
    """Returns rules that ask for no more rows than there are; 30 by default."""
    return tuple(rule | {"min_samples": rows.first} for rule in rules) if rows.first < 30 else rules


def rules_of(metric: str, at_least: float, whole: float, rows: GateRows) -> Rules:
    """Returns the rules of a gate where rows are of no class.

    Args:
        metric: of its kind of answer.
        at_least: what is asked of a first model, by which it is shown to do anything at all.
        whole: 100 for a metric that goes up to 100, else 1.
        rows: that the gate reads.
    """
    drop, _, power = drop_rule(metric, rows, whole)
    first: dict[str, Any] = {"metric": metric, "slice": "current", "at_least": at_least}
    if rows.first >= 100:
        first["confidence"] = 0.95
    says = "that it does anything at all; raise it to what your use needs"
    return Rules(_enough((first, drop), rows), (says, "about what these rows can show"), power)


def sizes_of_stages(pool: int, classes: int) -> list[int]:
    """Returns how many rows each stage but the last takes; the last takes all.

    Args:
        pool: rows to train on.
        classes: a first stage should have some rows of each.
    """
    steps = (100, 400) if pool < 3_000 else (200, 1_000) if pool < 10_000 else (500, 3_000)
    least = max(FEWEST_ROWS, 5 * classes)
    sizes: list[int] = []
    for step in steps:
        size = max(step, least)
        if size <= pool / 2 and (not sizes or size >= 2 * sizes[-1]):
            sizes.append(size)
    if not sizes and pool >= max(FEWEST_IN_STAGES, 3 * least):
        sizes = [round(pool / 3)]
    return sizes
