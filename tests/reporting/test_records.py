from __future__ import annotations

import math
from pathlib import Path

import pytest

from progressive_tf.errors import InputError
from progressive_tf.files import read_json, write_json
from progressive_tf.reporting.records import read_run

from .records_builder import STAGES, force, write_run

LATER = {"of_a_later_release": {"a": 1}}


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    assert [stage.name for stage in run.stages] == list(STAGES)
    assert run.plan["name"] == "movie-reviews"
    assert run.matrix is not None
    assert run.matrix.gate[0] == (0.498, 0.498, None)
    assert len(run.events) == 4
    last = run.stages[-1]
    assert last.decision is not None
    assert (last.decision.decision, last.decision.version) == ("hold", None)
    assert last.test["accuracy"].value == pytest.approx(0.79)
    assert last.history["epoch"] == tuple(range(1, 23))
    assert last.answers is not None
    assert len(last.answers.places) == 1200
    assert last.answers.count("test", last.slice) == len(last.answers.test_rows(last.slice))


def test_a_stage_has_the_version_of_the_gate_or_else_of_who_overruled_it(tmp_path: Path) -> None:
    run = force(write_run(tmp_path / "run"))
    assert [stage.version for stage in read_run(run).stages] == [1, 2, 3]
    assert [stage.forced is not None for stage in read_run(run).stages] == [False, False, True]
    (run / "stages/03-full/forced.json").unlink()
    assert [stage.version for stage in read_run(run).stages] == [1, 2, None]


def test_a_run_that_has_only_its_plan_has_stages_not_begun(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    only_plan = tmp_path / "new" / "plan.yaml"
    only_plan.parent.mkdir()
    only_plan.write_bytes((run / "plan.yaml").read_bytes())
    record = read_run(only_plan.parent)
    assert [(stage.number, stage.begun) for stage in record.stages] == [(1, False), (2, False), (3, False)]
    assert record.matrix is None
    assert record.environment is None


def test_a_stage_folder_that_the_plan_does_not_name_is_read_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "stages" / "04-proposed").mkdir()
    (run / "stages" / "notes").mkdir()
    assert [stage.name for stage in read_run(run).stages] == [*STAGES, "proposed"]


def test_keys_that_another_release_has_recorded_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = read_run(run)
    for path in (run / "matrix.json", run / "environment.json", *run.glob("stages/*/*.json")):
        record = read_json(path) | LATER
        for result in record.get("rules", ()):
            result |= LATER | {"rule": result["rule"] | LATER}
        write_json(path, record)
    now = read_run(run)
    assert (now.matrix, now.environment) == (before.matrix, before.environment)
    for stage, same in zip(now.stages, before.stages, strict=True):
        assert stage.decision is not None
        assert stage.decision.rules
        assert (stage.decision, stage.metrics) == (same.decision, same.metrics)
        assert (stage.data, stage.quality) == (same.data, same.quality)


@pytest.mark.parametrize("what", ["missing", "file", "empty folder"])
def test_what_is_not_a_run_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run"
    if what == "file":
        path.write_text("x")
    elif what == "empty folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"run: .*expected a run folder with plan\.yaml and stages/"):
        read_run(path)


def test_the_folder_of_a_plan_points_to_its_newest_run(tmp_path: Path) -> None:
    for name in ("20260101-aa", "20260202-bb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match=r"newest run inside it is .*20260202-bb"):
        read_run(tmp_path)


BROKEN = [
    ("plan.yaml", "name: [", "not valid YAML"),
    ("plan.yaml", "- a list", "expected a mapping"),
    ("environment.json", "{", "not valid JSON"),
    ("environment.json", '{"packages": ["numpy"]}', "packages"),
    ("matrix.json", "[]", "top level"),
    ("matrix.json", '{"stages": ["a"], "gate": [["high"]]}', r"gate\.0\.0"),
    ("stages/01-pilot/data.json", '{"train": "many"}', "train"),
    ("stages/01-pilot/quality.json", '{"findings": [{"kind": "x"}]}', r"findings\.0"),
    ("stages/01-pilot/metrics.json", '{"test": 3}', "test"),
    ("stages/01-pilot/decision.json", "{}", "decision"),
    ("stages/01-pilot/forced.json", '{"reason": "haste"}', "version"),
    ("stages/01-pilot/history.csv", "epoch,loss\n1,0.5\n2,low\n", r"line 3: loss: .*'low'"),
    ("stages/01-pilot/history.csv", "epoch,loss\n1\n", "line 2: expected 2 cells, got 1"),
    ("stages/01-pilot/predictions.parquet", "PAR1", "not a readable Parquet file"),
    ("events.jsonl", '{"time": \n{"time": "x"}\n', "line 1"),
]


@pytest.mark.parametrize(("name", "content", "says"), BROKEN)
def test_a_broken_record_is_refused_by_name(tmp_path: Path, name: str, content: str, says: str) -> None:
    run = write_run(tmp_path / "run", decisions=("promote",))
    (run / name).write_text(content)
    with pytest.raises(InputError, match=says) as refusal:
        read_run(run)
    assert str(run / name) in str(refusal.value)


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "matrix.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"matrix\.json: cannot be read"):
        read_run(run)


def test_a_last_event_without_its_end_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with (run / "events.jsonl").open("a") as stream:
        stream.write('{"time": "2026-05-04T09:1')
    assert len(read_run(run).events) == 4


def test_empty_and_infinite_history_cells_are_no_numbers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "stages/01-pilot/history.csv").write_text("epoch,loss,val_loss\n1,,inf\n")
    history = read_run(run).stages[0].history
    assert math.isnan(history["loss"][0])
    assert math.isnan(history["val_loss"][0])
