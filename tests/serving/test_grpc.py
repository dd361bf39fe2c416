"""TensorFlow Serving's own Python client, over gRPC."""

from __future__ import annotations

import gzip
import math
import random
import re
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fastapi.testclient import TestClient
from serving_fakes import (
    LONGEST,
    MODEL,
    classifier,
    half_plus_three,
    not_finite,
    of_every_type,
    release,
    translator,
    two_versions,
    wait_until,
)
from test_fuzz import damaged

from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.plan.tasks import OWN_TAG, TASKS, Task
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.store import store_path

Start = Callable[..., TestClient]
HERE = ("127.0.0.1", 0)


class Client:
    """TensorFlow Serving's stubs on a channel to a server of this process, and that server's REST."""

    def __init__(self, rest: TestClient) -> None:
        from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        self.rest = rest
        port = rest.app.state.grpc.port  # type: ignore[attr-defined]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_send_message_length", -1)])
        self.predictions, self.models = PredictionServiceStub(self.channel), ModelServiceStub(self.channel)

    def predict(self, inputs: dict[str, Any], metadata: Any = (), **spec: Any) -> Any:
        return self.predictions.Predict(asked(inputs=inputs, **spec), timeout=LONGEST, metadata=metadata)


def asked(kind: str = "Predict", inputs: dict[str, Any] | None = None, **spec: Any) -> Any:
    """Returns a request to the model, of a version, an alias or a signature."""
    import tensorflow as tf
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        predict_pb2,
        regression_pb2,
    )

    kinds = {
        "Predict": predict_pb2.PredictRequest,
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
        "Metadata": get_model_metadata_pb2.GetModelMetadataRequest,
        "Status": get_model_status_pb2.GetModelStatusRequest,
    }
    request = kinds[kind]()
    request.model_spec.name = spec.pop("name", MODEL)
    if "version" in spec:
        request.model_spec.version.value = spec.pop("version")
    for name, value in spec.items():
        setattr(request.model_spec, name, value)
    for name, values in (inputs or {}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def example(**features: list[Any]) -> Any:
    import tensorflow as tf

    def feature(values: list[Any]) -> Any:
        if isinstance(values[0], str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    found = {name: feature(values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=found))


def arrays(response: Any) -> dict[str, np.ndarray]:
    import tensorflow as tf

    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


@pytest.fixture
def connect(start: Start) -> Iterator[Callable[..., Client]]:
    """Starts servers with gRPC, and connects to them."""
    clients = []

    def run(model: ModelVersions, **settings: Any) -> Client:
        clients.append(Client(start(model, grpc_at=HERE, **settings)))
        return clients[-1]

    yield run
    for client in clients:
        client.channel.close()


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code().name, error.value.details()  # type: ignore[attr-defined]


def test_an_answer_is_that_of_rest_as_tensors_with_an_id_for_feedback(
    model: ModelVersions, connect: Callable[..., Client], tmp_path: Path
) -> None:
    client = connect(model)
    response = client.predict({"text": ["a", "b"]})
    assert (response.model_spec.name, response.model_spec.version.value) == (MODEL, 1)
    assert response.model_spec.signature_name == "serving_default"
    found = arrays(response)
    body = client.rest.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a", "b"]}).json()["predictions"]
    assert found["label"].tolist() == [each["label"].encode() for each in body]
    assert (found["probabilities"].dtype, found["probabilities"].shape) == (np.float32, (2, 2))
    assert found["probabilities"].tolist() == [each["probabilities"] for each in body]
    for prediction in found["prediction_id"].tolist():
        told = client.rest.post("/v1/feedback", json={"prediction_id": prediction.decode(), "correct": True})
        assert (told.status_code, told.json()["joined"]) == (200, True)
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status, version, alias FROM requests JOIN predictions ON request = requests.id"
        wait_until(lambda: connection.execute(query).fetchall() == [(200, 1, "stable")] * 4)
    counted = f'progressive_tf_requests_total{{alias="stable",model="{MODEL}",status="200",version="1"}} 2.0'
    assert counted in client.rest.get("/metrics").text


def test_versions_aliases_and_keys_lead_where_those_of_rest_lead(
    model: ModelVersions, connect: Callable[..., Client]
) -> None:
    Traffic(model).start_canary(2, 50)
    client = connect(model)
    wait_until(lambda: client.rest.get(f"/v1/models/{MODEL}/labels/canary").status_code == 200)
    for spec, version in (
        ({"version": 2}, 2),
        ({"version_label": "canary"}, 2),
        ({"version": 1}, 1),
        ({"version_label": "stable"}, 1),
    ):
        assert client.predict({"text": ["a"]}, **spec).model_spec.version.value == version
    by_key = {}
    for turn in range(30):
        key = f"caller {turn}"
        over_rest = client.rest.post(
            f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}, headers={"X-Caller-Key": key}
        )
        by_key[key] = int(over_rest.json()["version"])
        assert client.predict({"text": ["a"]}, [("x-caller-key", key)]).model_spec.version.value == by_key[key]
    assert set(by_key.values()) == {1, 2}


def test_evidence_is_of_both_interfaces(tmp_path: Path, connect: Callable[..., Client]) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=classifier(wrong=0.0))
    plan = {"steps": [50, 100], "min_samples": 5_000, "max_minutes": None}
    release(model, 2, alias=None, plan_release=plan, export=not_finite())
    client = connect(model)
    for turn in range(3):
        client.predict({"text": [f"positive before {turn}"]}, [("x-caller-key", f"before {turn}")])
    Traffic(model, "ann").start_canary(2)
    wait_until(lambda: client.rest.get(f"/v1/models/{MODEL}/canary").json()["version"] == "2")
    met = set()
    for turn in range(2000):
        try:
            said = client.predict({"text": ["positive"]}, [("x-caller-key", f"caller {turn}")])
            met.add(str(said.model_spec.version.value))
        except grpc.RpcError as error:
            met.add(error.code().name)  # type: ignore[attr-defined]
        if "canary" not in model.aliases():
            break
    assert met == {"1", "INTERNAL"}
    wait_until(lambda: "canary" not in model.aliases())
    assert str(model.entries()[-1].reason).startswith("it fails")


