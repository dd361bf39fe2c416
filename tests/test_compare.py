from __future__ import annotations

import json
from pathlib import Path

import pytest

from progressive_tf.commands import run_command
from progressive_tf.compare import app


def write_runs(folder: Path, values: dict[int, float | None]) -> str:
    for seed, value in values.items():
        run = folder / f"run-{seed}"
        run.mkdir(parents=True)
        (run / "plan.yaml").write_text(f"name: some\nseed: {seed}\n", encoding="utf-8")
        matrix = {"stages": ["one"], "metric": "accuracy", "acc": 0.5, "test_measures": {"acc": value, "bwt": None}}
        (run / "matrix.json").write_text(json.dumps(matrix), encoding="utf-8")
    return str(folder)


def ended_with(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        run_command(app, arguments)
    return int(ended.value.code or 0)


def test_methods_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    naive = write_runs(tmp_path / "naive", {1: 0.5, 2: 0.6, 3: 0.55})
    replay = write_runs(tmp_path / "replay", {3: 0.65, 1: 0.7, 2: 0.65})
    assert ended_with([naive, replay]) == 0
    said = capsys.readouterr()
    row = next(line for line in said.out.splitlines() if "0.667" in line)
    assert "+0.117" in row
    assert "0.2500" in row
    assert "with 3 seeds p cannot be below 0.25; 6 or more are needed for p < 0.05" in said.err


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_runs(tmp_path / "one", {1: 0.5, 2: 0.6})
    other = write_runs(tmp_path / "other", {1: 0.5, 3: 0.6})
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([one], "name two or more"),
        ([one, other], "has seeds [1, 3]"),
        ([one, str(tmp_path / "empty")], "holds no finished run"),
        ([one, one, "--measure", "bwt"], "has no bwt on test rows"),
    ):
        assert ended_with(arguments) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
    again = tmp_path / "one" / "again"
    again.mkdir()
    for name in ("plan.yaml", "matrix.json"):
        (again / name).write_text((tmp_path / "one" / "run-1" / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert ended_with([one, other]) == 2
    assert "have the same seed, 1" in capsys.readouterr().err


def test_rivals_stand_beside_the_method_whose_rows_they_have_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    naive, replay = (write_runs(tmp_path / name, {1: 0.5, 2: 0.6}) for name in ("naive", "replay"))
    for folder in (naive, replay):
        for seed in (1, 2):
            stage = Path(folder) / f"run-{seed}" / "stages" / "01-one"
            stage.mkdir(parents=True)
            (stage / "data.json").write_text(json.dumps({"slice": "one"}), encoding="utf-8")
            measure = {"value": 0.7, "more": 0.2, "low": 0.1, "high": 0.3, "n": 9}
            value = 0.7 + seed / 100
            rival = {"rows": 9, "of": 9, "gate": measure, "slices": {"test": {"one": value}}}
            (stage / "metrics.json").write_text(json.dumps({"rivals": {"slda": rival}}), encoding="utf-8")
    assert ended_with([naive, replay]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "0.715" in line]
    assert len(rows) == 1  # those of the other method are the same
    assert "+0.165" in rows[0]
