from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
from sweeping import SweepPlace, two_stages

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.schema import Stage
from progressive_tf.reporting.sweeps import read_rate_tests
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.tuning.rate_finder import FoundRate, find_rate, smooth, tenth_of_lowest
from progressive_tf.tuning.tune_plan import PlannedStage, find_rate_of_stage


def test_smoothing_is_an_average_that_does_not_begin_at_zero() -> None:
    assert smooth([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    # 0.1 · 1 / 0.1; (0.9 · 0.1 + 0.1 · 3) / 0.19
    assert smooth([1.0, 3.0]) == pytest.approx([1.0, 0.39 / 0.19])


def test_a_tenth_of_the_rate_with_the_lowest_loss_is_suggested() -> None:
    rates = np.geomspace(1e-6, 1, 61)
    losses = np.where(rates < 1e-2, 1 - np.log10(rates / 1e-6) / 10, 5.0)
    assert tenth_of_lowest(rates, losses.tolist()) == pytest.approx(rates[39] / 10)
    with pytest.raises(ProgressiveError, match="lowest at the smallest rates"):
        tenth_of_lowest(rates, np.linspace(1, 2, 61).tolist())


def find(folder: Path, **second: object) -> FoundRate:
    loaded = load_plan(str(tiny.write_plan(folder, two_stages(**second))))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        planned = PlannedStage(loaded, 1, folder / "runs", folder / "registry")
        return find_rate_of_stage(planned, SweepPlace.display())


@pytest.mark.slow
@pytest.mark.usefixtures("_determinism")
def test_a_range_test_keeps_its_curve_and_an_override(tmp_path: Path) -> None:
    # The stage before leaves the state of another optimizer, which a range test does not begin with.
    optimizer = {"name": "sgd", "learning_rate": 0.01, "carry_state": True}
    found = find(tmp_path, adaptation={"method": "full"}, optimizer=optimizer)
    curve = pd.read_csv(found.plot.with_name("curve.csv"))
    assert curve["rate"].iloc[0] == pytest.approx(1e-5)
    assert np.allclose(np.diff(np.log(curve["rate"])), np.diff(np.log(curve["rate"]))[0])
    assert len(curve) <= 100
    assert found.rate == pytest.approx(curve["rate"][curve["smoothed"].idxmin()] / 10)
    assert found.plot.read_bytes().startswith(b"\x89PNG")
    plan = tmp_path / "plan.yaml"
    stage = load_plan(str(plan), override=found.override).plan.stages[1]
    assert (stage.optimizer.name, stage.optimizer.learning_rate) == ("sgd", pytest.approx(found.rate, rel=0.01))
    run = found.plot.parents[3]
    assert [test.stage for test in read_rate_tests(run)] == ["two"]
    assert not (run / "stages" / "02-two" / "data.json").exists()
    assert {path.name for path in found.plot.parent.iterdir()} == {"curve.csv", "rate.json", "rate.png", "rate.yaml"}


def test_phases_that_move_other_weights_have_no_range_test() -> None:
    gradual = load_stage({"method": "gradual", "blocks_per_phase": 1})
    with pytest.raises(InputError, match="gradual moves other weights from phase to phase"):
        find_rate(SimpleNamespace(settings=lambda stage: gradual), StageRecord(0, "one", Path()))  # type: ignore[arg-type]


def load_stage(adaptation: dict[str, object]) -> Stage:
    return Stage.model_validate(
        two_stages()["defaults"] | {"name": "one", "data": {"take": 40}, "adaptation": adaptation}
    )
