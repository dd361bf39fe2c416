"""A canary on a live server that is widened, or taken back, by nobody but the server."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import (
    MODEL,
    ask_before,
    classifier,
    not_finite,
    of_labels,
    of_two_inputs,
    refusing,
    release,
    translator,
    wait_until,
)

from progressive_tf.registry import Forced, ModelVersions, Registry, RegistryError
from progressive_tf.registry.lock import write_lock
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving import canary_watch
from progressive_tf.serving.callers import Callers
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.routing import address_number, caller_number, position
from progressive_tf.serving.store import Store, StoreError

# A busy machine may be slow for one version by chance: no answer takes a thousand times as long as others.
STEPS = {"steps": [20, 40, 60, 100], "min_samples": 10, "max_minutes": 60, "max_slowdown": 1000}
Start = Callable[..., TestClient]


@pytest.fixture
def stable(tmp_path: Path) -> ModelVersions:
    """Version 1 is stable, and right about every text."""
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1, export=classifier(wrong=0.0))
    return found


def call_until(client: TestClient, is_over: Callable[[], bool]) -> Counter[tuple[str, str]]:
    """Asks as one of 400 callers after the other, and judges every answer, until something is so.

    Returns:
        How often each caller met each version, or the status of an answer that failed.
    """
    met: Counter[tuple[str, str]] = Counter()
    for turn in itertools.count():
        if turn % 10 == 0 and is_over():
            break
        assert turn < 20_000, canary(client)
        caller, label = f"caller {turn % 400}", ("negative", "positive")[turn % 2]
        asked = {"instances": [f"{label} {turn}"], "key": caller}
        answer = client.post(f"/v1/models/{MODEL}:predict", json=asked)
        if answer.status_code != 200:
            met[caller, str(answer.status_code)] += 1
            continue
        met[caller, answer.json()["version"]] += 1
        told = {"prediction_id": answer.json()["prediction_ids"][0], "label": label}
        assert client.post("/v1/feedback", json=told).status_code == 200
    return met


def events(model: ModelVersions) -> list[tuple[str, str | None, int | None, float | None]]:
    """Returns what the server wrote in the journal."""
    entries = [entry for entry in model.entries() if entry.who == "the server"]
    return [(entry.event, entry.alias, entry.version, entry.percent) for entry in entries]


def test_a_good_canary_reaches_everybody(stable: ModelVersions, start: Start) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    client = start(stable)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2)
    call_until(client, lambda: stable.aliases()["stable"] == 2)
    widened = [("widen", "canary", 2, percent) for percent in (40.0, 60.0, 100.0)]
    assert events(stable) == [*widened, ("alias", "stable", 2, None)]
    last = stable.entries()[-1]
    assert last.reason is not None
    assert "no sign that it is worse than stable" in last.reason


@pytest.mark.parametrize(
    ("harm", "reason"), [({"wrong": 0.6}, "its accuracy differs"), ({"wrong": 0.0, "failing": 0.5}, "it fails")]
)
def test_a_worse_one_is_taken_back(stable: ModelVersions, start: Start, harm: dict[str, float], reason: str) -> None:
    release(stable, 2, alias=None, plan_release=STEPS | {"min_samples": 5_000}, export=classifier(**harm))
    client = start(stable, raises=False)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2)
    met = call_until(client, lambda: "canary" not in stable.aliases())
    assert events(stable) == [("rollback", "canary", 2, None)]
    assert str(stable.entries()[-1].reason).startswith(reason)
    wait_until(lambda: canary(client) == {"version": None})
    asked = [client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).json() for _ in range(20)]
    assert {each["version"] for each in asked} == {"1"}
    assert {version for _, version in met} == {"1", "500" if "failing" in harm else "2"} | {"2"}
    saw = {caller for caller, version in met if version != "1"}
    assert 0 < len(saw) <= 0.3 * 400


def ask(client: TestClient, count: int) -> list[tuple[str, str]]:
    """Asks as so many callers, and returns the ids of the predictions, each with its text."""
    asked = []
    for turn in range(count):
        text = f"positive {turn}"
        answer = client.post(f"/v1/models/{MODEL}:predict", json={"instances": [text], "key": str(turn)}).json()
        asked.append((answer["prediction_ids"][0], text))
    return asked


def canary(client: TestClient) -> Any:
    """Returns what the server says of it."""
    return client.get(f"/v1/models/{MODEL}/canary").json()


def test_where_the_plan_says_so_a_person_decides(
    stable: ModelVersions, looked: Callable[[], None], start: Start
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS | {"automatic": False}, export=classifier(wrong=0.9))
    client = start(stable)
    ask_before(client)
    Traffic(stable).start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    ask(client, 60)
    wait_until(lambda: canary(client).get("outcome") == "widen")
    names = [each["metric"] for each in canary(client)["findings"]]
    assert names == ["error rate", "failures", "latency", "accuracy", "disagreement"]
    assert canary(client)["decides"] == "a person"
    assert f'progressive_tf_canary_decision{{model="{MODEL}",outcome="widen",version="2"}} 1.0' in (
        client.get("/metrics").text
    )
    looked()
    assert Traffic(stable).rollout() is not None
    assert events(stable) == []


def test_a_canary_without_steps_is_watched_and_left_alone(
    stable: ModelVersions, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release(stable, 2, alias=None, export=classifier(wrong=0.9))
    client = start(stable)
    ask_before(client)
    with caplog.at_level(logging.INFO, "progressive_tf.serving"):
        Traffic(stable).start_canary(2, 50)
        wait_until(lambda: canary(client).get("outcome") == "hold")
        for prediction, _ in ask(client, 100):
            client.post("/v1/feedback", json={"prediction_id": prediction, "label": "positive"})
        wait_until(lambda: canary(client)["outcome"] == "rollback")
    assert (canary(client)["decides"], events(stable)) == ("a person", [])
    said = [record.getMessage() for record in caplog.records]
    assert any("the server decides nothing about it, since its plan has no release.steps" in each for each in said)
    assert any("is worse than stable: its accuracy differs" in each for each in said)
    shadows = next(each for each in canary(client)["findings"] if each["metric"] == "disagreement")
    assert re.search(r"to \d+ of \d+ of its instances", shadows["says"])
    Traffic(stable).pause()
    wait_until(lambda: canary(client) == {"version": None, "paused": "2"})


@pytest.mark.parametrize("kind", [classifier, translator])
def test_disagreement_with_stable_is_measured_where_the_plan_limits_it(
    tmp_path: Path, start: Start, kind: Callable[..., Callable[[Path], None]]
) -> None:
    stable = Registry(tmp_path / "registry").model(MODEL)
    labels = () if kind is translator else ("negative", "positive")
    release(stable, 1, export=kind(wrong=0.1), labels=labels)
    # A person decides, so that the canary stays until each of its answers has been compared, however slow that is.
    schedule = STEPS | {"max_disagreement": 0.2, "min_samples": 5_000, "automatic": False}
    release(stable, 2, alias=None, plan_release=schedule, export=kind(wrong=0.9), labels=labels)
    client = start(stable)
    ask_before(client)
    Traffic(stable).start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    ask(client, 100)

    def counts() -> tuple[int, ...]:
        with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection, connection:
            return tuple(
                connection.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
                for source in ("shadows WHERE version = 1", "requests WHERE version = 2")
            )

    callers = sum(position(str(turn), 2) < 0.5 for turn in range(100))
    wait_until(lambda: counts() == (callers, callers))
    assert callers > 30
    wait_until(lambda: canary(client).get("outcome") == "rollback")
    assert canary(client)["reason"].startswith("stable says something else to ")


def test_accuracy_of_texts_is_by_what_users_expected(tmp_path: Path, start: Start) -> None:
    stable = Registry(tmp_path / "registry").model(MODEL)
    release(stable, 1, export=translator(), labels=())
    release(stable, 2, alias=None, plan_release=STEPS | {"min_samples": 5_000}, export=translator(wrong=0.9), labels=())
    client = start(stable)
    ask_before(client)
    Traffic(stable).start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    for prediction, text in ask(client, 100):
        client.post("/v1/feedback", json={"prediction_id": prediction, "label": text.upper()})
    wait_until(lambda: "canary" not in stable.aliases())
    assert str(stable.entries()[-1].reason).startswith("its accuracy differs from stable's by -")


def test_a_label_in_the_path_is_no_part_of_the_split(
    stable: ModelVersions, looked: Callable[[], None], start: Start
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    client = start(stable)
    ask_before(client)
    Traffic(stable).start_canary(2)
    wait_until(lambda: canary(client)["version"] == "2")
    for _ in range(15):
        client.post(f"/v1/models/{MODEL}/labels/canary:predict", json={"instances": ["positive"]})
    looked()
    assert canary(client)["reason"] == "0 of 10 answers"
    assert canary(client)["percent"] == 20


@pytest.mark.parametrize(
    ("export", "status"), [(not_finite, 500), (refusing, 400)], ids=["gives no number", "refuses what stable answers"]
)
def test_what_a_version_does_to_good_requests_is_its_own_failure(
    stable: ModelVersions, start: Start, export: Callable[[], Callable[[Path], None]], status: int
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS | {"min_samples": 5_000}, export=export())
    client = start(stable, raises=False)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2)
    met = call_until(client, lambda: "canary" not in stable.aliases())
    assert str(stable.entries()[-1].reason).startswith("it fails")
    assert {said for _, said in met} == {"1", str(status)}


def test_what_both_versions_refuse_is_their_callers_fault(
    tmp_path: Path, stable: ModelVersions, looked: Callable[[], None], start: Start
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=refusing())
    release(stable, 3, export=refusing())
    client = start(stable)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    for turn in range(40):
        asked = {"instances": ["positive"], "key": f"caller {turn}"}
        assert client.post(f"/v1/models/{MODEL}:predict", json=asked).status_code == 400
    kept = "SELECT count(*), sum(failed) FROM requests WHERE status = 400"
    wait_until(lambda: query(tmp_path, kept) == [(40, 0)])
    looked()
    assert "canary" in stable.aliases()


def test_a_canary_that_asks_for_other_inputs_fails_its_callers(
    tmp_path: Path, stable: ModelVersions, start: Start
) -> None:
    release(
        stable, 2, alias=None, plan_release=STEPS | {"automatic": False, "proof": "required"}, export=of_two_inputs()
    )
    client = start(stable)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    callers = [f"caller {turn}" for turn in range(40)]
    for asked in (["positive"], [5]):  # which stable reads, and which neither does
        for caller in callers:
            client.post(f"/v1/models/{MODEL}:predict", json={"instances": asked, "key": caller})
    refused = sum(position(caller, 2) < 0.5 for caller in callers)
    kept = "SELECT version, count(*), sum(failed) FROM requests WHERE status = 400 GROUP BY version"
    wait_until(lambda: query(tmp_path, kept) == [(1, 40 - refused, 0), (2, 2 * refused, refused)])
    failed = "SELECT count(*) FROM pairs WHERE candidate_label IS NULL AND prediction IS NULL"
    wait_until(lambda: query(tmp_path, failed) == [(refused,)])


@pytest.mark.parametrize(
    ("before", "now", "fails"),
    [(classifier(wrong=0.0), of_labels(), True), (of_labels(), refusing(), False), (of_labels(), of_labels(), False)],
    ids=["stable can", "stable cannot", "neither can"],
)
def test_what_a_canary_cannot_be_asked_is_its_own_failure_where_stable_can(
    tmp_path: Path, start: Start, before: Callable[[Path], None], now: Callable[[Path], None], fails: bool
) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=before)
    release(model, 2, alias=None, plan_release=STEPS | {"automatic": False}, export=now)
    client = start(model)
    Traffic(model, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    callers = [f"caller {turn}" for turn in range(40)]
    for caller in callers:
        asked = {"examples": [{"text": "positive"}], "key": caller}
        is_canary = position(caller, 2) < 0.5
        status = client.post(f"/v1/models/{MODEL}:classify", json=asked).status_code
        assert status == (400 if is_canary or not fails else 200)
    refused = sum(position(caller, 2) < 0.5 for caller in callers)
    kept = "SELECT count(*), sum(failed) FROM requests WHERE version = 2 AND status = 400"
    wait_until(lambda: query(tmp_path, kept) == [(refused, refused if fails else 0)])


def query(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "served.sqlite")) as connection, connection:
        return connection.execute(statement).fetchall()


def test_without_a_key_an_address_is_one_caller(tmp_path: Path, stable: ModelVersions, start: Start) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.9))
    client = start(stable)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    for turn in range(60):
        client.post(
            f"/v1/models/{MODEL}:predict", json={"instances": ["positive"] * 10}, headers={"X-Request-ID": str(turn)}
        )
    counted = "SELECT count(*), count(DISTINCT caller), count(DISTINCT version) FROM requests WHERE step > 0"
    wait_until(lambda: query(tmp_path, counted) == [(60, 1, 2)])
    wait_until(lambda: "by 1 callers, of whom each counts for at most 1" in canary(client)["reason"])
    assert canary(client)["reason"].startswith("1 of 10 answers, of ")
    assert canary(client)["outcome"] == "wait"


def canary_with_evidence(stable: ModelVersions, start: Start) -> TestClient:
    """Returns a server on whose canary 60 answers have come; its step takes five minutes."""
    client = start(stable)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    ask(client, 60)
    wait_until(lambda: canary(client).get("reason") == "0 of 5 minutes at this step")
    return client


def test_a_journal_that_is_made_anew_begins_without_evidence(
    tmp_path: Path, stable: ModelVersions, start: Start
) -> None:
    waiting = STEPS | {"min_minutes": 5, "max_minutes": 60}
    release(stable, 2, alias=None, plan_release=waiting, export=classifier(wrong=0.0))
    client = canary_with_evidence(stable, start)
    again = Registry(tmp_path / "again").model(MODEL)
    release(again, 1, export=classifier(wrong=0.0))
    release(again, 2, alias=None, plan_release=waiting, export=classifier(wrong=0.0))
    Traffic(again, "ann").start_canary(2, 50)
    assert again.entries()[-1].id == stable.entries()[-1].id
    here, there = stable.files.journal.parent, again.files.journal.parent
    here.rename(tmp_path / "before")
    there.rename(here)
    wait_until(lambda: str(canary(client).get("reason")).startswith("0 of 10 answers"))
    assert "latency not measured" in canary(client)["reason"]


def test_a_registry_that_is_away_for_a_moment_loses_no_evidence(
    tmp_path: Path, stable: ModelVersions, start: Start
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS | {"min_minutes": 5}, export=classifier(wrong=0.0))
    client = canary_with_evidence(stable, start)
    here, away = stable.files.journal.parent, tmp_path / "away"
    here.rename(away)
    wait_until(lambda: "put it back" in str(client.get("/readyz").json()["problems"]))
    assert canary(client)["version"] == "2"
    for turn, (prediction, _) in enumerate(ask(client, 60)):
        label = "negative" if position(str(turn), 2) < 0.5 else "positive"
        client.post("/v1/feedback", json={"prediction_id": prediction, "label": label})
    ask(client, 60)
    assert not here.exists(), "nothing is written where a disk is away"
    away.rename(here)
    wait_until(lambda: events(stable) == [("rollback", "canary", 2, None)])
    assert query(tmp_path, "SELECT DISTINCT journal FROM requests") == [(0,)]


def test_a_registry_that_is_made_anew_is_served_by_its_own_versions(
    tmp_path: Path, stable: ModelVersions, start: Start
) -> None:
    client = start(stable)
    text = {"instances": ["positive"]}
    assert client.post(f"/v1/models/{MODEL}:predict", json=text).json()["predictions"][0]["label"] == "positive"
    again = Registry(tmp_path / "again").model(MODEL)
    release(again, 1, export=classifier(wrong=1.0))
    here, there = stable.files.journal.parent, again.files.journal.parent
    here.rename(tmp_path / "before")
    there.rename(here)

    def says() -> str:
        found = client.post(f"/v1/models/{MODEL}:predict", json=text).json()
        return str(found["predictions"][0]["label"])

    wait_until(lambda: says() == "negative")


def test_a_store_that_cannot_be_written_keeps_no_canary_from_being_taken_back(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    client = start(stable)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")

    def full(self: Store, *journal: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(Store, "follow", full)
    Traffic(stable, "ann").withdraw("canary", "a bad day")
    wait_until(lambda: canary(client) == {"version": None})
    wait_until(lambda: client.get("/readyz").json()["problems"] == ["no space left"])


def test_a_journal_that_cannot_be_written_is_said_while_a_canary_is_to_be_taken_back(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0, failing=1.0))
    client = start(stable, raises=False)
    ask_before(client)
    withdraw = Traffic.withdraw

    def read_only(self: Traffic, *arguments: object, **named: object) -> None:
        raise RegistryError("the journal cannot be written")

    monkeypatch.setattr(Traffic, "withdraw", read_only)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    said = ["the canary: the journal cannot be written"]
    call_until(client, lambda: client.get("/readyz").json()["problems"] == said)
    assert 'progressive_tf_problems{kind="canary"} 1.0' in client.get("/metrics").text
    monkeypatch.setattr(Traffic, "withdraw", withdraw)
    wait_until(lambda: canary(client) == {"version": None})
    wait_until(lambda: client.get("/readyz").json()["problems"] == [])


def test_a_canary_that_begins_to_fail_is_taken_back_while_another_process_keeps_it_from_being_widened(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept, sleep = list[float](), asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    fails, answer = threading.Event(), LoadedVersion.answer

    def failing(self: LoadedVersion, *given: Any) -> Any:
        if fails.is_set() and self.number == 2:
            raise RuntimeError("it fails from now on")
        return answer(self, *given)

    monkeypatch.setattr(LoadedVersion, "answer", failing)
    own_asyncio = SimpleNamespace(sleep=note, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(canary_watch, "asyncio", own_asyncio)
    client = start(stable, raises=False)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2)
    with write_lock(stable.files.path):
        call_until(client, lambda: canary(client).get("outcome") == "widen")
        looks = len(slept)
        wait_until(lambda: len(slept) > looks + 2)  # each decides it again
        assert client.get("/readyz").json()["problems"] == []
        fails.set()
        call_until(client, lambda: "canary" not in stable.aliases())
    assert events(stable) == [("rollback", "canary", 2, None)]


def test_an_export_that_lasts_is_a_problem_while_a_canary_is_to_be_widened(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_watch, "BUSY_SECONDS", 0.0)
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    client = start(stable)
    ask_before(client)
    Traffic(stable, "ann").start_canary(2)
    with write_lock(stable.files.path):
        call_until(client, lambda: client.get("/readyz").json()["problems"] != [])
        (problem,) = client.get("/readyz").json()["problems"]
        assert problem.startswith("the canary: another process has been writing to reviews")
    wait_until(lambda: client.get("/readyz").json()["problems"] == [])
    assert events(stable)[0] == ("widen", "canary", 2, 40.0)


def test_what_a_front_end_says_of_a_caller_counts_more_than_what_he_says(
    tmp_path: Path, stable: ModelVersions, start: Start
) -> None:
    client = start(stable)
    for turn in range(5):
        body = {"instances": ["positive"], "key": f"made up {turn}"}
        client.post(f"/v1/models/{MODEL}:predict", json=body, headers={"X-Caller-Key": "mallory"})
    assert client.post(f"/v1/models/{MODEL}:predict", json={"instances": []}).status_code == 200
    wait_until(lambda: query(tmp_path, "SELECT count(*), count(DISTINCT caller) FROM requests") == [(6, 2)])


def test_by_the_header_alone_nobody_says_who_he_is(tmp_path: Path, stable: ModelVersions, start: Start) -> None:
    client = start(stable, callers=Callers(by_header_alone=True))
    for header in ({}, {"X-Caller-Key": ""}, {"X-Caller-Key": "ann"}):
        for key in ("made up", "made up too", None, 5):
            body = {"instances": ["positive"], "key": key}
            assert client.post(f"/v1/models/{MODEL}:predict", json=body, headers=header).status_code == 200
    counted = "SELECT caller, count(*) FROM requests GROUP BY caller ORDER BY count(*)"
    by_key, by_address = caller_number("ann"), address_number("testclient")
    wait_until(lambda: query(tmp_path, counted) == [(by_key, 4), (by_address, 8)])


def test_another_stable_begins_the_step_anew(stable: ModelVersions, start: Start) -> None:
    waiting = STEPS | {"min_minutes": 5, "max_minutes": 60}
    for number in (2, 3):
        release(stable, number, alias=None, plan_release=waiting, export=classifier(wrong=0.0))
    client = start(stable)
    ask_before(client)
    Traffic(stable, "ann").start_canary(3, 50)
    wait_until(lambda: canary(client)["version"] == "3")
    ask(client, 60)
    wait_until(lambda: canary(client).get("reason") == "0 of 5 minutes at this step")
    stable.make_stable(2, Forced("to see"))
    wait_until(lambda: str(canary(client).get("reason")).startswith("0 of 10 answers"))


def callers_of(side: str) -> Iterator[str]:
    """Yields keys of callers of stable, or of version 2 as the canary at 50 %."""
    return (key for key in map(str, itertools.count()) if (side == "canary") == (position(key, 2) < 0.5))


def hanging_canary(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> tuple[TestClient, threading.Event, threading.Event]:
    """Returns a server whose canary answers only once the first event is set, and sets the second when it is asked."""
    release(stable, 2, alias=None, plan_release=STEPS, export=classifier(wrong=0.0))
    go_on, asked, answer = threading.Event(), threading.Event(), LoadedVersion.answer

    def hang(self: LoadedVersion, *given: Any) -> Any:
        if self.number != 1:
            asked.set()
            go_on.wait(60)
        return answer(self, *given)

    monkeypatch.setattr(LoadedVersion, "answer", hang)
    go_on.set()
    client = start(stable, **settings)
    Traffic(stable, "ann").start_canary(2, 50)
    wait_until(lambda: canary(client)["version"] == "2")
    go_on.clear()
    asked.clear()
    return client, go_on, asked


def test_a_canary_that_hangs_leaves_room_for_stable(
    tmp_path: Path, stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, go_on, asked = hanging_canary(stable, start, monkeypatch, concurrent_requests=4)

    def ask_as(key: str) -> Any:
        return client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["positive"], "key": key})

    ours, theirs = callers_of("canary"), next(callers_of("stable"))
    with ThreadPoolExecutor(4) as pool:
        try:
            hanging = [pool.submit(ask_as, next(ours))]
            wait_until(asked.is_set)  # or both would be one batch
            hanging.append(pool.submit(ask_as, next(ours)))
            wait_until(lambda: "queued_instances 1.0" in client.get("/metrics").text)
            refused = ask_as(next(ours))
            assert (refused.status_code, "requests to the canary are under way" in refused.text) == (503, True)
            assert ask_as(theirs).json()["version"] == "1"
            wait_until(lambda: query(tmp_path, "SELECT sum(failed) FROM requests WHERE version = 2") == [(1,)])
        finally:
            go_on.set()
        assert {each.result().json()["version"] for each in hanging} == {"2"}


def test_a_canary_that_computes_keeps_stable_from_nothing(
    stable: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, go_on, _ = hanging_canary(stable, start, monkeypatch)
    keys = {side: next(callers_of(side)) for side in ("canary", "stable")}
    with ThreadPoolExecutor(1) as pool:
        try:
            body = {"instances": ["positive"], "key": keys["canary"]}
            slow = pool.submit(client.post, f"/v1/models/{MODEL}:predict", json=body)
            for _ in range(3):
                found = client.post(f"/v1/models/{MODEL}:predict", json=body | {"key": keys["stable"]})
                assert found.json()["version"] == "1"
            assert not slow.done()
        finally:
            go_on.set()
        assert slow.result().json()["version"] == "2"
