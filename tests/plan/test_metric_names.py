from __future__ import annotations

import pytest

from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.metric_names import ANSWERS, CLASSES, TAGS, TEXTS, AnswerKind, find_metric, metric_patterns


@pytest.mark.parametrize("kind", ANSWERS.values(), ids=lambda kind: kind.name)
def test_a_metric_is_of_one_kind_of_answer(kind: AnswerKind) -> None:
    names = ({*CLASSES.metrics, "recall/yes"}, {*TAGS.metrics, "entity_f1/person"}, set(TEXTS.metrics))
    for of, metrics in zip(ANSWERS.values(), names, strict=True):
        assert {kind.has_metric(name) for name in metrics} == {of is kind}
    assert not any(kind.has_metric(name) for name in ("recall", "recall/", "accuracy/yes", "chrf/yes", ""))


@pytest.mark.parametrize("kind", ANSWERS.values(), ids=lambda kind: kind.name)
def test_the_metrics_of_a_matrix_are_among_those_of_the_answers(kind: AnswerKind) -> None:
    for name in kind.of_matrices:
        assert find_metric(name) is kind.metrics[name]
    assert kind.matrix_metric == kind.of_matrices[0]


def test_what_a_person_may_write_is_of_some_answers() -> None:
    assert metric_patterns() == [pattern for kind in ANSWERS.values() for pattern in kind.patterns]
    assert TEXTS.patterns == ["exact_match", "bleu", "chrf"]
    assert TAGS.patterns[-1] == "entity_f1/<type>"
    assert find_metric("accuracy/yes") is None


def test_thresholds_are_in_the_metrics_unit() -> None:
    assert GateRule(metric="chrf", at_least=55).metric_name.highest == 100
    with pytest.raises(ValueError, match="at_least: bleu lies between 0 and 100; got 101"):
        GateRule(metric="bleu", at_least=101)
    with pytest.raises(ValueError, match="at_least: exact_match lies between 0 and 1; got 55"):
        GateRule(metric="exact_match", at_least=55)
    with pytest.raises(ValueError, match="did you mean 'chrf'"):
        GateRule(metric="chrf2", at_least=55)
