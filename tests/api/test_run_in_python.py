from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from progressive_tf import Plan, Run, run
from progressive_tf.errors import InputError
from progressive_tf.reporting.records import PAGE


def test_a_run_is_where_the_command_would_put_it(finished: Run, home: Path) -> None:
    assert finished.path.parent == Path("runs/tiny")
    assert (home / finished.path / "plan.yaml").is_file()
    assert (home / "registry" / "tiny" / "2").is_dir()
    assert finished.promoted
    assert finished.summary == "All 2 stages were promoted (latest: version 2)."
    assert finished.ways_on == ""


def test_a_finished_run_is_not_repeated(finished: Run, plan: Plan, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    history = home / finished.path / "stages" / "01-one" / "history.csv"
    written = history.stat().st_mtime_ns
    again = run(plan)
    assert again.path == finished.path
    assert history.stat().st_mtime_ns == written
    assert again.frame().equals(finished.frame())


def test_an_opened_run_says_what_its_records_say(finished: Run, home: Path) -> None:
    opened = Run.open(home / finished.path)
    matrix = json.loads((opened.path / "matrix.json").read_text())
    assert opened.matrix.frame().to_numpy().tolist() == matrix["gate"]
    assert opened.matrix.frame("test").to_numpy().tolist() == matrix["test"]
    assert list(opened.matrix.frame().index) == ["untrained", "after one", "after two"]
    assert list(opened.matrix.frame().columns) == ["one", "two"]
    assert (opened.matrix.acc, opened.matrix.bwt) == (matrix["acc"], matrix["bwt"])
    assert opened.matrix.measures().loc["FWT", "gate"] == pytest.approx(matrix["fwt"])
    stage = opened.stages["two"]
    assert stage.version == opened.stages[1].version == 2
    assert len(stage.history) == len((stage.folder / "history.csv").read_text().splitlines()) - 1
    assert list(stage.history.index) == list(range(1, len(stage.history) + 1))
    metrics = stage.metrics.set_index(["part", "slice", "metric"])
    recorded = json.loads((stage.folder / "metrics.json").read_text())
    assert metrics.loc[("test", "two", "accuracy"), "value"] == recorded["test"]["two"]["accuracy"]["value"]
    assert set(stage.predictions["part"]) >= {"gate", "test"}


def test_a_decision_has_its_rules(finished: Run, home: Path) -> None:
    decision = Run.open(home / finished.path).stages[1].decision
    assert decision is not None
    assert decision.promoted
    assert str(decision) == "promote: every comparison passed"
    assert list(decision.rules["slice"]) == ["current", "one"]
    assert set(decision.rules["outcome"]) == {"pass"}


def test_everything_shows_itself_with_colours(finished: Run, home: Path) -> None:
    opened = Run.open(home / finished.path)
    shown = [opened, opened.matrix, *opened.stages, opened.stages[1].decision, opened.figures]
    shown += [*opened.figures.values(), opened.stages[0].figures, opened.registry, opened.registry.stable()]
    for each in shown:
        body = each._repr_html_()
        assert body.count("<div") == body.count("</div>")
        assert "--ink: #" in body, "variables of the report's page have no value here"
        assert "None" not in body
        assert repr(each)
    assert set(opened.stages[0].figures) == {"curves", "gate", "confusion", "reliability"}
    assert {"gate matrix", "test matrix", "classes"} <= set(opened.figures)
    with pytest.raises(InputError, match="unknown figure 'class'; did you mean 'classes'"):
        opened.figures["class"]


def test_the_report_is_there_and_can_be_shown(finished: Run, home: Path) -> None:
    opened = Run.open(home / finished.path)
    assert opened.report == opened.path / PAGE
    page = opened.report.read_text(encoding="utf-8")
    opened.report.unlink()
    assert opened.report.read_text(encoding="utf-8") == page, "it is drawn again"
    frame = opened.show_report(height=321)._repr_html_()
    assert 'height="321"' in frame
    assert "<!DOCTYPE" not in frame, "the page stands escaped in an attribute"


def test_a_gate_that_rejects_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tiny.write_plan(tmp_path, tiny.of_table(tiny.raw_plan()))
    gate = "defaults.gate=[{metric: accuracy, at_least: 1.0}]"
    rejected = run(Plan.load(file, set=[gate, "defaults.epochs=1"]), out="elsewhere", registry="mine")
    assert not rejected.promoted
    assert rejected.path.parent == Path("elsewhere")
    first, second = rejected.stages
    assert first.decision is not None
    assert first.decision.outcome == "reject"
    assert second.decision is None
    assert second.state == "not begun"
    for part in (rejected, second):
        assert part._repr_html_()
    assert rejected.registry.versions == []
    with pytest.raises(InputError, match=r"tiny has no stable version: no gate .* Versions: none"):
        rejected.registry.stable()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run folder with"):
        Run.open(tmp_path)
    (tmp_path / "plan.yaml").write_text("name: tiny\nstages: [{name: one}]\n", encoding="utf-8")
    begun = Run.open(tmp_path)
    assert not begun.promoted
    assert begun._repr_html_()
    with pytest.raises(InputError, match="no R matrix yet"):
        assert begun.matrix
    with pytest.raises(InputError, match="does not say which registry"):
        assert begun.registry


def test_parts_of_the_matrix_are_known(finished: Run, home: Path) -> None:
    with pytest.raises(InputError, match="unknown part of the R matrix 'gat'; did you mean 'gate'"):
        Run.open(home / finished.path).matrix.frame("gat")
