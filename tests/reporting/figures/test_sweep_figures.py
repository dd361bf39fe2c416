from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from progressive_tf.reporting.figures.sweep import (
    Scale,
    best_so_far,
    parallel_figure,
    parameters_figure,
    progress_figure,
)
from progressive_tf.reporting.sweeps import SweepRecord, Trial, in_order, short_key, shown_value, sweep_table


def trial(number: int, metric: float | None, status: str = "feasible", **values: Any) -> Trial:
    named = {key.replace("__", "."): value for key, value in values.items()}
    reason = "OOM" if metric is None else None
    return Trial(f"{number:04d}", "random", named, status, metric, {"one": 0.01}, 3, 60.0, reason)


def parameter(**given: Any) -> dict[str, Any]:
    return {"float": None, "int": None, "choice": None, "log": False, "step": None, "when": {}} | given


def sweep(*trials: Trial, metric: str = "accuracy") -> SweepRecord:
    return SweepRecord(
        stage="full",
        metric=metric,
        oracle="random",
        space={
            "optimizer.learning_rate": parameter(float=[1e-4, 1e-2], log=True),
            "adaptation.method": parameter(choice=["head", "lora"]),
            "adaptation.rank": parameter(int=[2, 8], when={"adaptation.method": ["lora"]}),
        },
        own={"optimizer.learning_rate": 0.001, "adaptation.method": "head", "adaptation.rank": None},
        best="0001",
        trials=trials,
        drop_at_most=0.02,
    )


TRIALS = (
    trial(0, 0.7),
    trial(1, 0.8, optimizer__learning_rate=0.002, adaptation__method="lora", adaptation__rank=4),
    trial(2, 0.9, status="infeasible", optimizer__learning_rate=0.01),
    trial(3, None, status="crashed", optimizer__learning_rate=0.0001),
)


def test_the_best_so_far_leaves_out_infeasible_and_crashed_trials() -> None:
    assert best_so_far(sweep(*TRIALS)) == [0.7, 0.8, 0.8, 0.8]
    assert best_so_far(sweep(*TRIALS, metric="log_loss")) == [0.7, 0.7, 0.7, 0.7]
    assert math.isnan(best_so_far(sweep(TRIALS[2], TRIALS[0]))[0])


@pytest.mark.parametrize("paint", [progress_figure, parameters_figure, parallel_figure])
@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:2], TRIALS[1:2], TRIALS[:1] * 3])
def test_figures_are_drawn_whatever_was_tried(paint: Any, trials: tuple[Trial, ...]) -> None:
    svg = str(paint("figure", sweep(*trials)))
    assert svg.startswith("<svg")
    assert "nan" not in svg.lower().replace("cyan", "")


def test_a_parameter_that_a_trial_has_not_is_shown_as_such() -> None:
    scale = Scale(sweep(*TRIALS), "adaptation.rank")
    assert {text for text, _ in scale.ends()} == {"4", "–"}
    rates = Scale(sweep(*TRIALS), "optimizer.learning_rate")
    assert [rates.share(rate) for rate in (1e-4, 1e-3, 1e-2)] == pytest.approx([0.0, 0.5, 1.0])


def test_the_best_trial_comes_first_and_crashed_ones_last() -> None:
    assert [each.trial for each in in_order(sweep(*TRIALS))] == ["0001", "0000", "0002", "0003"]


def test_keys_are_short_where_that_says_enough() -> None:
    keys = ["optimizer.learning_rate", "objective.learning_rate", "epochs", "adaptation.blocks"]
    assert [short_key(key, keys) for key in keys] == [*keys[:3], "blocks"]


def test_the_table_says_what_became_of_each_trial() -> None:
    table = sweep_table(sweep(*TRIALS)).wide
    assert str(table.title) == "sweep of full: 4 trials, 1 infeasible, 1 crashed"
    assert table.row_count == 4
    cells = list(table.columns[5].cells)
    assert cells == ["0.8000", "0.7000", "0.9000", "crashed"]
    assert str(table.caption) == "0003 crashed: OOM"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_cuts_nothing(width: int) -> None:
    stream = io.StringIO()
    Console(file=stream, width=width).print(sweep_table(sweep(*TRIALS)))
    text = stream.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for expected in ("learning_rate", "0.8000", "infeasible", "seconds"):
        assert expected in text


def test_a_method_with_settings_reads_as_words() -> None:
    assert shown_value({"name": "cosine", "warmup": 0.1}) == "cosine, warmup 0.1"
    assert shown_value({"replay": {"fraction": 0.25}}) == "replay fraction 0.25"
