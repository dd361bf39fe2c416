from __future__ import annotations

from pathlib import Path

import pytest

from progressive_tf.evaluation.decision import Decision, RuleResult
from progressive_tf.evaluation.records import Measure, StageMetrics
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.reporting.line import line_view
from progressive_tf.reporting.records import RunRecord, SavedStage
from progressive_tf.reporting.wording import much_tested


def stage(
    number: int, drops: dict[str | None, float], test_runs: int | None = None, metric: str = "accuracy"
) -> SavedStage:
    """A stage whose candidate has 0.8 of a metric, after drops from what it is compared with."""
    rule = GateRule(metric=metric, drop_at_most=0.1, against="best")
    rules = tuple(RuleResult(rule, "current", estimate=drop, against=against) for against, drop in drops.items())
    return SavedStage(
        number,
        f"week-{number}",
        metrics=StageMetrics(gate={f"week-{number}": {metric: Measure(0.8)}}),
        decision=Decision("promote", rules=rules, test_runs=test_runs),
    )


def run(*stages: SavedStage) -> RunRecord:
    return RunRecord(Path("run"), {}, "", stages)


def test_the_figure_has_the_best_the_released_and_the_candidate() -> None:
    figure = line_view(run(stage(1, {}), stage(2, {None: 0.02}), stage(3, {None: 0.02, "version 1": 0.05})))
    assert figure is not None
    assert "At the last: best 0.850, released 0.820, candidate 0.800" in figure


def test_of_a_metric_of_which_less_is_better_the_best_is_the_lowest() -> None:
    drops = {None: 0.02, "version 1": 0.05}
    figure = line_view(run(*(stage(number, drops, metric="log_loss") for number in (1, 2))))
    assert figure is not None
    assert "best 0.750, released 0.780, candidate 0.800" in figure


@pytest.mark.parametrize("stages", [(), (stage(1, {}),), (stage(1, {}), stage(2, {None: 0.0}))])
def test_one_comparison_is_no_line(stages: tuple[SavedStage, ...]) -> None:
    assert line_view(run(*stages)) is None


def test_many_runs_on_the_same_test_rows_are_warned_about() -> None:
    assert much_tested(run(stage(1, {}, 20), stage(2, {}))) == ""
    assert much_tested(run(stage(1, {}, 20), stage(2, {}, 21))).startswith("21 runs, with this one")
