"""Ten thousand requests that are wrong in every way, to a server in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from serving_fakes import LONGEST, MODEL, Shared, two_versions
from serving_process import Server, running

A_FEW = 400
RAW_BODIES, FROM_THE_DOCUMENT, RAW_REQUESTS = 8500, 1500, 500
GROWTH_MB = 40
PREDICT = f"/v1/models/{MODEL}:predict"
PATHS = (PREDICT, f"/v1/models/{MODEL}/versions/1:predict", f"/v1/models/{MODEL}/labels/stable:predict", "/v1/feedback")
RIGHT = {"model": MODEL, "version": "1", "label": "stable"}
VALID = (
    b'{"instances": ["a", "b"], "key": "k"}',
    b'{"inputs": {"text": ["a"]}, "signature_name": "serving_default"}',
    b'{"instances": [{"text": {"b64": "YQ=="}}]}',
    b'{"prediction_id": "00000000000000000000000000000000", "correct": true, "comment": "x"}',
)
PIECES = (
    b"\x00",
    b"\xff",
    b"\\ud800",
    b"{" * 200,
    b"[" * 5000,
    b"1e999",
    b"NaN",
    b"-0",
    b"9" * 400,
    b"null",
    b'"',
    b",",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # A busy machine is no error of the server: no request is too late.
    with running(two_versions(tmp_path_factory.mktemp("fuzz")), "--max-seconds", str(LONGEST)) as found:
        yield found


def damaged(body: bytes, chance: random.Random) -> bytes:
    """Returns a body after a few random changes."""
    for _ in range(chance.randint(1, 4)):
        start, end = sorted(chance.randint(0, len(body)) for _ in range(2))
        kind = chance.randrange(5)
        if kind == 0:
            body = body[:start] + body[end:]
        elif kind == 1:
            body = body[:start] + bytes(chance.randrange(256) for _ in range(chance.randint(1, 8))) + body[start:]
        elif kind == 2:
            body = body[:start] + chance.choice(PIECES) + body[end:]
        elif kind == 3:
            body = body[:end] + body[start:]
        else:
            body = body[:start] + body[start:end][::-1] + body[end:]
    return body


def with_pieces() -> list[bytes]:
    """Returns every body with every piece in a string of it, mostly an input, and in its last string."""
    return [
        body[:at] + piece + body[at:]
        for body in VALID
        for piece in PIECES
        for at in (body.find(b'a"') + 1, body.rindex(b'"'))
    ]


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> int:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert isinstance(json.loads(content), dict)
    return answer.status


def send_raw_bodies(server: Server, count: int, seed: int) -> Counter[int]:
    chance = random.Random(seed)
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONGEST)
    for _ in range(count):
        found[post(connection, chance.choice(PATHS), damaged(chance.choice(VALID), chance))] += 1
    connection.close()
    return found


def send_raw_requests(server: Server, count: int, seed: int) -> Counter[str]:
    """Sends what is no HTTP, or hardly any."""
    chance = random.Random(seed)
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n".encode()
    )
    found: Counter[str] = Counter()
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST) as connection:
            connection.sendall(damaged(head, chance) + VALID[0])
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(4096)
            except ConnectionResetError:
                answer = b""
            found[answer[9:12].decode("ascii", "replace")] += 1
    return found


def test_a_few_wrong_bodies_are_refused_in_the_interfaces_form(refusing: Shared) -> None:
    chance = random.Random(4)
    found: Counter[int] = Counter()
    bodies = [(chance.choice(PATHS), damaged(chance.choice(VALID), chance)) for _ in range(A_FEW)]
    for path, body in bodies + [(path, body) for path in (PREDICT, "/v1/feedback") for body in with_pieces()]:
        answer = refusing.client.post(path, content=body)  # an error of the server's is raised here
        assert isinstance(answer.json(), dict)
        found[answer.status_code] += 1
    assert {200, 400} <= set(found) <= {200, 202, 400, 404, 413}, found
    assert found[400] > A_FEW // 3


@pytest.mark.slow
def test_wrong_bodies_and_no_http_are_no_error_of_the_server_and_cost_no_memory(server: Server) -> None:
    send_raw_bodies(server, RAW_BODIES // 5, seed=1)
    before = server.memory_mb()
    bodies = send_raw_bodies(server, RAW_BODIES - RAW_BODIES // 5, seed=2)
    requests = send_raw_requests(server, RAW_REQUESTS, seed=3)
    assert not {status for status in bodies if status >= 500}, bodies
    assert bodies[400] > RAW_BODIES // 3
    assert not {status for status in requests if status.startswith("5")}, requests
    assert server.memory_mb() - before < GROWTH_MB
    assert server.predict()["version"] == "1"


def ways(operation: Any) -> list[dict[str, str] | None]:
    """Returns that names in the path are made up and, where there are any, that they are right."""
    names = {each.name for each in operation.path_parameters}
    right = {name: value for name, value in RIGHT.items() if name in names}
    return [None, right] if right else [None]


@pytest.mark.slow
def test_what_the_interfaces_document_allows_or_forbids_is_no_error_of_the_server(server: Server) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(server.ask("/openapi.json"))
    operations = [each.ok() for each in schema.get_all_operations()]
    assert {"POST /v1/feedback", "POST /v1/models/{model}:predict"} <= {each.label for each in operations}
    found: Counter[int] = Counter()
    before = server.memory_mb()
    plans = [
        (operation, mode, fixed) for operation in operations for mode in GenerationMode for fixed in ways(operation)
    ]
    for operation, mode, fixed in plans:

        @seed(7)
        @settings(
            max_examples=FROM_THE_DOCUMENT // len(plans),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode, path_parameters=fixed))
        def send(case: schemathesis.Case) -> None:
            answer = case.call(base_url=f"http://127.0.0.1:{server.port}", timeout=LONGEST)
            found[answer.status_code] += 1
            assert answer.status_code < 500, case.as_curl_command()

        # Nothing that is wrong can be sent to a route that reads nothing.
        with contextlib.suppress(Unsatisfiable):
            send()
    assert sum(found.values()) > FROM_THE_DOCUMENT // 2
    assert found[200] > 0
    assert found[400] > 0
    assert server.memory_mb() - before < GROWTH_MB
