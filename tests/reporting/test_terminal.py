from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.terminal import measures_line, stage_table

from .records_builder import force, write_run


def _printed(run: Path, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(stage_table(read_run(run)))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_is_cut_off(tmp_path: Path, width: int) -> None:
    text = _printed(write_run(tmp_path / "run"), width)
    assert "…" not in text
    for expected in (
        "pilot",
        "version",
        "8,610/22.7M",
        "22.7M/22.7M",
        "0.790",
        "[0.762–0.818]",
        "[0.762–0.838]",
        "promote",
        "hold",
        "88.4",
    ):
        assert expected in text
    assert max(map(len, text.splitlines())) <= width


def test_a_wide_terminal_has_one_line_a_stage(tmp_path: Path) -> None:
    assert len(_printed(write_run(tmp_path / "run"), 100).splitlines()) == 2 + 3


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_forced_stage_has_its_version(tmp_path: Path, width: int) -> None:
    run = write_run(tmp_path / "run", decisions=("promote", "hold", "hold"))
    assert "forced" not in _printed(run, width)
    force(run, "02-beta", version=4711)
    text = _printed(run, width)
    assert text.count("hold") == 2
    assert text.count("forced") == 1
    assert "4,711" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_an_unfinished_run_shows_what_is_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("metrics.json", "decision.json"):
        (run / "stages/03-full" / name).unlink()
    assert "unfinished" in _printed(run, 100)


def test_measures_in_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert measures_line(read_run(run)) == "ACC 0.785  BWT +0.124  FWT +0.152  forgetting −0.078"
    (run / "matrix.json").unlink()
    assert measures_line(read_run(run)) == "ACC –  BWT –  FWT –  forgetting –"