def test_types_go_in_and_out_as_they_are(tmp_path: Path, connect: Callable[..., Client]) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=of_every_type())
    client = connect(model)
    numbers = np.array([[3, 1], [3, 1], [1, 0]], np.float32)
    found = arrays(client.predict({"numbers": numbers, "exchanged": [False, True, False]}))
    assert found["seen_bytes"].tolist() == [b"\xff\x00", b"a", b"\xff\x00"]
    assert (found["is_left"].tolist(), found["is_left"].dtype) == ([True, False, True], bool)
    assert found["ratio"].tolist() == [3.0, pytest.approx(1 / 3), math.inf]
    as_double = arrays(client.predict({"numbers": numbers.astype(np.float64), "exchanged": [False, True, False]}))
    assert as_double["ratio"].tolist() == found["ratio"].tolist()
    nothing = {"numbers": np.zeros((0, 2), np.float32), "exchanged": np.zeros(0, bool)}
    empty = arrays(client.predict(nothing))
    assert {name: array.shape[0] for name, array in empty.items()} == dict.fromkeys(found, 0)


def test_lists_of_several_lengths_are_filled_up(tmp_path: Path, connect: Callable[..., Client]) -> None:
    import tensorflow as tf

    from progressive_tf.serving.protos import _tensor  # of one request, whose batches may differ in length

    def filled(values: Any, dtype: Any, *shape: Any) -> Any:
        return tf.make_ndarray(_tensor(values, tf.TensorSpec([None, *shape], dtype))).tolist()

    assert filled([[1, 2], [3], []], tf.int32, None) == [[1, 2], [3, 0], [0, 0]]
    assert filled([["a"], []], tf.string, None) == [[b"a"], [b""]]
    assert filled([[[1.0], [2.0]], []], tf.float32, None, 1) == [[[1.0], [2.0]], [[0.0], [0.0]]]
    assert filled([None, "b"], tf.string) == [b"", b"b"]
    assert filled([], tf.float32, None, 3) == []
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=translator(), labels=())
    found = arrays(connect(model).predict({"inputs": np.array([[1, 2], [3, 4]], np.int32)}, signature_name="tokens"))
    assert found["tokens"].tolist() == [[1, 2, 0], [3, 4, 0]]


