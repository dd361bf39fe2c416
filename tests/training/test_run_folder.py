from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.loading import LoadedPlan, validate
from progressive_tf.reporting.records import read_run
from progressive_tf.training.run.run_folder import RunFolder, locked, open_run, why_new


def loaded(stages: int = 2, **changes: Any) -> LoadedPlan:
    raw = tiny.raw_plan()
    raw["stages"] = [*raw["stages"], {"name": "three", "data": {"take": 100}}]
    for key, value in changes.items():
        target, *path = key.split("__")
        place = raw
        for step in [target, *path][:-1]:
            place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
        place[[target, *path][-1]] = value
    whole = validate(raw, "plan.yaml")
    return LoadedPlan(whole.model_copy(update={"stages": whole.stages[:stages]}), Path(), whole)


def begin(run: RunFolder, plan: LoadedPlan, *indices: int) -> None:
    for index in indices:
        folder = run.stage(index, plan.plan.stages[index].name)
        folder.mkdir(parents=True)
        (folder / "data.json").write_text("{}")


def opened(out: Path, plan: LoadedPlan, fresh: bool = False) -> RunFolder:
    return open_run(out, plan, fresh)[0]


def test_a_new_run_is_named_by_time_and_plan_and_holds_the_plan(tmp_path: Path) -> None:
    plan = loaded()
    run, new = open_run(tmp_path, plan, False)
    assert new
    assert run.name.endswith(f"-{plan.identity}")
    assert run.plan() == plan.plan
    assert run.stage(1, "two") == run.path / "stages" / "02-two"


