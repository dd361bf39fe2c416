from __future__ import annotations

import asyncio
import gc
import re
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL, Shared, classifier, not_finite, release, wait_until, without_numbers

from progressive_tf.registry import Entry, ModelVersions
from progressive_tf.registry.journal import append_entries
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.server import Incoming
from progressive_tf.serving.tokens import Tokens

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]


def aliases(client: TestClient) -> dict[str, int]:
    found: dict[str, int] = client.get("/readyz").json()["aliases"]
    return found


def versions_in_memory(client: TestClient) -> set[str]:
    return {each["version"] for each in client.get(f"/v1/models/{MODEL}").json()["model_version_status"]}


def test_an_answer_has_version_probabilities_and_an_id_for_each_instance(model: ModelVersions, start: Start) -> None:
    client = start(model)
    found = client.post(PREDICT, json={"instances": ["a", "b"]})
    assert found.status_code == 200
    body = found.json()
    assert body["version"] == "1"
    assert [each["label"] for each in body["predictions"]] == ["says a", "says b"]
    assert body["predictions"][0]["probabilities"] == pytest.approx([0.01, 0.99])
    assert len(set(body["prediction_ids"])) == 2
    columns = client.post(PREDICT, json={"inputs": {"text": ["a", "b"]}}).json()
    assert columns["outputs"]["label"] == ["says a", "says b"]


