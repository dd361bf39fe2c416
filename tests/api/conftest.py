"""One run of the tiny plan of a table for all tests of the package's Python side."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from progressive_tf import Plan, Run, run

GATE = "defaults.gate=[{metric: accuracy, at_least: 0.0}, {metric: accuracy, slice: every-previous, drop_at_most: 1.0}]"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plan, its runs and its registry."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def plan(home: Path) -> Plan:
    return Plan.load(tiny.write_plan(home, tiny.of_table(tiny.raw_plan())), set=GATE)


@pytest.fixture(scope="session")
def finished(home: Path, plan: Plan, _determinism: None) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)  # the cache stands in the current folder
        return run(plan)
