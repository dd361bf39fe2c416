"""Versions that abstain, or answer by costs, under a drill."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import subject

from progressive_tf.drilling.answers import KINDS
from progressive_tf.drilling.gate import at_gate
from progressive_tf.drilling.saboteurs import Given
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.plan.gate_rule import GateRule


def test_a_saboteur_abstains_where_the_version_would() -> None:
    of = replace(subject(), rules=(GateRule(metric="coverage", at_least=0.0),))
    rows, count = np.array(of.kind.stated(of.gate.answers)), len(of.gate)
    unchanged = Given(of.gate.answers, np.ones(count), np.full(count, 200), np.ones(count, bool))
    shares = [at_gate(replace(of, rule=rule), unchanged, 0).rules[0].estimate for rule in (AnswerRule(0.7), of.rule)]
    assert shares == [pytest.approx((rows.max(axis=1) >= 0.7).mean()), 1.0]


def test_a_version_that_answers_by_costs_is_refused() -> None:
    version: Any = SimpleNamespace(model="films", number=4, manifest=lambda: {"costs": {"no": {"yes": 5.0}}})
    with pytest.raises(InputError, match="films: version 4 answers by costs"):
        KINDS["classes"].check(version)
