"""Missing evidence means hold: every way in which it can be missing, each beside the same rule where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.gate import Compared, ReasonsKept, judge
from progressive_tf.plan.gate_rule import GateRule

from .answers.test_tags import tagged
from .answers.test_texts import written

LABELS = ("a", "b", "rare")
COUNTS = (200, 160, 40)


def answers(
    counts: Sequence[int] = COUNTS, known: int | None = None, predicted: str | None = None, groups: int | None = None
) -> ClassAnswers:
    """Answers to so many rows of each class, all right but for one in ten, which is called the next class."""
    truth = np.repeat(np.arange(3), counts)
    code = np.where(np.arange(len(truth)) % 10 == 0, (truth + 1) % 3, truth)
    code = code if predicted is None else np.full(len(truth), LABELS.index(predicted))
    of_groups = None if groups is None else np.arange(len(truth)) % groups
    return ClassAnswers(LABELS, truth, np.eye(3)[code] * 0.85 + 0.05, known, of_groups)


@dataclass(frozen=True)
class Missing:
    """A rule, what it is shown where something is missing, and what it says.

    Args:
        rule: as in a plan.
        candidate: by slice.
        says: a part of the reason.
        baseline: by slice; None: nothing was released.
        whole: what it passes with, by slice; None: there is nothing to pass.
        more: further arguments of `Compared`.
    """

    rule: Mapping[str, Any]
    candidate: Mapping[str, Answers]
    says: str
    baseline: Mapping[str, Answers] | None = None
    whole: Mapping[str, Answers] | None = None
    more: Mapping[str, Any] | None = None


WHOLE = {"current": answers(groups=100), "all": answers()}
FLOOR: dict[str, Any] = {"metric": "accuracy", "at_least": 0.8}
SURE = FLOOR | {"confidence": 0.95}
DROP: dict[str, Any] = {"metric": "accuracy", "drop_at_most": 0.05, "confidence": 0.95}
CORRELATION: dict[str, Any] = {"metric": "explanation_correlation", "at_least": 0.5}
EMPTY = {"current": answers((0, 0, 0))}
FEW = {"current": answers((12, 12, 5))}
NONE_RARE = {"current": answers((200, 200, 0))}
FOUR_RARE = {"current": answers((200, 196, 4))}
EVERY_CLASS = {"classes": {"current": LABELS}}

WAYS = {
    "no such slice": Missing(FLOOR | {"slice": "extra"}, WHOLE, "no predictions for slice 'extra'"),
    "no such slice of the released version": Missing(
        DROP | {"slice": "all"}, WHOLE, "the released version has no predictions", {"current": answers()}, WHOLE
    ),
    "no rows": Missing(FLOOR, EMPTY, "no rows", whole=WHOLE),
    "no rows, for a drop": Missing(DROP, EMPTY, "no rows", EMPTY, WHOLE),
    "fewer than min_samples": Missing(FLOOR, FEW, "rests on 29 rows", whole=WHOLE),
    "fewer than min_samples, for a drop": Missing(DROP | {"drop_at_most": 0.9}, FEW, "rests on 29 rows", FEW, WHOLE),
    "few rows predicted as a class": Missing(
        {"metric": "precision/a", "at_least": 0.01, "min_samples": 30},
        {"current": answers(predicted="b")},
        "rests on 0 rows",
        whole=WHOLE,
    ),
    "few groups": Missing(
        SURE, {"current": answers(groups=4)}, "rests on 400 rows of 4 groups", whole={"current": answers(groups=200)}
    ),
    "a class without rows": Missing({"metric": "recall/rare", "at_least": 0.1}, NONE_RARE, "undefined", whole=WHOLE),
    "a class with few rows": Missing(
        {"metric": "recall/rare", "at_least": 0.1}, FOUR_RARE, "rests on 4 rows", whole=WHOLE
    ),
    "a class that is predicted, and has few rows": Missing(
        {"metric": "precision/rare", "drop_at_most": 0.1, "min_samples": 10},
        NONE_RARE,
        "label rare has 0 of these rows",
        NONE_RARE,
        WHOLE,
    ),
    "a class that is predicted, and has few rows, for F1": Missing(
        {"metric": "f1/rare", "at_most": 0.9, "min_samples": 10}, FOUR_RARE, "label rare has 4 of these", whole=WHOLE
    ),
    "an average over a class with few rows": Missing(
        {"metric": "f1_macro", "at_least": 0.1}, FOUR_RARE, "label rare has 4 of these rows", whole=WHOLE
    ),
    "an average over a class without rows": Missing(
        {"metric": "recall_macro", "at_least": 0.1},
        NONE_RARE,
        "label rare has 0 of these rows",
        whole=WHOLE,
        more=EVERY_CLASS,
    ),
    "a drop of an average over a class without rows": Missing(
        {"metric": "recall_macro", "drop_at_most": 0.1, "confidence": 0.95},
        NONE_RARE,
        "label rare has 0 of these rows",
        NONE_RARE,
        WHOLE,
        EVERY_CLASS,
    ),
    "no such class": Missing({"metric": "recall/d", "at_least": 0.1}, WHOLE, "no such label"),
    "no output for a class": Missing(FLOOR, {"current": answers(known=2)}, "no output for the class", whole=WHOLE),
    "one class, of which shares say all": Missing(
        {"metric": "brier_skill", "at_least": 0.1}, {"current": answers((100, 0, 0))}, "undefined", whole=WHOLE
    ),
    "no certainty above": Missing(SURE | {"at_least": 0.895}, WHOLE, "not sure enough", whole=None),
    "no certainty of a drop": Missing(DROP | {"drop_at_most": 0.001}, WHOLE, "not sure enough", WHOLE),
    "nothing to compare with": Missing(DROP, WHOLE, "no rule applies"),
    "no earlier slice": Missing(DROP | {"slice": "every-previous"}, WHOLE, "no rule applies", WHOLE),
    "earlier slices that cannot be asked": Missing(
        DROP | {"slice": "every-previous"}, WHOLE, "name their files", WHOLE, more={"unasked": "name their files"}
    ),
    "reasons that were not compared": Missing(CORRELATION, WHOLE, "were not compared"),
    "reasons that cannot be ranked": Missing(
        CORRELATION, WHOLE, "can be ranked", more={"reasons": ReasonsKept(None, 40)}
    ),
    "few probes": Missing(CORRELATION, WHOLE, "rests on 4 probes", more={"reasons": ReasonsKept(0.9, 4)}),
    "no entity of a type": Missing(
        {"metric": "entity_recall/nothing", "at_least": 0.1}, {"current": tagged(60, 1)}, "no such type"
    ),
    "texts too short for a metric": Missing(
        {"metric": "bleu", "at_least": 1}, {"current": written(["a b"] * 50, ["a b"] * 50)}, "undefined"
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_missing_evidence_means_hold(way: Missing) -> None:
    rule = GateRule.model_validate(way.rule)
    decision = judge([rule], Compared(way.candidate, way.baseline, **(way.more or {})), seed=1, resamples=999)
    assert decision.decision == "hold"
    (result,) = decision.rules
    assert result.outcome in ("hold", "not-applicable")
    assert way.says in decision.reason + result.reason


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS.items() if way.whole is not None])
def test_the_same_rule_passes_where_nothing_is_missing(way: Missing) -> None:
    rule = GateRule.model_validate(way.rule)
    baseline = None if way.baseline is None else way.whole
    decision = judge([rule], Compared(way.whole or {}, baseline, **(way.more or {})), seed=1, resamples=999)
    assert decision.decision == "promote", decision.reason


def test_one_rule_without_evidence_holds_what_all_others_pass() -> None:
    rules = [GateRule.model_validate(FLOOR), GateRule.model_validate({"metric": "recall/rare", "at_least": 0.1})]
    assert judge(rules, Compared(WHOLE), 1, 999).decision == "promote"
    assert judge(rules, Compared(FOUR_RARE), 1, 999).decision == "hold"
