from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from progressive_tf.serving.described import examples
from progressive_tf.serving.instances import InputSpec, bucket_of, caller_key, length_of, read_request, reply
from progressive_tf.serving.json_body import read_body
from progressive_tf.serving.limits import Limits, Refusal

TEXT = InputSpec(np.dtype(object), ())
SIGNATURES = {
    "serving_default": {"text": TEXT},
    "tasks": {"text": TEXT, "task": TEXT},
    "columns": {"features": InputSpec(np.dtype(object), (2,))},
    "numbers": {"numbers": InputSpec(np.dtype(np.float32), (3,))},
    "pixels": {"pixels": InputSpec(np.dtype(np.uint8), (None, None, 3))},
    "files": {"image": InputSpec(np.dtype(object), (), is_image=True)},
    "tokens": {"tokens": InputSpec(np.dtype(object), (None,))},
    "written": {"inputs": InputSpec(np.dtype(np.int32), (None,))},
    "flags": {"flags": InputSpec(np.dtype(bool), (2,))},
}


def asked(limits: Limits | None = None, **body: Any) -> Any:
    allowed = body.pop("not_finite", False)
    return read_request(read_body(json.dumps(body).encode(), Limits(), allowed), SIGNATURES, limits or Limits())


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ["a", "b"]},
        {"instances": [{"text": "a"}, {"text": "b"}]},
        {"instances": [{"b64": "YQ=="}, "b"]},
        {"inputs": ["a", "b"]},
        {"inputs": {"text": ["a", "b"]}},
    ],
)
def test_one_input_can_be_written_in_each_of_the_interfaces_forms(body: dict[str, Any]) -> None:
    request = asked(**body)
    assert [each["text"].item() for each in request.instances] == [b"a", b"b"]
    assert request.form in body


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"text": "a", "task": "x"}, {"text": "b", "task": "y"}]},
        {"inputs": {"text": ["a", "b"], "task": ["x", "y"]}},
    ],
)
def test_several_inputs_have_names(body: dict[str, Any]) -> None:
    request = asked(**body, signature_name="tasks")
    assert [(each["text"].item(), each["task"].item()) for each in request.instances] == [(b"a", b"x"), (b"b", b"y")]


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)))
def test_numbers_come_as_they_were_written(rows: list[list[float]]) -> None:
    request = asked(instances=rows, signature_name="numbers")
    assert [each["numbers"].tolist() for each in request.instances] == rows


def test_nan_and_infinity_are_numbers_where_tensorflow_serving_has_them() -> None:
    rows = [[float("nan"), float("inf"), -float("inf")]]
    for form in ({"instances": rows}, {"inputs": {"numbers": rows}}):
        (found,) = asked(**form, signature_name="numbers", not_finite=True).instances
        np.testing.assert_array_equal(found["numbers"], rows[0])
    for too_large in (b"1e999", b"-1e999", b"9" * 400 + b".0"):
        with pytest.raises(Refusal, match="is too large for a number"):
            read_body(b'{"instances": [' + too_large + b"]}", Limits(), not_finite=True)


def test_true_and_false_are_inputs_of_that_type() -> None:
    (found,) = asked(instances=[[True, False]], signature_name="flags").instances
    assert (found["flags"].tolist(), found["flags"].dtype) == ([True, False], bool)