def test_the_paths_are_those_of_tensorflow_serving(model: ModelVersions, start: Start) -> None:
    Traffic(model).start_canary(2, 50)
    client = start(model)
    wait_until(lambda: aliases(client) == {"stable": 1, "canary": 2})
    base = f"/v1/models/{MODEL}"
    assert [each["version"] for each in client.get(base).json()["model_version_status"]] == ["2", "1"]
    state = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert client.get(f"{base}/versions/2").json() == {"model_version_status": [state]}
    assert client.get(f"{base}/labels/canary").json() == {"model_version_status": [state]}
    metadata = client.get(f"{base}/metadata").json()
    assert metadata["model_spec"] == {"name": MODEL, "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["text"]["dtype"] == "DT_STRING"
    assert (metadata["labels"], list(metadata["outputs"])) == (["negative", "positive"], ["probabilities", "label"])
    for body in ({"instances": ["a"]}, {"inputs": ["a"]}):
        assert client.post(PREDICT, json=body).json()["labels"] == ["negative", "positive"]
    for path, version in (("versions/2", "2"), ("labels/canary", "2"), ("labels/stable", "1")):
        assert client.post(f"{base}/{path}:predict", json={"instances": ["a"]}).json()["version"] == version
        assert client.get(f"{base}/{path}/metadata").json()["model_spec"]["version"] == version


def test_texts_that_a_version_writes_are_answered_as_text(writing: ModelVersions, start: Start) -> None:
    client = start(writing)
    answers = [{"translation": text, "confidence": pytest.approx(0.01)} for text in ("Ä “A” 😀", "B")]
    for body in (
        {"instances": ["ä “a” 😀", {"text": "b"}]},
        {"instances": ["ä “a” 😀", "b"], "signature_name": "generate"},
    ):
        assert client.post(PREDICT, json=body).json()["predictions"] == answers
    columns = client.post(PREDICT, json={"inputs": {"text": ["a", "b"]}}).json()["outputs"]
    assert columns["translation"] == ["A", "B"]
    # What is no UTF-8 on the way out is replaced, never written as base64.
    (odd,) = client.post(PREDICT, json={"instances": [{"b64": "/2E="}]}).json()["predictions"]
    assert "\ufffd" in odd["translation"]
    tokens = client.post(PREDICT, json={"instances": [[1, 2], [3]], "signature_name": "tokens"}).json()
    assert tokens["predictions"] == [{"tokens": [1, 2, 0], "confidence": 0.5}, {"tokens": [3, 0], "confidence": 0.5}]
    for body, status, said in (
        ({"instances": [5]}, 400, "instances[0].text: a string"),
        ({"instances": ["a"], "signature_name": "translate"}, 400, "one of generate, serving_default, tokens expected"),
        ({"instances": ["a"], "signature_name": "tokens"}, 400, "inputs: int32 ['any'] expected"),
        ({"instances": [[1.5]], "signature_name": "tokens"}, 400, "whole numbers from"),
        ({"instances": [[99]], "signature_name": "tokens"}, 400, "99 is not in [0, 10)"),
        ({"instances": [[1] * 1025], "signature_name": "tokens"}, 413, "1025 tokens; at most 1024"),
    ):
        found = client.post(PREDICT, json=body)
        assert (found.status_code, said in found.json()["error"]) == (status, True), found.text
    metadata = client.get(f"/v1/models/{MODEL}/metadata").json()
    assert metadata["labels"] == []
    assert "translation" in metadata["outputs"]
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["generate"]["outputs"]["translation"]["dtype"] == "DT_STRING"
    assert signatures["tokens"]["inputs"]["inputs"]["dtype"] == "DT_INT32"


def test_a_shadow_is_compared_by_the_texts_that_it_writes(writing: ModelVersions, start: Start) -> None:
    client = start(writing)
    Traffic(writing).start_shadow(2)
    wait_until(lambda: "shadow" in aliases(client))
    client.post(PREDICT, json={"instances": [f"a text {number}" for number in range(60)]})
    client.post(PREDICT, json={"instances": [[1, 2]], "signature_name": "tokens"})

    def counted() -> dict[str, float]:
        lines = re.findall(r'shadow_instances_total{.*outcome="(\w+)".*} (\S+)', client.get("/metrics").text)
        return {outcome: float(count) for outcome, count in lines}

    wait_until(lambda: sum(counted().values()) == 61)
    assert set(counted()) == {"same", "other"}
    assert 10 <= counted()["other"] <= 50


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("POST", "/v1/models/other:predict", 404, "Could not find any versions of model other"),
        ("GET", f"/v1/models/{MODEL}/versions/9", 404, f"Specific({MODEL}, 9)"),
        ("GET", f"/v1/models/{MODEL}/versions/x", 404, f"Specific({MODEL}, x)"),
        ("POST", f"/v1/models/{MODEL}/versions/{'9' * 400}:predict", 404, "Servable not found"),
        ("GET", f"/v1/models/{MODEL}/labels/canary", 404, f"Label({MODEL}, canary)"),
        ("POST", f"/v1/models/{MODEL}/versions/1/labels/stable:predict", 400, "name one of the two"),
        ("POST", f"/v1/models/{MODEL}/labels/stable/versions/1:predict", 400, "name one of the two"),
        ("DELETE", PREDICT, 405, "Method Not Allowed"),
        ("GET", "/v1/models/..%2f..%2fetc", 404, ""),
        ("GET", "/nothing", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_an_error_in_the_interfaces_form(
    refusing: Shared, method: str, path: str, status: int, said: str
) -> None:
    found = refusing.client.request(method, path, json={"instances": ["a"]} if method == "POST" else None)
    assert found.status_code == status
    assert list(found.json()) == ["error"]
    assert said in found.json()["error"]


def test_limits_have_a_status_and_a_message_each(model: ModelVersions, start: Start) -> None:
    client = start(model, body_bytes=200, instances=2, text_bytes=50)
    for body, status, said in (
        ({"instances": ["a" * 300]}, 413, "a body of more than 200 bytes"),
        ({"instances": ["a", "b", "c"]}, 413, "3 instances; at most 2"),
        ({"instances": ["a" * 60]}, 413, "60 bytes of text; at most 50"),
        ({"instances": ["refused"]}, 400, "the model refuses it: assertion failed: [a text that is refused]"),
    ):
        found = client.post(PREDICT, json=body)
        assert (found.status_code, said in found.json()["error"]) == (status, True), found.text
    chunks = client.post(PREDICT, content=iter([b"x" * 150, b"x" * 150]))
    assert chunks.status_code == 413
    assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 200


def test_a_token_is_asked_for(model: ModelVersions, start: Start) -> None:
    client = start(model, tokens=Tokens(predict="secret"))
    body = {"instances": ["a"]}
    for header in (
        {},
        {"Authorization": "Bearer other"},
        {"Authorization": "Basic secret"},
        {"Authorization": "Bearer é"},
    ):
        encoded = {name: value.encode() for name, value in header.items()}
        found = client.post(PREDICT, json=body, headers=encoded)
        assert found.status_code == 401
        assert found.headers["www-authenticate"] == "Bearer"
    assert client.post(PREDICT, json=body, headers={"Authorization": "Bearer secret"}).status_code == 200


def test_callers_keep_their_version_while_the_canary_widens(model: ModelVersions, start: Start) -> None:
    client, traffic = start(model), Traffic(model)
    keys = [f"caller {number}" for number in range(40)]

    def versions(**by: Any) -> dict[str, str]:
        found = {}
        for key in keys:
            headers = {"x-caller-key": key} if by.get("header") else {}
            body = {"instances": ["a"]} if by.get("header") else {"instances": ["a"], "key": key}
            found[key] = client.post(PREDICT, json=body, headers=headers).json()["version"]
        return found

    assert set(versions().values()) == {"1"}
    seen: list[set[str]] = []
    traffic.start_canary(2, 20)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 20)
    first = versions()
    assert versions() == versions(header=True) == first
    seen.append({key for key, version in first.items() if version == "2"})
    traffic.widen(60)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 60)
    seen.append({key for key, version in versions().items() if version == "2"})
    assert set() < seen[0] < seen[1] < set(keys)
    traffic.pause()
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 0)
    assert set(versions().values()) == {"1"}
    traffic.widen(100)
    wait_until(lambda: aliases(client)["stable"] == 2)
    assert set(versions().values()) == {"2"}


