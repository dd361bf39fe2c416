from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from progressive_tf.evaluation.records import Bound, Bounds
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.terminal import bounds_line, measures_line, stage_table

from .records_builder import force, write_run
from .translated_records import write_translation_run


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


@pytest.mark.parametrize("width", [76, 80])
def test_a_long_name_is_folded_so_that_the_rest_has_room(tmp_path: Path, width: int) -> None:
    run = write_run(tmp_path / "run")
    (run / "stages/03-full").rename(run / "stages/03-everything-there-is")
    plan = run / "plan.yaml"
    plan.write_text(plan.read_text().replace("name: full", "name: everything-there-is"))
    text = _printed(force(run, "03-everything-there-is", version=4711), width)
    for expected in ("version", "4,711", "22.7M/22.7M", "[0.762–0.838]"):
        assert expected in text
    assert "…" not in text
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


@pytest.mark.parametrize("width", [78, 140])
def test_metrics_up_to_100_are_not_cut_off(tmp_path: Path, width: int) -> None:
    text = _printed(write_translation_run(tmp_path / "run"), width)
    for expected in ("chrF", "20.0", "[10.0–100.0]", "50.0"):
        assert expected in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_measures_of_several_metrics_have_a_line_each(tmp_path: Path) -> None:
    assert measures_line(read_run(write_translation_run(tmp_path / "run"))).splitlines() == [
        "chrF         ACC 68.75  BWT −12.50  FWT –  forgetting +12.50",
        "exact match  ACC 0.688  BWT −0.125  FWT –  forgetting +0.125",
        "BLEU         ACC 55.00  BWT −10.00  FWT –  forgetting +10.00",
    ]


def test_bounds_are_said_on_the_scale_of_the_metric() -> None:
    bounds = Bounds(naive=Bound(acc=20.0), plan=Bound(acc=30.0), joint=Bound(acc=40.0), position=0.5)
    assert bounds_line(bounds, "chrf").startswith("bounds: naive 20.00, this plan 30.00, joint 40.00 (ACC): 50 %")
