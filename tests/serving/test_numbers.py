"""A kind of answer that the package does not have, a number for a row, is served, judged and monitored."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, exported_once, release

from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.page import render
from progressive_tf.monitoring.schedule_check import Triggers, check_schedule
from progressive_tf.monitoring.snapshot import Comparison, take_snapshot
from progressive_tf.plan.metric_names import AnswerKind, MetricName
from progressive_tf.plan.tasks import TASKS, Task
from progressive_tf.registry import Registry
from progressive_tf.serving.request_log import LogSettings

NUMBERS = AnswerKind("numbers", {"error": MetricName("error", maximize=False)}, of_matrices=("error",))
TASK: Any = Task(
    name="regression",
    inputs="columns",
    answers=NUMBERS,
    input_key="features",
    answer_key="label",
    builders=("mlp",),
)


@exported_once
def sums(factor: float) -> Callable[[Path], None]:
    """Returns what exports a model that adds up the two numbers of a row, and multiplies them."""

    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="features")])
            def serve(self, features: Any) -> dict[str, Any]:
                return {"number": factor * tf.reduce_sum(features, axis=1)}

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    return export


def test_numbers_are_served_judged_and_monitored(
    tmp_path: Path, start: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, TASK.name, TASK)  # type: ignore[arg-type]
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=sums(1.0), labels=(), task=TASK.name, input_kind="vectors")
    client = start(model, logging=LogSettings(inputs=1.0))
    body = {"instances": [[1.0, 2.0], [0.5, 0.25]]}
    answered = client.post(f"/v1/models/{MODEL}:predict", json=body).json()
    assert answered["predictions"] == [3.0, 0.75]
    for prediction, label in zip(answered["prediction_ids"], (3.0, 0.5), strict=True):
        said = client.post("/v1/feedback", json={"prediction_id": prediction, "label": label})
        assert (said.status_code, said.json()["joined"]) == (200, True)
    refused = client.post("/v1/feedback", json={"prediction_id": prediction, "label": [0.5]})
    assert refused.json()["error"].startswith("label: a number expected, as the answer has")
    live = read_live_rows(tmp_path / "served.sqlite")
    assert live.answers[["label", "truth", "right"]].to_numpy().tolist() == [[3.0, 3.0, True], [0.75, 0.5, False]]
    snapshot = take_snapshot(model.in_use(), live, None, Comparison(time.time(), 7.0, 0.01, 0))
    assert [(row.slice, row.answers, row.accuracy) for row in snapshot.metrics] == [
        ("all", 2, 0.5),
        ("version 1", 2, 0.5),
    ]
    assert "2 answers of the last 7 days" in render([snapshot], time.time())
    check = check_schedule(live, Triggers(2, None, True), time.time(), model.in_use().created, NUMBERS, 1)
    assert check.reasons == ("2 of 2 new labels", "answers are numbers, of which no class rises")
