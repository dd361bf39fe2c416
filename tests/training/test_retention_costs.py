"""What each retention method costs, against counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import Place, read, stage_folder
from test_scenarios import digits_plan

from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.retention.replay import replay_batches, replayed_per_epoch

UNITS, PIXELS, EPOCHS, BATCH = 24, 64, 6, 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    retention = {"replay": {"budget": 30}, "ewc": {"samples": 20}, "lwf": {}, "average": {"kind": "wise-ft"}}
    place = Place(tmp_path_factory.mktemp("costs"))
    return place.run(digits_plan("class-incremental", retention), stages=2).run


def forward(classes: int) -> int:
    """Operations of the network: products and sums of two matrices, biases, and relu."""
    return 2 * PIXELS * UNITS + UNITS + UNITS + 2 * UNITS * classes + classes


def costs(run: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(stage_folder(run, "two-three") / "metrics.json")["retention"]
    return found


def rows(run: Path, stage: str, part: str) -> int:
    return len(pd.read_parquet(stage_folder(run, stage) / "rows.parquet").query("part == @part"))


def test_operations_are_those_counted_by_hand(run: Path) -> None:
    found, one, own = costs(run), forward(4), rows(run, "two-three", "train")
    assert found["replay"]["rows"] == 30
    assert found["replay"]["flops"] == pytest.approx(3 * one * own * EPOCHS, rel=0.05)
    assert (found["ewc"]["rows"], found["ewc"]["gradients"]) == (20, 40)
    assert found["ewc"]["flops"] == pytest.approx(one * (20 + 3 * 40), rel=0.05)
    assert found["lwf"]["rows"] == own + 30
    assert found["lwf"]["flops"] == pytest.approx(one * (own + 30), rel=0.05)
    validation = rows(run, "zero-one", "validation") + rows(run, "two-three", "validation")
    assert found["average"]["rows"] == validation
    assert found["average"]["flops"] == pytest.approx(one * validation * 11, rel=0.05)
    assert all(each["seconds"] > 0 for each in found.values())


def test_a_stage_with_nothing_to_keep_costs_nothing(run: Path) -> None:
    assert read(stage_folder(run, "zero-one") / "metrics.json")["retention"] == {}


def test_the_report_shows_them(run: Path) -> None:
    page = render(read_run(run))
    shown = page[page.index("Operations beyond") : page.index('<section id="classes">')]
    assert shown.count("two-three") == 4
    assert "zero-one" not in shown
    assert "wise-ft: " in shown


@pytest.mark.parametrize(("own", "batch", "ratio"), [(33, 16, 0.5), (32, 16, 0.5), (7, 16, 0.9), (100, 10, 0.01)])
def test_replayed_per_epoch_is_what_the_batches_have(own: int, batch: int, ratio: float) -> None:
    lengths, kept = np.ones(own, np.int32), np.ones(9, np.int32)
    batches = replay_batches(lengths, kept, batch, ratio, 8, np.random.default_rng(0))
    assert sum(map(len, batches)) - own == replayed_per_epoch(own, batch, ratio)