def test_an_empty_signature_name_means_the_default_one() -> None:
    assert asked(instances=["a"], signature_name="").signature == "serving_default"
    for wrong in (None, 0, [], False):
        with pytest.raises(Refusal, match="signature_name: one of"):
            asked(instances=["a"], signature_name=wrong)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, 'exactly one of "instances" and "inputs" expected; got neither'),
        ({"instances": [], "inputs": []}, "got both"),
        ({"instances": ["a"], "instance": []}, "unknown key 'instance'"),
        ({"instances": "a"}, "instances: a list expected; got str"),
        ({"instances": ["a"], "signature_name": "other"}, "signature_name: one of columns, files, flags"),
        ({"instances": ["a"], "signature_name": 1}, "signature_name: one of"),
        ({"instances": [1]}, r"instances\[0\].text: a string, or {\"b64\": …}, expected; got int"),
        ({"instances": ["a", None]}, r"instances\[1\].text: a string"),
        ({"instances": [["a"]]}, r"instances\[0\].text: string expected; got shape \[1\]"),
        ({"instances": [{"b64": "*"}]}, "not base64"),
        ({"instances": [{"text": "a", "more": "b"}]}, r"instances\[0\]: unknown 'more'; expected text"),
        (
            {"instances": ["a"], "signature_name": "tasks"},
            r"instances\[0\]: an object with text, task expected; got str",
        ),
        ({"instances": [{"text": "a"}], "signature_name": "tasks"}, "missing 'task'"),
        (
            {"instances": [{"text": "a", "task": "b"}]},
            r"unknown 'task'; expected text; \"signature_name\": \"tasks\" takes these",
        ),
        ({"inputs": {"numbers": [[1, 2, 3]]}}, r"missing 'text'; .*\"signature_name\": \"numbers\" takes these"),
        ({"inputs": {"text": ["a"], "task": []}, "signature_name": "tasks"}, "as many values in each expected"),
        ({"inputs": {"text": "a"}}, r"inputs.text: a list expected; got str"),
        ({"instances": [["a"]], "signature_name": "columns"}, r"string \[2\] expected; got shape \[1\]"),
        ({"instances": [["a", ["b"]]], "signature_name": "columns"}, "lists of one length expected"),
        ({"instances": [[1, 2]], "signature_name": "numbers"}, r"float32 \[3\] expected; got shape \[2\]"),
        ({"instances": [[1, 2, "x"]], "signature_name": "numbers"}, "no number"),
        ({"instances": [[1, 2, [3]]], "signature_name": "numbers"}, "several lengths"),
        ({"instances": [[1, 2, 1e300]], "signature_name": "numbers"}, "too large for float32"),
        ({"instances": [[True, True, True]], "signature_name": "numbers"}, "no number"),
        ({"instances": [[1, 2, 10**400]], "signature_name": "numbers"}, "too large for a number"),
        ({"instances": [[1, "x" * 5]], "signature_name": "numbers"}, "no number"),
        ({"instances": [[True, 2, 3]], "signature_name": "numbers"}, "no number"),
        ({"instances": [[1, 2, float("nan")]], "signature_name": "numbers"}, "NaN is no number in JSON"),
        ({"instances": [[0, 1]], "signature_name": "flags"}, r"bool \[2\] expected; got something that is no true or"),
        ({"instances": [[True]], "signature_name": "flags"}, r"bool \[2\] expected; got shape \[1\]"),
        ({"instances": [float("nan")], "signature_name": "written", "not_finite": True}, "whole numbers"),
        ({"instances": [[[[1, 2, 256]]]], "signature_name": "pixels"}, "whole numbers from 0 to 255"),
        ({"instances": [[[[1, 2, 0.5]]]], "signature_name": "pixels"}, "whole numbers from 0 to 255"),
        ({"instances": [{"b64": "YQ=="}], "signature_name": "files"}, "no JPEG, PNG, GIF or BMP"),
    ],
)
def test_a_wrong_body_is_refused_with_its_place(body: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        asked(**body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff", "the body is not UTF-8 .byte 0."),
        (b"{", "the body is not JSON"),
        (b"[]", "a JSON object expected; got list"),
        (b'{"instances": [NaN]}', "NaN is no number in JSON"),
        (b'{"instances": ["\\ud800"]}', "half of a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"instances": ' + b"[" * 400 + b"]" * 400 + b"}", "nested too deeply: at most 32 lists and objects"),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        read_request(read_body(body, Limits()), SIGNATURES, Limits())
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("limits", "body", "said"),
    [
        (Limits(instances=2), {"instances": ["a"] * 3}, "3 instances; at most 2"),
        (Limits(text_bytes=2), {"instances": ["äb"]}, "3 bytes of text; at most 2"),
        (Limits(text_bytes=2), {"instances": [{"b64": "YWJj"}]}, "3 bytes of text; at most 2"),
        (
            Limits(tokens=2),
            {"instances": [[1, 2], [1, 2, 3]], "signature_name": "written"},
            r"instances\[1\].inputs: 3 tokens; at most 2",
        ),
    ],
)
def test_what_is_too_much_is_413(limits: Limits, body: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        asked(limits, **body)
    assert refused.value.status == 413


def test_numbers_of_an_image_are_no_tokens() -> None:
    pixels = [[[0] * 3] * 40] * 40
    assert asked(Limits(tokens=2), instances=[pixels], signature_name="pixels").instances[0]["pixels"].size == 4800


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    stream = io.BytesIO()
    Image.new("L", (300, 200)).save(stream, "PNG")
    body = {"instances": [{"b64": base64.b64encode(stream.getvalue()).decode()}], "signature_name": "files"}
    assert asked(Limits(image_pixels=60_000), **body).instances[0]["image"].item() == stream.getvalue()
    with pytest.raises(Refusal, match="300 × 200 pixels; at most 59999 altogether") as refused:
        asked(Limits(image_pixels=59_999), **body)
    assert refused.value.status == 413


def test_a_key_is_a_string() -> None:
    assert caller_key({"key": "me"}) == "me"
    assert caller_key({}) is None
    with pytest.raises(Refusal, match="key: a string expected; got int"):
        caller_key({"key": 7})


def test_instances_of_one_batch_have_the_same_shape_and_signature() -> None:
    one, other = (asked(instances=["a" * length]).instances[0] for length in (1, 200))
    assert bucket_of("serving_default", one) == bucket_of("serving_default", other)
    two, three = (asked(instances=[["a"] * size], signature_name="tokens").instances[0] for size in (2, 3))
    assert bucket_of("tokens", two) != bucket_of("tokens", three)
    assert bucket_of("serving_default", one) != bucket_of("other", one)


@pytest.mark.parametrize("column", ["image", "b64", "text", "task", "key", "instances"])
def test_a_column_of_a_table_is_a_column_whatever_its_name(column: str) -> None:
    body = json.dumps({"instances": [{column: "31"}], "signature_name": "columns"}).encode()
    found = read_request(read_body(body, Limits()), {"columns": {column: TEXT}}, Limits())
    assert found.instances[0][column].item() == b"31"
    ((_, example), *_) = examples({"columns": {column: TEXT}}, ["task/a"])
    assert isinstance(example[column].item().decode(), str)


def test_an_instance_is_as_long_as_its_longest_text_and_an_image_has_no_length() -> None:
    def length(**body: Any) -> int:
        found = asked(**body)
        return length_of(found.instances[0], SIGNATURES[found.signature])

    assert [length(instances=["é" * size]) for size in (1, 8, 100)] == [16, 16, 200]
    assert length(instances=[["a" * 20, "a" * 30]], signature_name="tokens") == 30
    assert length_of({"image": np.array(b"x" * 5000, object)}, SIGNATURES["files"]) == 16
    assert length_of({"image": np.array(b"x" * 5000, object)}, {"image": TEXT}) == 5000


def test_the_reply_has_the_form_of_the_request() -> None:
    answers = [{"label": "a", "score": 1}, {"label": "b", "score": 2}]
    assert reply("instances", answers) == {"predictions": answers}
    assert reply("inputs", answers) == {"outputs": {"label": ["a", "b"], "score": [1, 2]}}
    assert reply("instances", [{"label": "a"}]) == {"predictions": ["a"]}
    assert reply("inputs", [{"label": "a"}]) == {"outputs": ["a"]}


def test_a_text_is_as_long_in_base64() -> None:
    limits, written = Limits(text_bytes=50), base64.b64encode(b"a" * 60).decode()
    for instance in ("a" * 60, {"b64": written}, {"text": {"b64": written}}):
        with pytest.raises(Refusal, match="60 bytes of text; at most 50") as refused:
            asked(limits, instances=[instance])
        assert refused.value.status == 413
    assert asked(limits, instances=[{"b64": base64.b64encode(b"a" * 50).decode()}]).instances[0]["text"] == b"a" * 50
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    file = {"b64": base64.b64encode(stream.getvalue()).decode()}
    assert asked(limits, instances=[file], signature_name="files").instances[0]["image"] == stream.getvalue()