def test_a_shadow_answers_everything_and_no_caller(model: ModelVersions, start: Start) -> None:
    client = start(model)
    Traffic(model).start_shadow(2)
    wait_until(lambda: "shadow" in aliases(client))
    for _ in range(5):
        assert client.post(PREDICT, json={"instances": ["a", "b"]}).json()["version"] == "1"
    line = f'progressive_tf_shadow_instances_total{{model="{MODEL}",outcome="same",version="2"}} 10.0'
    wait_until(lambda: line in client.get("/metrics").text)
    assert f'progressive_tf_shadow_difference_count{{model="{MODEL}",version="2"}} 10.0' in client.get("/metrics").text
    # As many probabilities, and of other classes: their difference says nothing.
    release(model, 3, alias=None, labels=("positive", "negative"))
    Traffic(model).withdraw("shadow")
    Traffic(model).start_shadow(3)
    wait_until(lambda: aliases(client).get("shadow") == 3)
    client.post(PREDICT, json={"instances": ["a"]})
    wait_until(lambda: line.replace('"2"} 10.0', '"3"} 1.0') in client.get("/metrics").text)
    assert f'progressive_tf_shadow_difference_count{{model="{MODEL}",version="3"}}' not in client.get("/metrics").text


def test_a_shadow_reads_the_body_by_its_own_inputs(
    model: ModelVersions, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    release(model, 3, alias=None, export=classifier(wrong=0.0, name="sentence"))
    Traffic(model).start_shadow(3)
    client = start(model)
    wait_until(lambda: "shadow" in aliases(client))
    for instance in ("a bare text", {"text": "a text by a name that it does not have"}):
        assert client.post(PREDICT, json={"instances": [instance] * 3}).json()["version"] == "1"
    counted = 'progressive_tf_shadow_instances_total{{model="{}",outcome="{}",version="3"}} 3.0'
    for outcome in ("other", "failed"):
        wait_until(lambda outcome=outcome: counted.format(MODEL, outcome) in client.get("/metrics").text)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_shadow_that_is_slow_or_says_something_else_slows_no_caller(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving.loaded import LoadedVersion

    answer = LoadedVersion.answer
    go_on = threading.Event()

    def slow(self: LoadedVersion, *arguments: Any) -> Any:
        found = answer(self, *arguments)
        if self.number == 2 and self.version.aliases == ("shadow",):
            go_on.wait(LONGEST)
            return [each | {"label": "other"} for each in found]
        return found

    monkeypatch.setattr(LoadedVersion, "answer", slow)
    go_on.set()
    Traffic(model).start_shadow(2)
    client = start(model, queued_instances=3)
    wait_until(lambda: "shadow" in aliases(client))
    counted = 'progressive_tf_shadow_instances_total{{model="{}",outcome="{}",version="2"}}'
    go_on.clear()
    try:
        for _ in range(10):
            assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 200
        assert counted.format(MODEL, "no time") in client.get("/metrics").text
    finally:
        go_on.set()
    wait_until(lambda: counted.format(MODEL, "other") in client.get("/metrics").text)


def test_no_request_fails_or_mixes_versions_while_aliases_move(model: ModelVersions, start: Start) -> None:
    client = start(model)
    wrong: list[Any] = []
    answered: Counter[str] = Counter()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            found = client.post(PREDICT, json={"instances": ["a", "a much longer text than the first one " * 5]})
            body = found.json()
            if found.status_code != 200 or any(
                each["probabilities"][0] != pytest.approx(int(body["version"]) / 100) for each in body["predictions"]
            ):
                wrong.append(body)
            answered[body.get("version", "")] += 1

    def moved_to(number: int) -> None:
        wait_until(lambda: aliases(client)["stable"] == number)
        before = answered[str(number)]
        wait_until(lambda: answered[str(number)] > before or bool(wrong))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3, 6):
            release(model, number)
            moved_to(number)
        model.rollback("back")
        moved_to(4)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert {"3", "4", "5"} <= set(answered)
    needed = {str(number) for number in model.aliases().values()}
    wait_until(lambda: versions_in_memory(client) == needed)


def test_a_version_that_is_damaged_leaves_the_one_before_it_serving(model: ModelVersions, start: Start) -> None:
    client = start(model)
    Traffic(model).start_canary(2, 50)
    wait_until(lambda: "canary" in aliases(client))
    release(model, 3, alias=None)
    variables = model.version(3).folder / "saved_model.pb"
    variables.chmod(0o600)
    content = bytearray(variables.read_bytes())
    content[len(content) // 2] ^= 1
    model.files.append(Entry("alias", version=3, alias="stable"))
    variables.write_bytes(content)
    wait_until(lambda: bool(client.get("/readyz").json()["problems"]))
    said = client.get("/readyz").json()
    assert said["ready"] is True
    assert re.search(r"version 3: reviews version 3 is damaged .saved_model.pb changed.", said["problems"][0])
    assert client.post(PREDICT, json={"instances": ["a"], "key": "k"}).json()["version"] in {"1", "2"}
    assert aliases(client)["stable"] == 1


def test_the_files_of_aliases_are_for_others_and_the_server_reads_none(
    model: ModelVersions, looked: Callable[[], None], start: Start
) -> None:
    client = start(model)
    for name in ("aliases.json", "models.config"):
        (model.files.path / name).unlink()
    looked()
    assert client.post(PREDICT, json={"instances": ["a"]}).json()["version"] == "1"
    assert client.get("/readyz").json()["problems"] == []
    assert model.settle()
    assert (model.files.path / "aliases.json").is_file()


@pytest.mark.parametrize(
    "problem", ["not a journal", "newer release", "takes back a stable version where there was none", "was not begun"]
)
def test_a_journal_that_cannot_be_read_leaves_everything_serving(
    model: ModelVersions, start: Start, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    monkeypatch.setattr("progressive_tf.serving.app.os.kill", lambda *given: ended.append(given))
    client = start(model)
    journal = model.files.journal
    kept = journal.read_bytes()
    if problem == "newer release":
        with closing(sqlite3.connect(journal)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif problem == "not a journal":
        journal.write_bytes(b"no journal")
    elif problem == "was not begun":
        append_entries(journal, [Entry("commit", token="unknown", version=3)])
    else:
        append_entries(journal, [Entry("rollback", alias="stable", version=1)] * 2)
    wait_until(lambda: bool(client.get("/readyz").json()["problems"]))
    assert problem in client.get("/readyz").json()["problems"][0]
    assert client.post(PREDICT, json={"instances": ["a"]}).json()["version"] == "1"
    journal.write_bytes(kept)
    wait_until(lambda: not client.get("/readyz").json()["problems"])
    assert not ended


def test_requests_are_counted_by_version_alias_and_status(model: ModelVersions, start: Start) -> None:
    client = start(model)
    client.post(PREDICT, json={"instances": ["a"]})
    client.post(PREDICT, json={"instances": [1]})
    text = client.get("/metrics").text
    label = f'alias="stable",model="{MODEL}"'
    assert f'progressive_tf_requests_total{{{label},status="200",version="1"}} 1.0' in text
    assert f'progressive_tf_requests_total{{{label},status="400",version="1"}} 1.0' in text
    assert f'progressive_tf_request_seconds_count{{{label},version="1"}} 2.0' in text
    assert "progressive_tf_batch_size_bucket" in text
    assert f'progressive_tf_canary_percent{{model="{MODEL}"}} 0.0' in text
    assert f'progressive_tf_alias_version{{alias="stable",model="{MODEL}"}} 1.0' in text


def test_an_error_of_ours_has_the_interfaces_form_and_tells_nothing(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Metrics) -> bytes:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Metrics, "text", fail)
    found = TestClient(start(model).app, raise_server_exceptions=False).get("/metrics")
    assert found.status_code == 500
    assert found.json() == {"error": "the server failed on this request; its log says why"}


def test_the_document_of_the_interface_is_there(model: ModelVersions, start: Start) -> None:
    client = start(model)
    assert "/v1/models/{model}:predict" in client.get("/openapi.json").json()["paths"]
    assert client.get("/docs").status_code == 200
    assert client.get("/healthz").json() == {"status": "alive"}


def test_an_answer_that_is_no_number_is_a_failure_for_its_caller_and_in_the_store(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    release(model, 3, export=not_finite())
    client = start(model, raises=False)
    assert client.post(PREDICT, json={"instances": ["often"]}).status_code == 200
    failed = client.post(PREDICT, json={"instances": ["often", "positive"]})
    assert failed.status_code == 500
    assert "no finite number" in failed.json()["error"]
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = (
            "SELECT status, (SELECT count(*) FROM predictions WHERE request = requests.id) FROM requests ORDER BY id"
        )
        wait_until(lambda: connection.execute(query).fetchall() == [(200, 1), (500, 0)])


def test_how_large_the_batch_was_that_the_network_took_its_time_for_is_in_the_store(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model)
    for instances in (["often"], ["word " * 20] * 3, []):
        assert client.post(PREDICT, json={"instances": instances}).status_code == 200
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT size, computed > 0 FROM requests ORDER BY id"
        # The shortest text counts as 16 bytes; three of 100 are 300.
        wait_until(lambda: connection.execute(query).fetchall() == [(16, 1), (256, 1), (None, None)])


def test_a_version_that_hangs_fails_whoever_asks_it_much_at_once(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving.loaded import LoadedVersion

    go_on, answer = threading.Event(), LoadedVersion.answer
    monkeypatch.setattr(LoadedVersion, "answer", lambda *given: go_on.wait(LONGEST) and answer(*given))
    go_on.set()
    client = start(model, request_seconds=0.3)
    go_on.clear()
    many = {"instances": ["a"] * 20, "key": "ann"}  # a batch has four
    try:
        for _ in range(2):
            assert client.post(PREDICT, json=many).status_code == 504
    finally:
        go_on.set()
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status, failed FROM requests ORDER BY id"
        wait_until(lambda: connection.execute(query).fetchall() == [(504, 1)] * 2)


def test_a_canary_with_more_than_half_of_the_callers_holds_as_many_requests() -> None:
    incoming = Incoming(Limits(concurrent_requests=10))
    with ExitStack() as under_way:
        for caller in range(9):
            under_way.enter_context(incoming.of_canary(caller, 90.0))
        with pytest.raises(Refusal, match="9 requests to the canary are under way"):
            under_way.enter_context(incoming.of_canary(9, 90.0))


def test_who_holds_half_of_the_canarys_room_is_refused_by_his_own_doing() -> None:
    incoming = Incoming(Limits(concurrent_requests=8))
    with ExitStack() as under_way:
        for caller in (1, 1, 2, 3):
            under_way.enter_context(incoming.of_canary(caller, 5.0))
        for caller, is_own in ((1, True), (2, False), (4, False)):
            with pytest.raises(Refusal, match="4 requests to the canary are under way") as refused:
                under_way.enter_context(incoming.of_canary(caller, 5.0))
            assert (refused.value.status, refused.value.is_own) == (503, is_own)
    with incoming.of_canary(4, 5.0):
        pass


def test_a_caller_is_the_same_by_his_header_and_by_his_body(model: ModelVersions, start: Start) -> None:
    Traffic(model).start_canary(2, 50)
    client = start(model)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 50)
    found = set()
    for key in [*(f"Jürgen {number}" for number in range(9)), *(f"日本 {number}" for number in range(9)), " padded "]:
        by_body = client.post(PREDICT, json={"instances": ["a"], "key": key}).json()["version"]
        headers = [key.encode()] + ([key.encode("latin-1")] if key[0] == "J" else [])  # as older clients write it
        for header in headers:
            sent = {"x-caller-key": header}
            assert client.post(PREDICT, json={"instances": ["a"]}, headers=sent).json()["version"] == by_body, key
        found.add(by_body)
    assert found == {"1", "2"}


def test_a_version_without_usable_numbers_for_a_made_up_input_is_not_served(model: ModelVersions, start: Start) -> None:
    release(model, 3, alias=None, export=without_numbers("nan"))
    release(model, 4, alias=None, export=without_numbers("complex"))
    client = start(model)
    for number, said in ((3, "gives no finite number in probabilities"), (4, "cannot be written as JSON")):
        Traffic(model).start_shadow(number)
        wait_until(lambda: said in str(client.get("/readyz").json()["problems"]))  # noqa: B023
        assert aliases(client) == {"stable": 1}
        assert 'progressive_tf_problems{kind="version"} 1.0' in client.get("/metrics").text
        assert client.post(PREDICT, json={"instances": ["a"]}).json()["version"] == "1"
    Traffic(model).roll_back("shadow")
    wait_until(lambda: client.get("/readyz").json()["problems"] == [])
    assert 'progressive_tf_problems{kind="version"} 0.0' in client.get("/metrics").text


def test_numbers_of_a_type_that_only_tensorflow_has_are_answered(model: ModelVersions, start: Start) -> None:
    release(model, 3, export=without_numbers("bfloat16"))
    client = start(model)
    wait_until(lambda: aliases(client)["stable"] == 3)
    (found,) = client.post(PREDICT, json={"instances": ["a"]}).json()["predictions"]
    assert found["probabilities"] == [0.5, 0.5]


def test_what_cannot_be_written_as_json_is_an_error_everywhere(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving.loaded import LoadedVersion

    wrong, answer = list[Any](), LoadedVersion.answer
    monkeypatch.setattr(LoadedVersion, "answer", lambda *given: [{"label": wrong[0]}] if wrong else answer(*given))
    client = start(model, raises=False)
    for each in ("half of a pair: \ud83d", object()):
        wrong[:] = [each]
        assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 500
    assert 'version="1"} 2.0' in client.get("/metrics").text
    assert 'alias="stable",model="reviews",status="200"' not in client.get("/metrics").text
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection:
        query = "SELECT status, failed FROM requests"
        wait_until(lambda: connection.execute(query).fetchall() == [(500, 1)] * 2)


def test_half_of_a_surrogate_pair_in_a_refusal_is_written_out(refusing: Shared) -> None:
    for path in (PREDICT, "/v1/feedback", f"/v1/models/{MODEL}/release:rollback"):
        for body in (b'{"\\ud83d": 1}', b'{"instances": ["a"], "signature_name": "\\ud83d"}', b'{"alias": "\\ud83d"}'):
            found = refusing.client.post(path, content=body, headers={"Authorization": "Bearer operator"})
            assert found.status_code == 400
            assert "error" in found.json()


def test_no_shadow_is_asked_about_an_answer_that_cannot_be_written(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving.loaded import LoadedVersion
    from progressive_tf.serving.served_model import ServedModel

    asked, wrong, answer = list[Any](), list[Any](), LoadedVersion.answer
    monkeypatch.setattr(LoadedVersion, "answer", lambda *given: [{"label": wrong[0]}] if wrong else answer(*given))
    monkeypatch.setattr(ServedModel, "shadow", lambda self, given: asked.append(given))
    client = start(model, raises=False)
    wrong.append(object())
    assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 500
    assert asked == []
    wrong.clear()
    said = client.post(PREDICT, json={"instances": ["a"]}).json()
    (given,) = asked
    assert (given.by, given.alias, given.ids) == (1, "stable", said["prediction_ids"])


def test_reading_again_is_forgotten_once_it_is_done(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving import app
    from progressive_tf.serving.signals import Signals
    from progressive_tf.serving.tokens import Tokens

    acts, tasks, read = list[Any](), list[Any](), Tokens.read_again

    def signals(seconds: float, read_again: Any) -> Signals:
        acts.append(read_again)
        return Signals(seconds, read_again)

    async def noting(self: Tokens, is_asked: bool = True) -> None:
        if is_asked:
            tasks.append(weakref.ref(asyncio.current_task()))  # type: ignore[arg-type]
        await read(self, is_asked)

    async def again() -> None:
        acts[0]()

    monkeypatch.setattr(app, "Signals", signals)
    monkeypatch.setattr(Tokens, "read_again", noting)
    client = start(model)
    assert client.portal is not None
    client.portal.call(again)

    def is_forgotten() -> bool:
        gc.collect()
        return bool(tasks) and tasks[0]() is None

    wait_until(is_forgotten)