def test_an_output_of_a_version_is_not_hidden_by_ids_for_feedback(
    tmp_path: Path, connect: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    def export(folder: Path) -> None:
        import tensorflow as tf

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
            def serve(self, text: Any) -> dict[str, Any]:
                share = tf.fill([tf.shape(text)[0]], 0.5)
                return {
                    "probabilities": tf.stack([share, share], axis=1),
                    "label": tf.fill([tf.shape(text)[0]], "positive"),
                    "prediction_id": text + "!",
                }

        model = Small()
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})

    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=export)
    client = connect(model)
    for _ in range(2):
        assert arrays(client.predict({"text": ["a"]}))["prediction_id"].tolist() == [b"a!"]
    warned = [each for each in caplog.messages if "an output prediction_id of its own" in each]
    assert len(warned) == 1


def test_only_the_outputs_that_are_asked_for_come(model: ModelVersions, connect: Callable[..., Client]) -> None:
    client, request = connect(model), asked(inputs={"text": ["a"]})
    request.output_filter.extend(["label"])
    assert list(client.predictions.Predict(request, timeout=LONGEST).outputs) == ["label"]
    request.output_filter.extend(["other"])
    code, said = refused(lambda: client.predictions.Predict(request, timeout=LONGEST))
    assert (code, said) == (
        "INVALID_ARGUMENT",
        "unknown output 'other'; known: probabilities, label, label_before, prediction_id",
    )


def test_examples_are_classified(tmp_path: Path, connect: Callable[..., Client]) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=classifier(wrong=0.0))
    client = connect(model)
    request = asked("Classify", version=1)
    request.input.example_list.examples.extend([example(text=["positive"]), example(text=["negative"])])
    response = client.predictions.Classify(request, timeout=LONGEST)
    found = [[(each.label, each.score) for each in instance.classes] for instance in response.result.classifications]
    near = pytest.approx
    assert found == [
        [("negative", near(0.2)), ("positive", near(0.8))],
        [("negative", near(0.8)), ("positive", near(0.2))],
    ]
    assert response.model_spec.version.value == 1
    shared = asked("Classify")
    shared.input.example_list_with_context.context.CopyFrom(example(text=["positive"]))
    shared.input.example_list_with_context.examples.extend([example()] * 2)
    assert len(client.predictions.Classify(shared, timeout=LONGEST).result.classifications) == 2
    assert refused(lambda: client.predictions.Classify(asked("Classify"), timeout=LONGEST)) == (
        "INVALID_ARGUMENT",
        '"examples": a list with at least one example expected',
    )
    regress = asked("Regress")
    regress.input.example_list.examples.extend([example(text=["positive"])])
    code, said = refused(lambda: client.predictions.Regress(regress, timeout=LONGEST))
    assert (code, said.endswith("use :predict or :classify")) == ("INVALID_ARGUMENT", True)


def test_examples_are_answered_by_numbers(
    tmp_path: Path, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = AnswerKind("numbers", {}, of_matrices=())
    monkeypatch.setitem(TASKS, "numbers", Task("numbers", "vectors", kind, "features", "label", (OWN_TAG,)))
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=half_plus_three(), labels=(), task="numbers", input_kind="vectors")
    request = asked("Regress", signature_name="tensorflow/serving/regress")
    request.input.example_list.examples.extend([example(x=[1.0]), example(x=[2])])
    found = connect(model).predictions.Regress(request, timeout=LONGEST)
    assert [each.value for each in found.result.regressions] == [3.5, 4.0]


