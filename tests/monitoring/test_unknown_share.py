"""The share of inputs that are like nothing a version has learnt: by week, by caller, and beside its gate rows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
from monitor_call import monitor
from releasing import Place, small_plan, stage_folder

from progressive_tf.monitoring.live_metrics import interval_of_accuracy, live_metrics
from progressive_tf.monitoring.live_rows import LiveRows, read_live_rows
from progressive_tf.monitoring.reference import Rows, rows_of_live
from progressive_tf.monitoring.snapshot import drift_tests
from progressive_tf.monitoring.unknown_share import unknown_share
from progressive_tf.plan.metric_names import CLASSES
from progressive_tf.plan.tasks import TASKS
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.served_rows import Answered, ServedRequest
from progressive_tf.serving.store import Store, store_path

BEGAN = 1_767_571_200.0
GATE = Rows(
    "200 gate rows of stage one, version 1", [], [], np.empty(0), (np.empty(0), np.empty(0)), np.arange(200) < 10
)


def kept(folder: Path, flags: list[tuple[int, bool | None]], began: float = BEGAN, version: int = 1) -> LiveRows:
    """Keeps answers of callers, each with whether its input was unknown; returns all that is kept."""
    store = Store(store_path(folder, "tiny"))
    for place, (caller, flag) in enumerate(flags):
        answered = Answered(f"{version:016x}{place:016x}", "negative", [0.7, 0.3], is_unknown=flag)
        store.add([ServedRequest(began + place, version, "stable", 0, 200, 0.01, [answered], caller=caller)])
    store.close()
    return read_live_rows(store.path)


def test_the_share_has_an_interval_as_wide_as_the_callers_make_it(tmp_path: Path) -> None:
    flags = [(caller, caller < 10) for caller in range(40) for _ in range(5)]
    live = kept(tmp_path, [*flags, (99, None)])
    found = unknown_share(live, GATE)
    assert found is not None
    assert (found.answers, found.callers, found.share, found.reference) == (200, 40, 0.25, 0.05)
    assert (found.low, found.high) == interval_of_accuracy(
        np.array([flag for _, flag in flags]), np.repeat(range(40), 5)
    )
    assert found.high - found.low > 0.2  # of 200 independent rows it would be 0.12
    assert found.words == (
        f"unknown inputs: 25.0 % [{100 * found.low:.1f}–{100 * found.high:.1f}] of 200 answers to 40 callers, "
        "beside 5.0 % of 200 gate rows of stage one, version 1"
    )
    week = live_metrics(live, served_answers(CLASSES))[0]
    assert (week.unknown, week.unknown_low, week.unknown_high) == (found.share, found.low, found.high)


def test_versions_that_do_not_say_it_have_no_share(tmp_path: Path) -> None:
    live = kept(tmp_path, [(caller, None) for caller in range(5)])
    assert unknown_share(live, GATE) is None
    assert live_metrics(live, served_answers(CLASSES))[0].unknown is None
    assert len(rows_of_live(live, "live", 0).unknown) == 0


@pytest.mark.parametrize(("often", "found"), [(0.05, False), (0.4, True)])
def test_more_unknown_inputs_than_among_the_gate_rows_are_drift(tmp_path: Path, often: float, found: bool) -> None:
    """A caller who asks a hundred times is one row."""
    flags = [(caller, caller < 60 * often) for caller in range(60)] + [(99, True)] * 100
    side = rows_of_live(kept(tmp_path, flags), "live", 0)
    assert len(side.unknown) == 61
    tests = drift_tests(GATE, side, 0, TASKS["text-classification"])
    test = next(each for each in tests if each.name == "unknown to the version")
    assert (test.about, test.rows) == ("inputs", (200, 61))
    assert test.p_value is not None
    assert (test.p_value < 0.001) == found


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("monitored"))
    plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 40}})) | {"unknown_inputs": {"flagged": 0.1}}
    place.run(plan)
    return place


def test_the_command_says_it_beside_the_share_of_the_gate_rows(released: Place) -> None:
    (run,) = (released.folder / "runs").glob("*-*")
    gate = json.loads((stage_folder(run, "one") / "metrics.json").read_text())["unknown_inputs"]["gate"]
    flags: list[tuple[int, bool | None]] = [(caller, caller % 2 == 0) for caller in range(40)]
    kept(released.folder / "serving", flags, began=time.time() - 3600)
    done = monitor(released.folder, "tiny", "--runs", str(released.folder / "runs"))
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "unknown inputs: 50.0 % [35.0–65.0] of 40 answers to 40 callers, beside " in words
    assert f"beside {100 * gate['value']:.1f} % of {gate['n']} gate rows of stage one" in words
    page = (released.folder / "monitor.html").read_text(encoding="utf-8")
    assert "Live unknown inputs: 50.0 %" in page
    assert '<th class="n">unknown</th>' in page
    assert "unknown to the version" in page
