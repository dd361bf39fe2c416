from __future__ import annotations

import pytest

from progressive_tf.plan.metric_names import (
    METRICS,
    TAGGING_METRICS,
    TRANSLATION_METRICS,
    all_metric_patterns,
    find_metric,
    further_matrix_metrics,
    matrix_metric,
    metric_fits,
    metric_patterns,
)
from progressive_tf.plan.probes import EXPLANATION_CORRELATION
from progressive_tf.plan.schema import GateRule

TASKS = ("text-classification", "token-classification", "translation")


@pytest.mark.parametrize("task", TASKS)
def test_a_metric_fits_one_kind_of_task(task: str) -> None:
    names = (set(METRICS) | {"recall/yes"}, set(TAGGING_METRICS) | {"entity_f1/person"}, set(TRANSLATION_METRICS))
    for of, metrics in zip(TASKS, names, strict=True):
        assert {metric_fits(name, task) for name in metrics} == {of == task}
    assert metric_fits(EXPLANATION_CORRELATION, task) == (task == "text-classification")


@pytest.mark.parametrize("task", [*TASKS, "tabular-classification"])
def test_the_metrics_of_a_matrix_are_among_those_of_the_task(task: str) -> None:
    for name in (matrix_metric(task), *further_matrix_metrics(task)):
        assert name in metric_patterns(task)
        assert find_metric(name) is not None
        assert metric_fits(name, task)


def test_what_a_person_may_write_is_of_some_task() -> None:
    assert all_metric_patterns() == [pattern for task in TASKS for pattern in metric_patterns(task)]
    assert metric_patterns("translation") == ["exact_match", "bleu", "chrf"]


def test_thresholds_are_in_the_metrics_unit() -> None:
    assert GateRule(metric="chrf", at_least=55).metric_name.highest == 100
    with pytest.raises(ValueError, match="at_least: bleu lies between 0 and 100; got 101"):
        GateRule(metric="bleu", at_least=101)
    with pytest.raises(ValueError, match="at_least: exact_match lies between 0 and 1; got 55"):
        GateRule(metric="exact_match", at_least=55)
    with pytest.raises(ValueError, match="did you mean 'chrf'"):
        GateRule(metric="chrf2", at_least=55)