def test_metadata_and_status_are_those_of_rest(model: ModelVersions, connect: Callable[..., Client]) -> None:
    from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

    Traffic(model).start_canary(2, 50)
    client = connect(model)
    wait_until(lambda: client.rest.get(f"/v1/models/{MODEL}/labels/canary").status_code == 200)
    for spec, version in (({}, 1), ({"version": 2}, 2), ({"version_label": "canary"}, 2)):
        request = asked("Metadata", **spec)
        request.metadata_field.append("signature_def")
        response = client.predictions.GetModelMetadata(request, timeout=LONGEST)
        assert response.model_spec.version.value == version
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        assert set(signatures.signature_def["serving_default"].inputs) == {"text"}
    for fields, said in (([], "none"), (["other"], "other")):
        request = asked("Metadata")
        request.metadata_field.extend(fields)
        expected = ("INVALID_ARGUMENT", f"metadata_field: signature_def expected; got {said}")
        assert (
            refused(lambda request=request: client.predictions.GetModelMetadata(request, timeout=LONGEST)) == expected
        )
    for spec, numbers in (({}, [2, 1]), ({"version": 2}, [2]), ({"version_label": "stable"}, [1])):
        found = client.models.GetModelStatus(asked("Status", **spec), timeout=LONGEST).model_version_status
        assert [each.version for each in found] == numbers
        assert {each.state for each in found} == {ModelVersionStatus.AVAILABLE}
        assert {each.status.error_code for each in found} == {0}
    assert refused(lambda: client.models.GetModelStatus(asked("Status", version=9), timeout=LONGEST))[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("spec", "inputs", "code", "said"),
    [
        ({"name": "other"}, {"text": ["a"]}, "NOT_FOUND", "Could not find any versions of model other"),
        ({"name": ""}, {"text": ["a"]}, "INVALID_ARGUMENT", "model_spec.name: expected; this server has"),
        ({"version": 9}, {"text": ["a"]}, "NOT_FOUND", "Servable not found for request: Specific"),
        ({"version": -1}, {"text": ["a"]}, "NOT_FOUND", "Servable not found for request: Specific"),
        ({"version_label": "other"}, {"text": ["a"]}, "NOT_FOUND", "Servable not found for request: Label"),
        ({"signature_name": "other"}, {"text": ["a"]}, "INVALID_ARGUMENT", "signature_name: one of serving_default"),
        ({}, {"other": ["a"]}, "INVALID_ARGUMENT", "missing 'text'; expected text"),
        ({}, {}, "INVALID_ARGUMENT", "missing 'text'"),
        ({}, {"text": "a"}, "INVALID_ARGUMENT", "inputs.text: a row for each instance expected; got shape []"),
        ({}, {"text": [["a"]]}, "INVALID_ARGUMENT", "instances[0].text: string expected; got shape [1]"),
        ({}, {"text": [1.0]}, "INVALID_ARGUMENT", "text: a string, or"),
        ({}, {"text": [1j]}, "INVALID_ARGUMENT", "inputs.text: numbers, strings or bool expected; got complex128"),
        ({}, {"text": ["refused"]}, "INVALID_ARGUMENT", "the model refuses it"),
        ({}, {"text": ["a"] * 257}, "RESOURCE_EXHAUSTED", "257 instances; at most 256"),
        ({}, {"text": ["a" * 2**17]}, "RESOURCE_EXHAUSTED", "131072 bytes of text; at most 65536"),
        ({}, {"text": ["a" * 2**23]}, "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_what_is_refused_has_tensorflow_servings_code(
    shared: Client, spec: dict[str, Any], inputs: dict[str, Any], code: str, said: str
) -> None:
    found = refused(lambda: shared.predict(inputs, **spec))
    assert (found[0], said in found[1]) == (code, True), found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    from conftest import starting

    folder = tmp_path_factory.mktemp("grpc")
    with starting(folder) as run:
        client = Client(run(two_versions(folder), grpc_at=HERE))
        yield client
        client.channel.close()


@pytest.mark.parametrize(
    ("tensor", "code", "said"),
    [
        ({"dtype": 7, "string_val": [b"a"], "size": 2}, "INVALID_ARGUMENT", "2 strings for shape [2] expected; got 1"),
        ({"dtype": 1, "float_val": [1.0], "size": 2**40}, "RESOURCE_EXHAUSTED", "is more than 4194304 bytes"),
        ({"dtype": 1, "float_val": [1.0], "size": -1}, "INVALID_ARGUMENT", "a shape without unknown sizes"),
        ({"dtype": 1, "tensor_content": b"abc", "size": 1}, "INVALID_ARGUMENT", "no tensor of shape [1]"),
        ({"dtype": 1, "float_val": [1.0, 2.0], "size": 1}, "INVALID_ARGUMENT", "no tensor of shape [1]"),
        ({"dtype": 4, "int_val": [256], "size": 1}, "INVALID_ARGUMENT", "whole numbers from 0 to 255 expected"),
        ({"dtype": 10, "int_val": [1], "size": 1}, "INVALID_ARGUMENT", "int_val is not expected with type bool"),
        ({"dtype": 7, "int_val": [1], "string_val": [b"a"], "size": 1}, "INVALID_ARGUMENT", "with type string"),
        ({"dtype": 1, "int_val": [1], "float_val": [1.0], "size": 1}, "INVALID_ARGUMENT", "with type float32"),
        ({"dtype": 6, "int_val": [1] * 2**18, "size": 2**18}, "RESOURCE_EXHAUSTED", "262145 values, names among them"),
        ({"dtype": 7, "string_val": [b""] * 2**18, "size": 2**18}, "RESOURCE_EXHAUSTED", "262145 values"),
        ({"dtype": 0, "size": 1}, "INVALID_ARGUMENT", "inputs.text: a tensor with a type expected; got 0"),
        ({"dtype": 99, "size": 1}, "INVALID_ARGUMENT", "a tensor with a type expected; got 99"),
        ({"dtype": 21, "size": 1}, "INVALID_ARGUMENT", "numbers, strings or bool expected; got variant"),
    ],
)
def test_a_tensor_that_is_none_is_refused(shared: Client, tensor: dict[str, Any], code: str, said: str) -> None:
    request = asked()
    given = request.inputs["text"]
    given.tensor_shape.dim.add(size=tensor.pop("size"))
    for name, value in tensor.items():
        if isinstance(value, list):
            getattr(given, name).extend(value)
        else:
            setattr(given, name, value)
    found = refused(lambda: shared.predictions.Predict(request, timeout=LONGEST))
    assert (found[0], said in found[1]) == (code, True), found


def test_names_and_values_that_are_too_many_are_refused_before_they_are_converted(
    shared: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    from progressive_tf.serving import protos

    def converted(*given: Any) -> Any:
        raise AssertionError("converted")

    monkeypatch.setattr(tf, "make_ndarray", converted)
    monkeypatch.setattr(protos, "_features", converted)
    many = asked()
    for turn in range(1000):
        many.inputs[f"input {turn}"].dtype = 1
    with_axes = asked(inputs={"text": ["a"]})
    for _ in range(100_000):
        with_axes.inputs["text"].tensor_shape.dim.add(size=2**62)
    with_outputs = asked(inputs={"text": ["a"]})
    with_outputs.output_filter.extend(str(turn) for turn in range(1000))
    for request, said in (
        (many, "inputs: 1000 names, among them 'input "),
        (with_axes, "inputs.text: a shape of at most 32 axes expected; got 100001"),
    ):
        found = refused(lambda request=request: shared.predictions.Predict(request, timeout=LONGEST))
        assert (found[0], said in found[1]) == ("INVALID_ARGUMENT", True), found
    classify = asked("Classify")
    classify.input.example_list.examples.extend([example(**{f"feature {turn}": [1] for turn in range(1000)})])
    found = refused(lambda: shared.predictions.Classify(classify, timeout=LONGEST))
    assert (found[0], "examples[0]: 1000 names" in found[1]) == ("INVALID_ARGUMENT", True), found
    classify = asked("Classify")
    classify.input.example_list_with_context.context.CopyFrom(example(text=[1] * 2**18))
    found = refused(lambda: shared.predictions.Classify(classify, timeout=LONGEST))
    assert found == ("RESOURCE_EXHAUSTED", "262145 values, names among them; at most 262144")
    monkeypatch.undo()
    found = refused(lambda: shared.predictions.Predict(with_outputs, timeout=LONGEST))
    assert found == ("INVALID_ARGUMENT", "output_filter: 1000 outputs; at most 4")


@pytest.mark.parametrize("method", ["Predict", "Classify"])
def test_large_messages_are_read_and_converted_outside_the_event_loop(
    shared: Client, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    from progressive_tf.serving import grpc_server, protos

    walked: dict[str, str] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            walked[name] = threading.current_thread().name.partition("_")[0]
            return function(*given)

        return noted

    monkeypatch.setattr(grpc_server, "_read", noting("read", grpc_server._read))
    converts = "_array" if method == "Predict" else "_features"
    monkeypatch.setattr(protos, converts, noting("convert", getattr(protos, converts)))
    texts = ["a" * 1000] * 40
    request = asked(method, inputs={"text": texts} if method == "Predict" else None)
    if method == "Classify":
        request.input.example_list.examples.extend(example(text=[text]) for text in texts)
    getattr(shared.predictions, method)(request, timeout=LONGEST)
    assert walked == {"read": "body", "convert": "body"}


def test_calls_that_may_be_there_at_once_are_limited(
    model: ModelVersions, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    server = grpc.aio.server
    monkeypatch.setattr(grpc.aio, "server", lambda **named: given.update(named) or server(**named))
    connect(model, concurrent_requests=3)
    assert given["maximum_concurrent_rpcs"] == 6


def test_a_message_that_is_none_and_a_method_that_is_not_there(shared: Client) -> None:
    from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest

    call = shared.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(lambda: call(b"\xff" * 20, timeout=LONGEST)) == (
        "INVALID_ARGUMENT",
        "a tensorflow.serving.PredictRequest expected; the message is none",
    )
    code, _ = refused(lambda: shared.predictions.MultiInference(MultiInferenceRequest(), timeout=LONGEST))
    assert code == "UNIMPLEMENTED"


def test_messages_that_are_damaged_in_any_way_are_no_error_of_the_server(shared: Client) -> None:
    chance = random.Random(5)
    classify = asked("Classify")
    classify.input.example_list_with_context.examples.extend([example(text=["a"])] * 2)
    metadata = asked("Metadata", version=1)
    metadata.metadata_field.append("signature_def")
    valid = {
        "PredictionService/Predict": asked(inputs={"text": ["a", "b"], "other": [1.0]}, version_label="stable"),
        "PredictionService/Classify": classify,
        "PredictionService/Regress": classify,
        "PredictionService/GetModelMetadata": metadata,
        "ModelService/GetModelStatus": asked("Status", version=2),
    }
    codes = Counter[str]()
    for method, request in valid.items():
        call = shared.channel.unary_unary(f"/tensorflow.serving.{method}")
        for _ in range(150):
            answer = call.future(damaged(request.SerializeToString(), chance), timeout=LONGEST)
            codes[answer.code().name] += 1
    assert set(codes) <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    assert codes["INVALID_ARGUMENT"] > 100


@pytest.mark.parametrize(("size", "code"), [(10, "OK"), (2**24, "RESOURCE_EXHAUSTED")])
def test_a_packed_message_has_the_same_limit(shared: Client, size: int, code: str) -> None:
    request = asked(inputs={"text": ["a" * size]})
    assert len(gzip.compress(request.SerializeToString())) < 2**16
    call = shared.predictions.Predict.future(request, timeout=LONGEST, compression=grpc.Compression.Gzip)
    assert call.code().name == code


def test_callers_have_a_token(model: ModelVersions, connect: Callable[..., Client]) -> None:
    from progressive_tf.serving.server import Tokens

    client = connect(model, tokens=Tokens(predict="secret"))
    for metadata in ((), [("authorization", "Bearer other")], [("authorization", "secret")]):
        code, said = refused(lambda metadata=metadata: client.predict({"text": ["a"]}, metadata))
        assert (code, "a bearer token is expected" in said) == ("UNAUTHENTICATED", True)
    assert refused(lambda: client.models.GetModelStatus(asked("Status"), timeout=LONGEST))[0] == "UNAUTHENTICATED"
    assert client.predict({"text": ["a"]}, [("authorization", "Bearer secret")]).model_spec.version.value == 1


def test_operators_see_how_things_stand_and_predict_nothing(
    model: ModelVersions, connect: Callable[..., Client]
) -> None:
    from progressive_tf.serving.tokens import Tokens

    client = connect(model, tokens=Tokens(predict="secret", release="operator"))
    about = asked("Metadata")
    about.metadata_field.append("signature_def")
    for token in ("secret", "operator"):
        metadata = [("authorization", f"Bearer {token}")]
        status = client.models.GetModelStatus(asked("Status"), timeout=LONGEST, metadata=metadata)
        assert status.model_version_status
        found = client.predictions.GetModelMetadata(about, timeout=LONGEST, metadata=metadata)
        assert found.model_spec.version.value == 1
    assert refused(lambda: client.predict({"text": ["a"]}, metadata))[0] == "UNAUTHENTICATED"
    for call in (client.predictions.GetModelMetadata, client.predictions.Predict):
        request = about if call is client.predictions.GetModelMetadata else asked(inputs={"text": ["a"]})
        assert refused(lambda call=call, request=request: call(request, timeout=LONGEST))[0] == "UNAUTHENTICATED"


def test_calls_are_counted_by_method_and_code(
    model: ModelVersions, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving import grpc_server

    client = connect(model)
    client.predict({"text": ["a"]})
    client.models.GetModelStatus(asked("Status"), timeout=LONGEST)
    refused(lambda: client.predict({"other": ["a"]}))

    def failing(context: Any) -> Any:
        raise KeyError("metadata")

    monkeypatch.setattr(grpc_server, "_as_request", failing)
    assert refused(lambda: client.predict({"text": ["a"]}))[0] == "INTERNAL"
    page = client.rest.get("/metrics").text
    for method, code in (
        ("Predict", "OK"),
        ("GetModelStatus", "OK"),
        ("Predict", "INVALID_ARGUMENT"),
        ("Predict", "INTERNAL"),
    ):
        assert f'progressive_tf_grpc_calls_total{{code="{code}",method="{method}"}} 1.0' in page


def test_metadata_are_headers_whatever_they_are_written_in() -> None:
    from progressive_tf.serving.callers import Callers
    from progressive_tf.serving.grpc_server import _as_request

    class Context:
        def __init__(self, key: str) -> None:
            self.key = key

        def invocation_metadata(self) -> Any:
            return (("x-caller-key", self.key), ("other-bin", b"\xff"))

        def peer(self) -> str:
            return "ipv4:127.0.0.1:9"

    for key in ("ann", "Zoë", "Ἄννα"):
        request = _as_request(Context(key))  # type: ignore[arg-type]
        assert (Callers().of(request, {})[0], request.client) == (key, ("127.0.0.1", 9))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Versions that answer no caller before the second event; the first tells that one waits."""
    from progressive_tf.serving.loaded import LoadedVersion

    answer, entered, go_on = LoadedVersion.answer, threading.Event(), threading.Event()

    def slow(self: LoadedVersion, bucket: Any, instances: Any) -> Any:
        if any(instance["text"].item() == b"slow" for instance in instances):
            entered.set()
            go_on.wait(LONGEST)
        return answer(self, bucket, instances)

    monkeypatch.setattr(LoadedVersion, "answer", slow)
    yield entered, go_on
    go_on.set()


def test_more_calls_than_may_be_find_the_server_unavailable(
    model: ModelVersions, connect: Callable[..., Client], held: tuple[threading.Event, threading.Event]
) -> None:
    client, (entered, go_on) = connect(model, concurrent_requests=1), held
    first = client.predictions.Predict.future(asked(inputs={"text": ["slow"]}), timeout=LONGEST)
    assert entered.wait(LONGEST)
    code, said = refused(lambda: client.predict({"text": ["b"]}))
    assert (code, "1 requests are under way" in said) == ("UNAVAILABLE", True)
    go_on.set()
    assert first.result().model_spec.version.value == 1


def test_an_answer_that_takes_too_long_is_a_deadline_and_a_full_queue_no_room(
    model: ModelVersions, connect: Callable[..., Client], held: tuple[threading.Event, threading.Event]
) -> None:
    client, (entered, _) = connect(model, request_seconds=0.5, queued_instances=2), held
    assert refused(lambda: client.predict({"text": ["a"] * 3}))[0] == "RESOURCE_EXHAUSTED"
    assert refused(lambda: client.predict({"text": ["slow"]})) == (
        "DEADLINE_EXCEEDED",
        "no answer within 0.5 s; try again later",
    )
    assert entered.is_set()


def test_a_caller_who_goes_is_noted_as_answered_and_no_failure(
    model: ModelVersions,
    connect: Callable[..., Client],
    held: tuple[threading.Event, threading.Event],
    tmp_path: Path,
) -> None:
    client, (entered, go_on) = connect(model), held
    call = client.predictions.Predict.future(asked(inputs={"text": ["slow"]}), timeout=LONGEST)
    assert entered.wait(LONGEST)
    call.cancel()
    assert client.predict({"text": []}).model_spec.version.value == 1  # by now the server knows that the other went
    go_on.set()
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status FROM requests"
        wait_until(lambda: connection.execute(query).fetchall() == [(200,)] * 2)


def test_a_server_that_ends_answers_who_is_there_and_sends_others_away(
    model: ModelVersions, connect: Callable[..., Client], held: tuple[threading.Event, threading.Event]
) -> None:
    client, (entered, go_on) = connect(model), held
    first = client.predictions.Predict.future(asked(inputs={"text": ["slow"]}), timeout=LONGEST)
    assert entered.wait(LONGEST)
    portal = client.rest.portal
    assert portal is not None
    ended = portal.start_task_soon(client.rest.app.state.grpc.stop)  # type: ignore[attr-defined]
    code, said = refused(lambda: client.models.GetModelStatus(asked("Status"), timeout=LONGEST))
    assert (code, said) == ("UNAVAILABLE", "the server is about to end; ask another one, or again later")
    assert not ended.done()
    go_on.set()
    assert first.result().model_spec.version.value == 1
    ended.result(LONGEST)


@pytest.mark.slow
def test_calls_under_way_are_answered_before_the_server_ends(model: ModelVersions) -> None:
    from serving_process import running
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    with running(model, "--grpc-port", "0", "--max-queue", "100000") as server:
        found = re.search(r"gRPC is answered on 127\.0\.0\.1:(\d+)", server.said.read_text())
        assert found is not None
        with grpc.insecure_channel(f"127.0.0.1:{found[1]}") as channel:
            predict = PredictionServiceStub(channel).Predict
            calls = [predict.future(asked(inputs={"text": [str(turn)] * 200}), timeout=LONGEST) for turn in range(40)]
            calls[0].result()
            server.process.send_signal(signal.SIGTERM)
            codes = [call.code().name for call in calls]
            assert server.process.wait(LONGEST) == -signal.SIGTERM
            late = predict.future(asked(inputs={"text": ["late"]}), timeout=LONGEST)
            assert late.code().name == "UNAVAILABLE"
    # Who comes after it has begun to end finds nobody, or at the very end a gRPC that drops what it has not begun.
    assert set(codes) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    kept = store_path(model.files.path.parent.parent / "serving", MODEL)
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT status, count(*) FROM requests").fetchall() == [(200, codes.count("OK"))]
    assert "Traceback" not in server.said.read_text()
