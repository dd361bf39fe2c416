from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL, RELEASE, Shared, release, wait_until

from progressive_tf.registry import ModelVersions
from progressive_tf.registry.lock import write_lock
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.store import Store, StoreError
from progressive_tf.serving.tokens import Tokens

Start = Callable[..., TestClient]
OPERATOR = {"Authorization": "Bearer operator"}


@pytest.fixture
def client(model: ModelVersions, start: Start) -> TestClient:
    return start(model, tokens=Tokens(predict="caller", release="operator"))


def act(client: TestClient, verb: str, **body: Any) -> tuple[int, Any]:
    found = client.post(f"/v1/models/{MODEL}/release:{verb}", json=body, headers=OPERATOR)
    return found.status_code, found.json()


def test_an_operator_releases_over_http(client: TestClient, model: ModelVersions) -> None:
    assert act(client, "canary", version=2, percent=5, who="ann", reason="the gate passed") == (
        200,
        {"aliases": {"stable": 1, "canary": 2}, "canary": {"percent": 5.0, "paused": False}},
    )
    assert (model.entries()[-1].who, model.entries()[-1].reason) == ("ann over HTTP", "the gate passed")
    assert act(client, "widen", percent=20)[1]["canary"] == {"percent": 20.0, "paused": False}
    assert act(client, "pause")[1]["canary"] == {"percent": 20.0, "paused": True}
    assert act(client, "widen")[1]["canary"] == {"percent": 20.0, "paused": False}
    assert act(client, "rollback")[1] == {"aliases": {"stable": 1}, "canary": None}
    assert act(client, "shadow", version=2)[1]["aliases"] == {"stable": 1, "shadow": 2}
    assert act(client, "rollback", alias="shadow")[1]["aliases"] == {"stable": 1}
    act(client, "canary", version=2, percent=50)
    assert act(client, "widen", percent=100)[1]["aliases"] == {"stable": 2, "previous": 1}
    assert act(client, "rollback", reason="worse")[1]["aliases"] == {"stable": 1}
    assert model.entries()[-1].who == "somebody over HTTP"


@pytest.mark.parametrize(
    ("verb", "body", "status", "said"),
    [
        ("canary", {"percent": 5}, 400, "version: the number of the version expected"),
        ("canary", {"version": 9, "percent": 5}, 400, "unknown version of reviews '9'"),
        ("canary", {"version": 2}, 400, "no release.steps; say how many callers"),
        ("canary", {"version": 2, "percent": 500}, 400, "--percent 500: a percentage above 0"),
        ("canary", {"version": 1, "percent": 5}, 400, "version 1 is stable"),
        ("canary", {"version": True, "percent": 5}, 400, "version: a whole number"),
        ("canary", {"version": 2, "percent": "5"}, 400, "percent: a number expected; got '5'"),
        ("canary", {"version": 2, "percent": 5, "reason": ["x"]}, 400, "reason: a text of at most 500"),
        ("widen", {"percent": 5}, 400, "has no canary"),
        ("widen", {"version": 5}, 400, "unknown key 'version'"),
        ("rollback", {}, 400, "no previous version to roll back to"),
        ("rollback", {"alias": "stabel"}, 400, "alias: stable, canary or shadow expected"),
        ("explode", {}, 404, ""),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    refusing: Shared, verb: str, body: dict[str, Any], status: int, said: str
) -> None:
    before = refusing.model.entries()
    found = act(refusing.client, verb, **body)
    assert found[0] == status
    assert said in found[1]["error"]
    assert refusing.model.entries() == before


def test_the_callers_token_releases_nothing(client: TestClient, model: ModelVersions, start: Start) -> None:
    path, body = f"/v1/models/{MODEL}/release:canary", {"version": 2, "percent": 5}
    for headers in ({}, {"Authorization": "Bearer caller"}):
        assert client.post(path, json=body, headers=headers).status_code == 401
    predict = client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}, headers=OPERATOR)
    assert predict.status_code == 401
    without = start(model)
    found = without.post(path, json=body, headers=OPERATOR)
    assert found.status_code == 403
    assert "releasing over HTTP is off" in found.json()["error"]
    assert model.aliases() == {"stable": 1}


