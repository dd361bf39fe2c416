"""A task from outside the package is trained, judged, released, served and monitored; `toy_task` is all of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy_task
from fastapi.testclient import TestClient
from releasing import Place, stage_folder

from progressive_tf.commands import run_command
from progressive_tf.data.answers import TRUTHS
from progressive_tf.monitor import app
from progressive_tf.plan.metric_names import ANSWERS
from progressive_tf.plan.tasks import TASKS
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.page import write_report
from progressive_tf.serving.request_log import LogSettings
from progressive_tf.training.answers import ANSWERING

pytestmark = pytest.mark.slow

PLAN: dict[str, Any] = {
    "name": "prices",
    "task": "tabular-regression",
    "seed": 3,
    "model": {"builder": "toy_task:build"},
    "data": {
        "source": "rooms.csv",
        "label": "price",
        "features": {"numbers": ["metres"], "categories": ["town"]},
        "split": {"validation": 40, "gate": 60, "test": 40},
    },
    "defaults": {
        "epochs": 30,
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "adaptation": {"method": "full"},
        "gate": [
            {"metric": "mean_absolute_error", "at_most": 2.0, "confidence": 0.9},
            {"metric": "mean_absolute_error", "slice": "every-previous", "drop_at_most": 1.0},
        ],
    },
    "stages": [{"name": "one", "data": {"take": 100}}, {"name": "two", "data": {"all": True}}],
}


@pytest.fixture(scope="module", autouse=True)
def _task() -> Iterator[None]:
    toy_task.register()
    yield
    for table in (TASKS, ANSWERS, TRUTHS, ANSWERING):
        table.pop(toy_task.TASK.name if table is TASKS else toy_task.NUMBERS.name)  # type: ignore[attr-defined]


def rooms(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    metres, far = generator.uniform(10, 40, rows).round(1), generator.random(rows) < 0.5
    price = 5 + 0.3 * metres - 4 * far + generator.normal(0, 0.3, rows)
    return pd.DataFrame({"metres": metres, "town": np.where(far, "far", "near"), "price": price.round(2)})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("rooms"))
    rooms(400, 0).to_csv(place.folder / "rooms.csv", index=False)
    assert place.run(PLAN).promoted, place.said[-1]
    return place


def test_its_stages_are_learnt_and_judged(place: Place) -> None:
    run = next((place.folder / "runs").glob("*-*"))
    for name in ("one", "two"):
        saved = pd.read_parquet(stage_folder(run, name) / "predictions.parquet")
        assert np.abs(saved["target"] - saved["predicted"]).mean() < 2
    matrix = json.loads((run / "matrix.json").read_text())
    assert matrix["metric"] == "mean_absolute_error"
    assert matrix["gate"][0][0] > matrix["gate"][2][1]
    page = write_report(run).read_text(encoding="utf-8")
    assert "mean_absolute_error" in page


def test_its_versions_are_served_and_monitored(
    place: Place, start: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    model, asked = Registry(place.folder / "registry").model("prices"), rooms(60, 1)
    manifest = model.version(2).manifest()
    assert manifest is not None
    assert (manifest["task"], manifest["input_kind"]) == ("tabular-regression", "columns")
    client = start(model, logging=LogSettings(inputs=1.0))
    for batch in (asked[at : at + 3] for at in range(0, len(asked), 3)):
        given = batch.drop(columns="price").astype(str).to_dict("records")
        body = {"signature_name": "columns", "instances": given}
        answered = client.post("/v1/models/prices:predict", json=body).json()
        predictions, ids = answered["predictions"], answered["prediction_ids"]
        for answer, prediction, price in zip(predictions, ids, batch["price"], strict=True):
            assert abs(answer["number"] - price) < 4
            told = client.post("/v1/feedback", json={"prediction_id": prediction, "label": price})
            assert told.json()["joined"]
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "prices").symlink_to(tmp_path)  # where a server that is started by command keeps its rows
    monkeypatch.setenv("COLUMNS", "200")
    said, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(complained), pytest.raises(SystemExit) as stop:
        run_command(app, ["prices", "--store", str(tmp_path / "serving"), "--out", str(tmp_path / "page.html")])
    assert not stop.value.code, complained.getvalue()
    assert "prices: 60 answers of the last 7 days" in said.getvalue()
    assert (tmp_path / "page.html").is_file()