@pytest.mark.parametrize(
    ("environment", "splits"), [(None, False), ("{}", True), ('{"empty_rows_left_out": true}', False)]
)
def test_runs_of_earlier_releases_have_rows_without_a_text_in_their_parts(
    environment: str | None, splits: bool, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    if environment is not None:
        run.environment_file.write_text(environment)
    assert run.splits_empty_rows is splits


def test_runs_of_earlier_releases_have_the_parts_that_they_had(tmp_path: Path) -> None:
    run, plan = RunFolder(tmp_path), loaded()
    assert run.as_it_was_split(plan) == plan
    for environment, least in (('{"gate_rows_of_each_class": true}', 5), ('{"empty_rows_left_out": true}', 0)):
        run.environment_file.write_text(environment)
        assert run.as_it_was_split(plan).plan.data.split.min_per_class == least
    # As a plan it is the same: it goes on where it began.
    assert run.as_it_was_split(plan).plan.model_copy(update={"data": plan.plan.data}) == plan.plan


def test_the_newest_fitting_run_is_continued(tmp_path: Path) -> None:
    plan = loaded()
    runs = [opened(tmp_path, plan, fresh=True) for _ in range(3)]  # within one second: their names must still sort
    assert len({run.name for run in runs}) == 3
    run, new = open_run(tmp_path, plan, False)
    assert not new
    assert run.path == runs[-1].path


class _SetBack(datetime):
    """A clock that says an earlier time whenever it is asked, and the same time twice."""

    asked = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _SetBack:
        cls.asked += 1
        return cls(2026, 10, 25, 3, 0, 9 - cls.asked // 2, tzinfo=tz)


def test_the_newest_run_is_the_last_begun_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, changed = loaded(), loaded(seed=5)
    of_old_release = opened(tmp_path, plan)
    (of_old_release.path / "order.json").unlink()
    assert opened(tmp_path, plan).path == of_old_release.path
    monkeypatch.setattr("progressive_tf.training.run.run_folder.datetime", _SetBack)
    runs = [opened(tmp_path, plan, fresh=True) for _ in range(4)]
    assert len({run.path for run in runs}) == 4
    assert sorted(run.name for run in runs)[-1] != runs[-1].name
    assert opened(tmp_path, plan).path == runs[-1].path
    opened(tmp_path, changed)
    assert why_new(opened(tmp_path, loaded(seed=6)))[-1] == "seed: was 5, now 6"
    newest = opened(tmp_path, plan, fresh=True)  # by its number: the clock is set back again and again
    with pytest.raises(InputError, match=f"newest run inside it is {newest.path}"):
        read_run(tmp_path)


def test_a_damaged_number_is_named_and_keeps_no_new_run_from_beginning(tmp_path: Path) -> None:
    first = opened(tmp_path, loaded())
    for damage in ("", "[]", "half\xff"):
        (first.path / "order.json").write_text(damage, encoding="latin-1")
        with pytest.raises(ProgressiveError, match=r"order.json: expected .* delete it, and the run counts as"):
            opened(tmp_path, loaded())
    other = opened(tmp_path, loaded(), fresh=True)
    (first.path / "order.json").unlink()
    assert opened(tmp_path, loaded()).path == other.path


@pytest.mark.parametrize(
    "changes", [{"name": "other"}, {"seed": 4}, {"data__split": {"gate": 61}}, {"model__max_length": 12}]
)
def test_another_name_model_data_or_seed_is_another_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    first = opened(tmp_path, loaded())
    run, new = open_run(tmp_path, loaded(**changes), False)
    assert new
    assert run.path != first.path


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    plan = loaded()
    (tmp_path / f"99990101-000000-{plan.identity}").mkdir()
    assert open_run(tmp_path, plan, False)[1]


def test_fresh_begins_anew_even_where_begun_stages_differ(tmp_path: Path) -> None:
    run = opened(tmp_path, loaded())
    begin(run, loaded(), 0)
    assert opened(tmp_path, loaded(stages__0__epochs=9), fresh=True).path != run.path


def test_stages_that_have_not_begun_may_change_and_be_added(tmp_path: Path) -> None:
    run = opened(tmp_path, loaded())
    begin(run, loaded(), 0)
    grown = loaded(stages=3, stages__1__epochs=9, on_hold="continue")
    assert opened(tmp_path, grown).path == run.path
    assert run.plan() == grown.plan


def test_how_outputs_are_kept_may_change_at_any_time_and_what_they_are_may_not(tmp_path: Path) -> None:
    run = opened(tmp_path, loaded())
    begin(run, loaded(), 0)
    assert opened(tmp_path, loaded(defaults__cache="off")).path == run.path
    assert opened(tmp_path, loaded(defaults__cache={"max_gb": 0.5})).path == run.path
    with pytest.raises(InputError, match=r"stages\[0\]\.cache\.dtype: was 'float16', now 'float32'"):
        opened(tmp_path, loaded(defaults__cache={"dtype": "float32"}))


def test_fewer_stages_keep_what_the_run_knows_of_the_others(tmp_path: Path) -> None:
    plan = loaded(stages=3)
    run = opened(tmp_path, plan)
    begin(run, plan, 0, 1)
    assert opened(tmp_path, loaded(stages=1)).path == run.path
    assert [stage.name for stage in run.plan().stages] == ["one", "two", "three"]
    assert opened(tmp_path, loaded(stages=2)).path == run.path
    assert [stage.name for stage in run.plan().stages] == ["one", "two", "three"]


def test_a_stage_that_has_not_begun_and_left_the_plan_leaves_the_run(tmp_path: Path) -> None:
    plan = loaded(stages=3)
    run = opened(tmp_path, plan)
    begin(run, plan, 0)
    renamed = loaded(stages=2, stages__1__name="other")
    shorter = LoadedPlan(renamed.plan, Path(), renamed.plan)
    assert opened(tmp_path, shorter).path == run.path
    assert [stage.name for stage in run.plan().stages] == ["one", "other"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages__0__epochs": 9}, ["stages[0].epochs: was 3, now 9"]),
        (
            {"defaults__optimizer": {"name": "sgd", "learning_rate": 0.1}, "start": "stable"},
            [
                "start: was 'pretrained', now 'stable'",
                "stages[0].optimizer.name: was 'adam', now 'sgd'",
                "stages[0].optimizer.learning_rate: was 0.01, now 0.1",
            ],
        ),
        ({"stages__0__name": "uno"}, ["stages[0].name: was 'one', now 'uno'"]),
        ({"stages__0__early_stopping": None}, ["stages[0].early_stopping: was {"]),
    ],
)
def test_begun_stages_may_not_change_and_the_refusal_lists_what_differs(
    tmp_path: Path, changes: dict[str, Any], said: list[str]
) -> None:
    run = opened(tmp_path, loaded())
    begin(run, loaded(), 0)
    with pytest.raises(InputError, match="stages that have begun cannot change") as raised:
        open_run(tmp_path, loaded(**changes), False)
    lines = str(raised.value).splitlines()
    assert len(lines) == len(said) + 2, "a stage that has not begun is listed, or something is missing"
    assert all(any(line.strip().startswith(wanted) for line in lines) for wanted in said)
    assert lines[-1] == "undo the change, or begin a new run with --fresh"
    assert run.plan() == loaded().plan, "a refused change was written"


def test_events_are_whole_lines_whoever_writes_them(tmp_path: Path) -> None:
    run = opened(tmp_path, loaded())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run.log("said", number=number, text="naïve\n" * 200), range(64)))
    lines = [json.loads(line) for line in (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(64))
    assert all(line["event"] == "said" and line["time"].endswith("+00:00") for line in lines)


HOLD = """
import sys
from pathlib import Path
from progressive_tf.training.run.run_folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "tiny"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ProgressiveError, match="another process is training here; wait for it or give another"):
            locked(out).__enter__()
        holder.kill()  # the lock goes with the process, however it ends
    with locked(out), pytest.raises(ProgressiveError, match="another process"):
        locked(out).__enter__()
    with locked(out):
        pass


def test_a_folder_that_cannot_be_made_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written: .*give another folder"):
        locked(tmp_path / "file" / "runs").__enter__()
