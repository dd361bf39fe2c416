from __future__ import annotations

import pytest

from progressive_tf.plan.methods import EXPLANATION_CORRELATION
from progressive_tf.plan.metric_names import (
    METRICS,
    TAGGING_METRICS,
    TRANSLATION_METRICS,
    Answers,
    all_metric_patterns,
    find_metric,
    further_matrix_metrics,
    matrix_metric,
    metric_fits,
    metric_patterns,
)
from progressive_tf.plan.schema import GateRule

ANSWERS: tuple[Answers, ...] = ("classes", "tags", "texts")


@pytest.mark.parametrize("answers", ANSWERS)
def test_a_metric_is_of_one_kind_of_answer(answers: Answers) -> None:
    names = (set(METRICS) | {"recall/yes"}, set(TAGGING_METRICS) | {"entity_f1/person"}, set(TRANSLATION_METRICS))
    for of, metrics in zip(ANSWERS, names, strict=True):
        assert {metric_fits(name, answers) for name in metrics} == {of == answers}
    assert metric_fits(EXPLANATION_CORRELATION, answers) == (answers == "classes")


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_metrics_of_a_matrix_are_among_those_of_the_answers(answers: Answers) -> None:
    for name in (matrix_metric(answers), *further_matrix_metrics(answers)):
        assert name in metric_patterns(answers)
        assert find_metric(name) is not None
        assert metric_fits(name, answers)


def test_what_a_person_may_write_is_of_some_answers() -> None:
    assert all_metric_patterns() == [pattern for answers in ANSWERS for pattern in metric_patterns(answers)]
    assert metric_patterns("texts") == ["exact_match", "bleu", "chrf"]


def test_thresholds_are_in_the_metrics_unit() -> None:
    assert GateRule(metric="chrf", at_least=55).metric_name.highest == 100
    with pytest.raises(ValueError, match="at_least: bleu lies between 0 and 100; got 101"):
        GateRule(metric="bleu", at_least=101)
    with pytest.raises(ValueError, match="at_least: exact_match lies between 0 and 1; got 55"):
        GateRule(metric="exact_match", at_least=55)
    with pytest.raises(ValueError, match="did you mean 'chrf'"):
        GateRule(metric="chrf2", at_least=55)
