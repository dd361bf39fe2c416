from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from progressive_tf import Plan
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import shipped_plans


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny.write_plan(tmp_path, tiny.raw_plan())


def test_a_plan_is_loaded_as_the_command_line_loads_it(file: Path, tmp_path: Path) -> None:
    override = tmp_path / "more.yaml"
    override.write_text("seed: 5\n", encoding="utf-8")
    plan = Plan.load(file, set=["stages.two.epochs=2", "name=other"], override=override, stages=2)
    assert (plan.name, plan.loaded.plan.seed) == ("other", 5)
    assert [stage.epochs for stage in plan.stages] == [3, 2]
    assert Plan.load(str(file), set="seed=8").loaded.plan.seed == 8, "one change needs no list"
    assert len(Plan.load(file, stages=1).stages) == 1
    assert "epochs: 2" in plan.to_yaml()


def test_the_default_is_the_default_plan() -> None:
    assert Plan.load().name == "movie-reviews"
    assert set(Plan.shipped().index) == set(shipped_plans())


def test_stages_are_found_by_place_and_by_name(file: Path) -> None:
    stages = Plan.load(file).stages
    assert stages[1] is stages["two"] is stages[-1]
    assert [stage.name for stage in stages[:1]] == ["one"]
    assert [stage.name for stage in stages] == ["one", "two"]
    with pytest.raises(InputError, match=r"unknown stage 'twoo'; did you mean 'two'\?"):
        stages["twoo"]
    with pytest.raises(InputError, match=r"stages\[2\]: there are 2, counted from 0: one, two"):
        stages[2]


@pytest.mark.parametrize("name", shipped_plans())
def test_every_shipped_plan_shows_itself(name: str) -> None:
    plan = Plan.load(name)
    shown = plan._repr_html_()
    for stage in plan.stages:
        assert f">{stage.name}<" in shown
    assert "None" not in shown.partition("<details>")[0]
    assert "var(--" not in shown.partition("</style>")[2]


def test_a_hostile_name_is_text(file: Path) -> None:
    plan = Plan.load(file, set=["data.source='<script>alert(1)</script>'"])
    assert "<script>" not in plan._repr_html_()


def test_problems_are_input_errors_without_a_traceback_in_notebooks(file: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'epoch'") as raised:
        Plan.load(file, set="stages.one.epoch=3")
    assert raised.value._render_traceback_() == [f"InputError: {raised.value}"]


def test_a_dry_run_says_what_moves(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = Plan.load(file, set="stages.two.adaptation={method: head}").dry_run()
    assert blocks.loc[("one", "head"), "trainable"] == blocks.loc[("two", "head"), "trainable"] > 0
    assert blocks.loc["one", "trainable"].sum() > blocks.loc["two", "trainable"].sum()
    assert not (tmp_path / "runs").exists()
