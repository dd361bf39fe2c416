from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from progressive_tf import Plan, Sweep
from progressive_tf.errors import InputError

SPACE = {"batch_size": {"choice": [8, 16]}, "optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    raw = tiny.raw_plan()
    raw["defaults"] |= {
        "epochs": 2,
        "adaptation": {"method": "full"},
        "gate": [{"metric": "accuracy", "at_least": 0.0}],
    }
    return Plan.load(tiny.write_plan(tmp_path_factory.mktemp("sweep"), tiny.of_table(raw)))


@pytest.fixture(scope="module")
def sweep(plan: Plan, _determinism: None) -> Sweep:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(plan.loaded.folder)
        return plan.tune("two", 2, "random", SPACE, None, 1.0)


@pytest.mark.slow
def test_a_sweep_is_a_table_figures_and_an_override(sweep: Sweep, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(sweep.trials) == 2
    assert list(sweep.trials.columns[:3]) == ["origin", "batch_size", "learning_rate"]
    assert sweep.trials["validation accuracy"].iloc[0] == sweep.trials["validation accuracy"].max()
    assert set(sweep.best) == set(SPACE)
    page = sweep._repr_html_()
    assert page.count("<svg") == 3
    assert "0000" in page
    monkeypatch.chdir(plan.loaded.folder)
    tuned = Plan.load(plan.loaded.folder / "plan.yaml", override=sweep.override)
    assert tuned.stages["two"].batch_size == sweep.best["batch_size"]


@pytest.mark.slow
def test_a_sweep_is_opened_again_from_its_folder(sweep: Sweep, plan: Plan, tmp_path: Path) -> None:
    assert Sweep.open(plan.loaded.folder / sweep.path).best == sweep.best
    with pytest.raises(InputError, match="no finished sweep"):
        Sweep.open(tmp_path)


def test_a_stage_that_is_not_there_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="stage: unknown stage 'third'"):
        plan.tune("third")
    with pytest.raises(InputError, match=r"stages\[1\].tune.trials"):
        plan.tune(2, trials=0)
