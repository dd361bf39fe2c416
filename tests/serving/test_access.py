"""What is noted of each request: a line of JSON, its status by route, and the id and the trace that it is part of."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL

from progressive_tf.logs import JsonLines
from progressive_tf.registry import ModelVersions
from progressive_tf.serving import predict_routes
from progressive_tf.serving.app import Operation
from progressive_tf.serving.routing import caller_number
from progressive_tf.serving.tokens import Tokens
from progressive_tf.serving.trace_context import TraceContext

PREDICT = f"/v1/models/{MODEL}:predict"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
Start = Callable[..., TestClient]


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Returns the lines of the access log so far, each read as JSON."""
    written, log = io.StringIO(), logging.getLogger("progressive_tf.access")
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    level, log.level = log.level, logging.INFO
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    log.level = level
    log.removeHandler(handler)


def counted(client: TestClient) -> dict[tuple[str, str, str], float]:
    """Returns how many replies there were by route, method and status."""
    found = re.findall(
        r'^progressive_tf_http_responses_total{method="(.*?)",route="(.*?)",status="(\d+)"} (\S+)$',
        client.get("/metrics").text,
        re.MULTILINE,
    )
    return {(route, method, status): float(count) for method, route, status, count in found}


def test_each_request_is_a_line(model: ModelVersions, start: Start, lines: Callable[[], list[dict[str, Any]]]) -> None:
    client = start(model, tokens=Tokens(predict="a secret"), operation=Operation(logs_requests=True))
    mine = {"Authorization": "Bearer a secret", "X-Caller-Key": "ann", "X-Request-ID": "mine 1"}
    assert client.post(f"{PREDICT}?token=a+secret", json={"instances": ["a"]}, headers=mine).status_code == 200
    assert client.post(PREDICT, json={"instances": ["a"], "key": "a secret"}).status_code == 401
    assert client.get("/nothing%0A/there", headers=mine).status_code == 404
    said = [line for line in lines() if line["path"] != "/readyz"]
    assert [set(line) for line in said] == [
        {"time", "request_id", "method", "path", "status", "seconds", "caller", "version"}
    ] * 3
    assert said[0]["request_id"] == "mine 1"
    assert [(line["method"], line["path"], line["status"]) for line in said] == [
        ("POST", PREDICT, 200),
        ("POST", PREDICT, 401),
        ("GET", "/nothing\n/there", 404),
    ]
    assert (said[0]["caller"], said[0]["version"]) == (caller_number("ann"), 1)
    assert (said[1]["caller"], said[1]["version"]) == (None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", said[0]["time"])
    assert all(line["seconds"] >= 0 for line in said)
    assert "a secret" not in json.dumps(lines())
    assert "a+secret" not in json.dumps(lines())


def test_nothing_is_logged_of_requests_unless_somebody_wants_it(
    model: ModelVersions, start: Start, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = start(model)
    assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 200
    assert lines() == []


def test_every_status_is_counted_by_route_and_callers_make_no_labels(model: ModelVersions, start: Start) -> None:
    client = start(model, tokens=Tokens(predict="secret"), body_bytes=100, raises=False)
    mine = {"Authorization": "Bearer secret"}
    client.headers.update(mine)
    for headers, body in (({"Authorization": ""}, "{}"), ({}, "x" * 200), ({}, "{}")):
        client.post(PREDICT, content=body, headers=headers)
    for place in range(3):
        client.get(f"/nothing/{place}")
        client.get(f"/v1/models/other-{place}")
        client.request(f"METHOD{place}", f"/none/{place}")
    client.delete(PREDICT)
    found = counted(client)
    of_predict = "/v1/models/{model}:predict"
    assert {key: count for key, count in found.items() if key[0] != "/readyz" and key[0] != "/metrics"} == {
        (of_predict, "POST", "401"): 1.0,
        (of_predict, "POST", "413"): 1.0,
        (of_predict, "POST", "400"): 1.0,
        (of_predict, "DELETE", "405"): 1.0,
        ("other", "GET", "404"): 3.0,
        ("/v1/models/{model}", "GET", "404"): 3.0,
        ("other", "other", "404"): 3.0,
    }
    assert "progressive_tf_requests_in_flight 1.0" in client.get("/metrics").text


def test_refusals_for_want_of_room_or_time_are_counted(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = start(model, concurrent_requests=0)
    assert full.post(PREDICT, json={"instances": ["a"]}).status_code == 503
    assert counted(full)["/v1/models/{model}:predict", "POST", "503"] == 1.0
    small = start(model, queued_instances=1)
    assert small.post(PREDICT, json={"instances": ["a", "b"]}).status_code == 429
    assert counted(small)["/v1/models/{model}:predict", "POST", "429"] == 1.0


def test_a_failure_is_counted_and_has_its_id(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = start(model, raises=False, operation=Operation(logs_requests=True))
    monkeypatch.setattr(predict_routes, "_read", lambda *asked: 1 / 0)
    found = client.post(PREDICT, json={"instances": ["a"]}, headers={"X-Request-ID": "mine"})
    assert (found.status_code, found.headers["x-request-id"]) == (500, "mine")
    assert counted(client)["/v1/models/{model}:predict", "POST", "500"] == 1.0
    (line,) = [line for line in lines() if line["request_id"] == "mine"]
    assert (line["status"], line["version"]) == (500, 1)


def test_how_long_instances_waited_is_counted(model: ModelVersions, start: Start) -> None:
    client = start(model)
    client.post(PREDICT, json={"instances": ["a", "b"]})
    waited = f'progressive_tf_queue_wait_seconds_count{{model="{MODEL}",version="1"}} 2.0'
    assert waited in client.get("/metrics").text


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("an id-1_~", True), ("x" * 128, True), ("x" * 129, False), ("é", False), ("", False)]
)
def test_the_callers_request_id_comes_back_where_it_is_short_and_plain(refusing: Any, sent: str, is_kept: bool) -> None:
    found = refusing.client.get("/healthz", headers={"X-Request-ID": sent.encode("latin-1")})
    assert len(found.headers.get_list("x-request-id")) == 1
    given = found.headers["x-request-id"]
    assert given == sent if is_kept else re.fullmatch("[0-9a-f]{32}", given)


@pytest.mark.parametrize(
    ("sent", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-01", "01"),
        (f"00-{TRACE}-{PARENT}-ff", "03"),
        (f"cc-{TRACE}-{PARENT}-00-what-comes", "00"),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ("", None),
    ],
)
def test_a_trace_goes_on_where_it_is_valid(
    refusing: Any, sent: str, flags: str | None, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    found = refusing.client.get("/healthz", headers={"traceparent": sent})
    answered = found.headers.get("traceresponse")
    if flags is None:
        assert answered is None
        return
    read = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", answered)
    assert read is not None
    assert (read[1], read[3]) == (TRACE, flags)
    assert read[2] not in (PARENT, "0" * 16)


def test_a_trace_stands_in_the_line(
    model: ModelVersions, start: Start, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = start(model, operation=Operation(logs_requests=True))
    found = client.get("/healthz", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (line,) = [line for line in lines() if line["path"] == "/healthz"]
    assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)
    assert found.headers["traceresponse"] == f"00-{TRACE}-{line['span_id']}-01"
    assert TraceContext.of([f"00-{TRACE}-{PARENT}-01"] * 2) is None


def test_other_lines_of_the_log_are_of_json_too() -> None:
    form = JsonLines()
    record = logging.LogRecord("progressive_tf.serving", logging.WARNING, "", 1, "version %d\nis gone", (3,), None)
    read = json.loads(form.format(record))
    assert (read["level"], read["logger"], read["message"]) == (
        "warning",
        "progressive_tf.serving",
        "version 3\nis gone",
    )
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: why" in json.loads(form.format(record))["traceback"]
