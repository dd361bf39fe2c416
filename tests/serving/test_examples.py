"""`:classify` and `:regress` of TensorFlow Serving's REST."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, Shared, classifier, half_plus_three, release, wait_until

from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.plan.tasks import OWN_TAG, TASKS, Task
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.examples import read_examples
from progressive_tf.serving.instances import InputSpec
from progressive_tf.serving.limits import Limits, Refusal

CLASSIFY, REGRESS = f"/v1/models/{MODEL}:classify", f"/v1/models/{MODEL}:regress"
Start = Callable[..., TestClient]

TEXT = InputSpec(np.dtype(object), ())
SIGNATURES = {
    "serving_default": {"text": TEXT},
    "tasks": {"text": TEXT, "task": TEXT},
    "numbers": {"numbers": InputSpec(np.dtype(np.float32), (3,))},
    "pixels": {"pixels": InputSpec(np.dtype(np.uint8), (None, None, 3))},
}


def test_a_feature_is_a_value_or_a_list_and_the_context_is_in_each() -> None:
    body: dict[str, Any] = {"signature_name": "tasks", "context": {"task": "x"}, "examples": [{"text": "a"}]}
    body["examples"].append({"text": [{"b64": "Yg=="}]})
    found = read_examples(body, SIGNATURES, Limits()).instances
    assert [(each["text"].item(), each["task"].item()) for each in found] == [(b"a", b"x"), (b"b", b"x")]
    numbers = {"signature_name": "numbers", "examples": [{"numbers": [1, 2.5, 3]}]}
    assert read_examples(numbers, SIGNATURES, Limits()).instances[0]["numbers"].tolist() == [1, 2.5, 3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, '"examples": a list with at least one example expected'),
        ({"examples": []}, '"examples": a list with at least one example expected'),
        ({"examples": {"text": "a"}}, '"examples": a list'),
        ({"examples": ["a"]}, r"examples\[0\]: an object with text expected; got str"),
        ({"examples": [{}]}, r"examples\[0\]: missing 'text'"),
        ({"examples": [{"text": "a"}], "instances": []}, "unknown key 'instances'"),
        ({"examples": [{"text": "a"}, {"text": 5}]}, r"examples\[1\].text: a string"),
        ({"examples": [{"text": ["a", "b"]}]}, r"examples\[0\].text: string expected; got shape \[2\]"),
        ({"examples": [{"text": "a"}], "context": []}, "context: an object with features expected; got list"),
        ({"examples": [{"text": "a"}], "context": {"text": "b"}}, r"examples\[0\].text: is in context too"),
        ({"examples": [{"text": "a", "task": "b"}]}, 'unknown \'task\'.*"signature_name": "tasks" takes these'),
        ({"examples": [{"numbers": [1]}], "signature_name": "numbers"}, r"float32 \[3\] expected; got shape \[1\]"),
        ({"examples": [{"pixels": [1]}], "signature_name": "pixels"}, "a feature is a flat list; use :predict"),
        ({"examples": [{"text": "a"}], "signature_name": "other"}, "signature_name: one of numbers, pixels"),
    ],
)
def test_wrong_examples_are_refused_with_their_place(body: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        read_examples(body, SIGNATURES, Limits())
    assert refused.value.status == 400


def test_more_examples_than_may_be_are_413() -> None:
    with pytest.raises(Refusal, match="2 instances; at most 1") as refused:
        read_examples({"examples": [{"text": "a"}] * 2}, SIGNATURES, Limits(instances=1))
    assert refused.value.status == 413


def test_each_class_is_given_with_its_probability(tmp_path: Path, start: Start) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=classifier(wrong=0.0))
    release(model, 2, alias=None, export=classifier(wrong=1.0))
    client = start(model)
    Traffic(model).start_canary(2, 50)
    wait_until(lambda: client.get(f"/v1/models/{MODEL}/labels/canary").status_code == 200)
    body = {"examples": [{"text": "positive"}, {"text": "negative"}]}
    right = [[["negative", 0.2], ["positive", 0.8]], [["negative", 0.8], ["positive", 0.2]]]
    for path, version in (("versions/1", "1"), ("labels/stable", "1"), ("versions/2", "2"), ("labels/canary", "2")):
        found = client.post(f"/v1/models/{MODEL}/{path}:classify", json=body).json()
        scores = [[[label, pytest.approx(score)] for label, score in each] for each in right]
        assert (found["results"], found["version"]) == (scores if version == "1" else scores[::-1], version)
    versions = {client.post(CLASSIFY, json={**body, "key": f"caller {turn}"}).json()["version"] for turn in range(40)}
    assert versions == {"1", "2"}
    (first, _) = client.post(CLASSIFY, json=body).json()["prediction_ids"]
    assert client.post("/v1/feedback", json={"prediction_id": first, "correct": True}).json()["joined"]
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT count(*) FROM requests WHERE status = 200"
        wait_until(lambda: connection.execute(query).fetchone() == (45,))


def test_what_is_no_number_is_refused_with_what_the_model_answers(refusing: Shared) -> None:
    found = refusing.client.post(REGRESS, json={"examples": [{"text": "a"}]})
    said = ":regress asks for one number; version 1 answers serving_default with probabilities, label: use "
    assert (found.status_code, found.json()) == (400, {"error": said + ":predict or :classify"})
    for path in ("versions/9", "labels/other"):
        found = refusing.client.post(f"/v1/models/{MODEL}/{path}:classify", json={"examples": [{"text": "a"}]})
        assert found.status_code == 404


def test_texts_that_a_version_writes_have_no_classes(writing: ModelVersions, start: Start) -> None:
    found = start(writing).post(CLASSIFY, json={"examples": [{"text": "a"}]})
    assert found.status_code == 400
    assert found.json()["error"].endswith(
        "version 1 answers serving_default with translation, confidence: use :predict"
    )


def test_a_number_is_given_as_it_is(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = Task("numbers", "vectors", AnswerKind("numbers", {}, of_matrices=()), "features", "label", (OWN_TAG,))
    monkeypatch.setitem(TASKS, "numbers", numbers)
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=half_plus_three(), labels=(), task="numbers", input_kind="vectors")
    client = start(model)
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": [2]}]}
    for path in (REGRESS, REGRESS.replace(":", "/versions/1:"), REGRESS.replace(":", "/labels/stable:")):
        assert client.post(path, json=body).json()["results"] == [3.5, 4.0]
    refused = client.post(CLASSIFY, json=body)
    assert (refused.status_code, "use :predict or :regress" in refused.json()["error"]) == (400, True)
    assert client.post(REGRESS, content='{"examples": [{"x": NaN}]}').status_code == 400
