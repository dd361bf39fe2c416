"""A stage's own source with a split of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

SPLIT = {"validation": 0.2, "gate": 0.3, "test": 10}


def read(folder: Path, *data: dict[str, Any]) -> PlanData:
    """Returns the rows of stages on a source of 50 rows, after one on the plan's own."""
    tiny.write_csv(folder / "small.csv", 50, seed=8)
    stages = [{"name": "one", "data": {"take": 40}}]
    stages += [{"name": f"more-{place}", "data": each} for place, each in enumerate(data)]
    plan = tiny.raw_plan(stages=stages)
    return read_plan_data(load_plan(str(tiny.write_plan(folder, plan))), folder / "cache")


def test_the_own_source_is_split_by_it_and_the_plans_source_as_before(tmp_path: Path) -> None:
    data = read(tmp_path, {"source": "small.csv", "split": SPLIT})
    own = data.parts["small.csv"]
    assert (len(own.gate), len(own.test), len(own.pool)) == (15, 10, 25)
    assert len(data.parts["data.csv"].gate) == 60
    # A fifth of each class, rounded: the classes have 12 and 13 rows.
    assert len(data.stages[1].validation) == own.pool_validation.sum() == 4
    assert len(data.stages[1].train) == 21


def test_without_one_a_small_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.split"):
        read(tmp_path, {"source": "small.csv"})


def test_two_stages_cannot_split_a_source_in_two_ways(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stages\[2\]\.data\.split: small\.csv is split otherwise by stages\[1\]"):
        read(tmp_path, {"source": "small.csv", "split": SPLIT}, {"source": "small.csv", "split": SPLIT | {"test": 5}})
    with pytest.raises(InputError, match=r"data\.csv is split otherwise by data\.split; a source has one"):
        read(tmp_path, {"source": "data.csv", "split": SPLIT})


def test_a_split_without_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split: is for a stage's own source; name one"):
        read(tmp_path, {"take": 5, "split": SPLIT})
