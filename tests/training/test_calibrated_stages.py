"""Stages whose head is divided by a temperature at their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import Place, read, small_plan, stage_folder

from progressive_tf.errors import InputError
from progressive_tf.evaluation.temperature import Temperature, logarithms
from progressive_tf.plan.loading import load_plan
from progressive_tf.training.answers.served_classes import predict_exported

STAGES = [{"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}}]


def calibrating_plan(calibrate: str, *stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = tiny.of_table(small_plan(*(stages or STAGES), **changes))
    plan["defaults"] |= {"adaptation": {"method": "full"}, "calibrate": calibrate}
    return plan


def answered(run: Path, stage: str, part: str) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Returns the probabilities of a part's rows, which class each is of, and the rows."""
    rows = pd.read_parquet(stage_folder(run, stage) / "predictions.parquet").query("part == @part")
    if part == "test":
        rows = rows.query("slice == 'one'")
    truth = (rows["label"] == "positive").to_numpy().astype(np.int32)
    return np.stack(rows["probabilities"].to_list()).astype(float), truth, rows


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the first stage, as it is without a temperature."""
    place = Place(tmp_path_factory.mktemp("plain"))
    return place.run(calibrating_plan("none", STAGES[0])).run


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    place = Place(tmp_path_factory.mktemp("warm"))
    return place, place.run(calibrating_plan("temperature")).run


def test_a_stage_says_the_same_as_surely_as_fits_its_validation_rows(plain: Path, warm: tuple[Place, Path]) -> None:
    before, truth, _ = answered(plain, "one", "validation")
    temperature = Temperature.fit(logarithms(before, truth), truth).value
    facts = read(stage_folder(warm[1], "one") / "metrics.json")["calibration"]
    assert facts["value"] == pytest.approx(temperature, rel=1e-3)
    assert facts["rows"] == len(truth)
    for part in ("validation", "test"):
        logits = logarithms(*answered(plain, "one", part)[:2]) / temperature
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(answered(warm[1], "one", part)[0], expected, atol=1e-4)
    assert f"one: calibrated on {len(truth)} validation rows, temperature " in warm[0].said[-1]


def test_the_next_stage_starts_from_it_and_is_fitted_to_the_rows_of_both(warm: tuple[Place, Path]) -> None:
    place, run = warm
    facts = read(stage_folder(run, "two") / "metrics.json")["calibration"]
    assert facts["log_loss_after"] < facts["log_loss_before"]
    assert facts["rows"] == 20  # both stages share them
    assert "two: calibrated on 20 validation rows, of earlier stages too, temperature " in place.said[-1]
    resumed = Place(place.folder)
    assert resumed.run(calibrating_plan("temperature")).run == run
    assert "calibrated" not in resumed.said[-1]


def test_what_is_served_is_calibrated(warm: tuple[Place, Path]) -> None:
    place, run = warm
    probabilities, _, rows = answered(run, "two", "test")
    cells = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]].iloc[rows["row"] - 1]
    served = predict_exported(place.folder / "registry" / "tiny" / "2", cells.to_numpy().tolist())
    np.testing.assert_allclose(served, probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibrate": "vector"}, "should be 'none' or 'temperature'"),
        (
            {"retention": {"average": {"kind": "ensemble"}}},
            "calibrate: a temperature is that of one network, and an ensemble",
        ),
        ({"data": {"stream": "rows.jsonl"}}, "a candidate has no validation rows to fit a temperature to; drop it"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    plan = small_plan(STAGES[0] | {"calibrate": "temperature"} | changes)
    with pytest.raises(InputError, match=message):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_answers_other_than_classes_have_no_temperature() -> None:
    for name in ("offline-entities", "numbers-en-de"):
        with pytest.raises(InputError, match=r"calibrate: fits the probabilities of a row's classes; task t"):
            load_plan(name, settings=["defaults.calibrate=temperature"])
