"""Values of every type, in and out, as TensorFlow Serving's REST has them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, of_every_type, release, wait_until

from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.serving.replies import Reply
from progressive_tf.serving.request_log import LogSettings

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]


@pytest.fixture
def model(tmp_path: Path) -> ModelVersions:
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1, export=of_every_type())
    return found


def answers(client: TestClient, body: Any) -> Any:
    found = client.post(PREDICT, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert found.status_code == 200, found.text
    return json.loads(found.content)


def test_rows_and_columns_have_the_same_answers(model: ModelVersions, start: Start) -> None:
    client = start(model)
    rows = [{"numbers": [3, 1], "exchanged": False}, {"numbers": [3, 1], "exchanged": True}]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    by_row = answers(client, {"instances": rows})["predictions"]
    by_column = answers(client, {"inputs": columns})["outputs"]
    assert [row["label"] for row in by_row] == ["negative", "positive"]
    assert [row["is_left"] for row in by_row] == [True, False]
    assert [row["seen_bytes"] for row in by_row] == [{"b64": "/wA="}, {"b64": "YQ=="}]
    assert by_column == {name: [row[name] for row in by_row] for name in by_row[0]}


def test_what_is_beside_the_answer_may_be_infinite_and_inputs_too(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model, logging=LogSettings(inputs=1.0))
    given = [[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [math.inf, 1.0]]
    body = {"instances": [{"numbers": numbers, "exchanged": False} for numbers in given]}
    found = [row["ratio"] for row in answers(client, body)["predictions"]]
    assert (found[0], math.isnan(found[1]), found[2:]) == (math.inf, True, [-math.inf, math.inf])
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT input FROM predictions"
        wait_until(lambda: len(connection.execute(query).fetchall()) == len(given))
        kept = [json.loads(each) for (each,) in connection.execute(query)]
    assert [each["numbers"] for each in kept] == given


def test_probabilities_that_are_no_numbers_are_the_fault_of_an_input_that_has_none(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model)
    body = {"instances": [{"numbers": [math.nan, 1.0], "exchanged": False}]}
    found = client.post(PREDICT, content=json.dumps(body))
    assert (found.status_code, "as your input has NaN" in found.json()["error"]) == (400, True)
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status, failed FROM requests"
        wait_until(lambda: connection.execute(query).fetchall() != [])
        assert not connection.execute(query).fetchone()[1]


def test_what_cannot_be_written_is_no_answer(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Reply, content: Any) -> bytes:
        raise TypeError("Object of type complex is not JSON serializable")

    client = start(model, raises=False)
    monkeypatch.setattr(Reply, "render", fail)
    body = {"instances": [{"numbers": [1.0, 0.0], "exchanged": False}]}
    assert client.post(PREDICT, json=body).status_code == 500
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status, (SELECT count(*) FROM predictions) FROM requests"
        wait_until(lambda: connection.execute(query).fetchall() == [(500, 0)])