def test_another_process_that_writes_makes_it_wait_and_then_say_so(client: TestClient, model: ModelVersions) -> None:
    model.wait_seconds = 0.1
    with write_lock(model.files.path, 0.1):
        status, body = act(client, "canary", version=2, percent=5)
    assert status == 503
    assert "error" in body
    assert act(client, "canary", version=2, percent=5)[0] == 200


def test_the_steps_of_the_plan_are_taken_with_enough_answers(model: ModelVersions, start: Start) -> None:
    release(model, 3, alias="canary", percent=40, plan_release=RELEASE)
    client = start(model, tokens=Tokens(release="operator"))
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 40)
    status, body = act(client, "widen")
    assert status == 400
    assert "version 3 has given 0 of the 5 answers that its plan asks for at 40 %" in body["error"]
    answered = 0
    for number in range(100):
        found = client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"], "key": str(number)}).json()
        answered += found["version"] == "3"
        if answered == 5:
            break
    assert act(client, "widen")[1]["canary"] == {"percent": 70.0, "paused": False}
    assert "0 of the 5 answers" in act(client, "widen")[1]["error"]
    assert Traffic(model).rollout() is not None


def test_with_a_damaged_store_a_canary_is_taken_back_and_not_widened(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(model, 3, alias="canary", percent=40, plan_release=RELEASE)
    client = start(model, tokens=Tokens(release="operator"))
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 40)

    def damaged(*arguments: object) -> None:
        raise StoreError("served.sqlite: damaged")

    monkeypatch.setattr(Store, "step_counts", damaged)
    assert act(client, "widen") == (409, {"error": "served.sqlite: damaged"})
    assert act(client, "widen", percent=50)[0] == 200
    assert act(client, "rollback")[0] == 200
    assert "canary" not in model.aliases()


def test_an_operator_gets_in_while_callers_take_all_the_room(model: ModelVersions, start: Start) -> None:
    client = start(model, tokens=Tokens(release="operator"), concurrent_requests=0)
    assert client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).status_code == 503
    assert act(client, "canary", version=2, percent=5)[0] == 200


def test_a_rollback_waits_for_no_export_and_undoes_nothing_twice(client: TestClient, model: ModelVersions) -> None:
    assert act(client, "canary", version=2, percent=5)[0] == 200
    with ThreadPoolExecutor(8) as threads, write_lock(model.files.path, 0.1):
        model.wait_seconds = LONGEST
        waiting = [threads.submit(act, client, "pause") for _ in range(8)]  # more than there are threads for
        assert act(client, "rollback", version=2) == (200, {"aliases": {"stable": 1}, "canary": None})
        status, body = act(client, "rollback", version=2)
        assert (status, "version 2 is neither stable nor canary" in body["error"]) == (400, True)
        assert not all(each.done() for each in waiting)
    assert model.aliases() == {"stable": 1}


def test_a_rollback_is_served_whatever_becomes_of_the_store(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(model, 3)
    client = start(model, tokens=Tokens(release="operator"))
    wait_until(lambda: client.get("/readyz").json()["aliases"] == {"stable": 3, "previous": 1})
    go_on = threading.Event()
    for name in ("add", "follow", "mark_release"):
        monkeypatch.setattr(Store, name, lambda self, *given: go_on.wait(LONGEST))
    try:
        Traffic(model).start_canary(2, 50)
        wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 50)
        client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]})
        for alias, expected in (("canary", {"stable": 3, "previous": 1}), ("stable", {"stable": 1})):
            assert act(client, "rollback", alias=alias)[0] == 200
            wait_until(lambda: client.get("/readyz").json()["aliases"] == expected)  # noqa: B023
    finally:
        go_on.set()


def test_a_rollback_that_is_done_is_answered_so_whatever_can_be_read_afterwards(
    client: TestClient, model: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    Traffic(model).start_canary(2, 5)
    roll_back = Traffic.roll_back

    def and_then_damaged(self: Traffic, *given: Any) -> Any:
        done = roll_back(self, *given)
        model.files.journal.rename(model.files.path / "away")
        return done

    monkeypatch.setattr(Traffic, "roll_back", and_then_damaged)
    status, body = act(client, "rollback")
    assert (status, body["aliases"], body["canary"]) == (200, None, None)
    assert "it is done; how things stand cannot be read: journal.sqlite is missing" in body["problem"]
    (model.files.path / "away").rename(model.files.journal)
    assert model.aliases() == {"stable": 1}
