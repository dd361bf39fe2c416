"""A canary on a live server that gets more callers only once it is shown to be good enough."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, ask_before, classifier, release, wait_until

from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.history import released_by
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving.canary_evidence import shadow_lines
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.store import Store
from progressive_tf.serving.tokens import Tokens

# Twenty points are shown by some twenty callers where two points take two hundred.
PROVING = {"steps": [50, 100], "min_samples": 5, "max_slowdown": 1000, "proof": "required", "max_accuracy_drop": 0.2}
OPERATOR = {"Authorization": "Bearer operator"}
Start = Callable[..., TestClient]


def begin(
    folder: Path, start: Start, stable: float, candidate: float, **changes: Any
) -> tuple[ModelVersions, TestClient]:
    """Releases stable and a candidate that are wrong about a share of the texts, and serves them."""
    model = Registry(folder / "registry").model(MODEL)
    release(model, 1, export=classifier(wrong=stable))
    release(model, 2, alias=None, plan_release=PROVING | changes, export=classifier(wrong=candidate))
    client = start(model, tokens=Tokens(release="operator"), raises=False)
    ask_before(client)
    return model, client


def ask(client: TestClient, callers: range) -> list[str]:
    """Asks as so many callers; returns the ids of the predictions."""
    ids = []
    for turn in callers:
        asked = {"instances": [f"positive {turn}"], "key": f"caller {turn}"}
        ids += client.post(f"/v1/models/{MODEL}:predict", json=asked).json()["prediction_ids"]
    return ids


def evidence(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/models/{MODEL}/canary").json()
    return found


def seen(client: TestClient) -> int:
    """Returns how many callers the evidence has."""
    findings = evidence(client).get("findings", [])
    said = next((each["says"] for each in findings if each["metric"] == "proof"), "by 0 callers")
    return int(said.rpartition(" callers")[0].rpartition(" ")[2])


def questions(client: TestClient, limit: int = 1000) -> list[dict[str, Any]]:
    found = client.get(f"/v1/models/{MODEL}/questions?limit={limit}", headers=OPERATOR)
    assert found.status_code == 200
    asked: list[dict[str, Any]] = found.json()["questions"]
    return asked


def answer(client: TestClient, asked: list[dict[str, Any]], label: str) -> None:
    for each in asked:
        given = {"question_id": each["question_id"], "label": label}
        assert client.post("/v1/feedback", json=given).json() == {"question_id": each["question_id"], "joined": True}


def test_the_same_answers_need_no_label(tmp_path: Path, start: Start) -> None:
    model, client = begin(tmp_path, start, 0.0, 0.0)
    Traffic(model).start_canary(2)
    wait_until(lambda: evidence(client)["version"] == "2")
    ask(client, range(40))
    wait_until(lambda: model.aliases()["stable"] == 2)
    told = [(entry.event, entry.alias) for entry in model.entries() if entry.who == "the server"]
    assert told == [("proved", "canary"), ("widen", "canary"), ("alias", "stable")]
    assert "it is shown to be at most 20 points less accurate than stable" in str(model.entries()[-1].reason)
    assert released_by(model.entries(), 2) == "proof"
    line = f'progressive_tf_stable_released_by{{by="proof",model="{MODEL}",version="2"}} 1.0'
    wait_until(lambda: line in client.get("/metrics").text)


def test_silence_and_complaints_widen_nothing_and_labels_do(tmp_path: Path, start: Start) -> None:
    model, client = begin(tmp_path, start, 0.6, 0.0)
    Traffic(model).start_canary(2)
    wait_until(lambda: evidence(client)["version"] == "2")
    for prediction in ask(client, range(40)):
        client.post("/v1/feedback", json={"prediction_id": prediction, "label": "positive"})
    wait_until(lambda: seen(client) == 40)
    assert evidence(client)["outcome"] == "wait"
    assert "and no disagreement has been judged" in evidence(client)["reason"]
    with pytest.raises(Exception, match="is not shown yet to be at most 20 points less accurate"):
        Traffic(model).widen(answers=1000)
    asked = questions(client)
    assert 12 < len(asked) < 36
    assert len(questions(client, 3)) == 3
    assert all(set(each) == {"question_id", "prediction_id"} for each in asked)
    said = client.get(f"/v1/models/{MODEL}/questions", headers=OPERATOR).json()
    assert said["labels"] == ["negative", "positive"]
    answer(client, asked, "positive")
    wait_until(lambda: model.aliases()["stable"] == 2)
    assert questions(client) == []


def test_a_worse_one_is_not_proved_by_right_labels_and_holds_in_the_end(tmp_path: Path, start: Start) -> None:
    model, client = begin(tmp_path, start, 0.0, 0.4, max_minutes=0.0001, alpha=0.001)
    Traffic(model).start_canary(2)
    wait_until(lambda: evidence(client)["version"] == "2")
    ask(client, range(40))
    wait_until(lambda: seen(client) == 40)
    answer(client, questions(client), "positive")
    wait_until(lambda: "at the present rate until" in evidence(client)["reason"])
    assert evidence(client)["outcome"] == "hold"
    assert model.aliases() == {"stable": 1, "canary": 2}


@pytest.mark.parametrize("alias", ["canary", "shadow"])
def test_one_that_the_labels_show_to_be_worse_is_taken_back(tmp_path: Path, start: Start, alias: str) -> None:
    model, client = begin(tmp_path, start, 0.0, 0.6, shadow_first=alias == "shadow")
    traffic = Traffic(model)
    traffic.start_shadow(2) if alias == "shadow" else traffic.start_canary(2)
    wait_until(lambda: "shadow" in evidence(client) if alias == "shadow" else evidence(client)["version"] == "2")
    ask(client, range(40))
    wait_until(lambda: len(questions(client)) > 12)
    answer(client, questions(client), "positive")
    wait_until(lambda: model.aliases() == {"stable": 1})
    assert str(model.entries()[-1].reason).startswith("where they disagree stable is right too often")


def test_a_canary_that_fails_is_wrong_for_those_whom_stable_answers(
    tmp_path: Path, start: Start, looked: Callable[[], None]
) -> None:
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1, export=classifier(wrong=0.0, failing=0.5))
    schedule = PROVING | {"max_error_rate": 0.999, "alpha": 1e-9}
    release(model, 2, alias=None, plan_release=schedule, export=classifier(wrong=0.0, failing=1.0))
    client = start(model, raises=False)
    Traffic(model).start_canary(2)
    wait_until(lambda: evidence(client)["version"] == "2")
    by_stable = 0
    for turn in range(20):
        asked = {"instances": [f"positive {turn}"], "key": f"caller {turn}"}
        client.post(f"/v1/models/{MODEL}:predict", json=asked)
        by_stable += client.post(f"/v1/models/{MODEL}/labels/stable:predict", json=asked).status_code == 200
    assert 5 <= by_stable <= 15
    wait_until(lambda: seen(client) == by_stable)
    looked()
    (proof,) = (each["says"] for each in evidence(client)["findings"] if each["metric"] == "proof")
    assert f"{by_stable} callers, {by_stable} disagreements, {by_stable} of them judged" in proof


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"question_id": "f" * 32, "label": "positive"}, 404, "no question with this id"),
        ({"question_id": "short", "label": "positive"}, 400, "32 hexadecimal digits"),
        ({"question_id": "f" * 32}, 400, "label: the right one expected"),
        ({"question_id": "f" * 32, "label": "positive", "correct": True}, 400, "correct"),
        ({"question_id": "f" * 32, "label": "unheard of"}, 403, "that it is another one is an operator's to say"),
        ({"question_id": "f" * 32, "label": " "}, 400, "label: the name of a class"),
        ({"question_id": "f" * 32, "label": None}, 403, "an operator's to say"),
    ],
)
def test_what_is_no_answer_to_a_question(refusing: Any, given: dict[str, Any], status: int, said: str) -> None:
    found = refusing.client.post("/v1/feedback", json=given)
    assert (found.status_code, said in found.json()["error"]) == (status, True)


def test_that_no_class_is_right_an_operator_may_say(
    refusing: Any, tmp_path: Path, model: ModelVersions, start: Start
) -> None:
    none = {"question_id": "f" * 32, "label": None}
    assert refusing.client.post("/v1/feedback", json=none, headers=OPERATOR).status_code == 404
    client = start(model, tokens=Tokens(predict="caller", release="operator"))
    with closing(Store(tmp_path / "served.sqlite")) as store:
        store.add([], [], [Pair(1.0, TwoVersions(1, 2), 5, "a", "b", "0" * 32, question="f" * 32)])
    caller = {"Authorization": "Bearer caller"}
    assert client.post("/v1/feedback", json=none).status_code == 401
    assert client.post("/v1/feedback", json=none, headers=caller).status_code == 403
    found = client.post("/v1/feedback", json=none, headers=OPERATOR)
    assert (found.status_code, found.json()["joined"]) == (200, True)
    of_another = none | {"label": "unheard of"}
    assert client.post("/v1/feedback", json=of_another, headers=caller).status_code == 403
    found = client.post("/v1/feedback", json=of_another, headers=OPERATOR)
    assert found.json()["unknown_label"] == "unheard of"


def test_questions_are_for_operators(refusing: Any, model: ModelVersions, start: Start) -> None:
    path = f"/v1/models/{MODEL}/questions"
    assert refusing.client.get(path).status_code == 401
    assert refusing.client.get(path, headers=OPERATOR).json() == {"questions": []}
    for limit in ("0", "1001", "many", "-1", "²"):
        found = refusing.client.get(path, params={"limit": limit}, headers=OPERATOR)
        assert (found.status_code, "from 1 to 1000" in found.json()["error"]) == (400, True)
    assert refusing.client.get("/v1/models/other/questions", headers=OPERATOR).status_code == 404
    found = start(model).get(path)
    assert (found.status_code, "monitor NAME --ask N" in found.json()["error"]) == (403, True)


def test_a_shadow_gets_callers_once_it_is_shown_to_be_good_enough(tmp_path: Path, start: Start) -> None:
    model, client = begin(tmp_path, start, 0.6, 0.0, shadow_first=True, min_samples=1000)
    with pytest.raises(Exception, match=r"its plan has release.shadow_first; begin with `release shadow reviews 2`"):
        Traffic(model).start_canary(2)
    Traffic(model).start_shadow(2)
    wait_until(lambda: "shadow" in evidence(client))
    assert {client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).json()["version"]} == {"1"}
    ask(client, range(40))
    wait_until(lambda: "41 callers" in evidence(client)["shadow"]["findings"][0]["says"])
    waits = evidence(client)["shadow"]
    assert (waits["outcome"], waits["version"]) == ("wait", "2")
    (said,) = ("\n".join(shadow_lines(Traffic(model), tmp_path / "elsewhere")),)
    assert "no evidence: no server has kept an answer" in said
    answer(client, questions(client), "positive")
    wait_until(lambda: model.aliases() == {"stable": 1, "canary": 2})
    told = [(entry.event, entry.alias) for entry in model.entries() if entry.who == "the server"]
    assert told == [("proved", "shadow"), ("alias", "canary")]
    wait_until(lambda: evidence(client)["version"] == "2")
    wait_until(lambda: evidence(client).get("reason", "").endswith("of 1000 answers"))


def test_a_shadow_that_is_not_shown_in_time_holds(tmp_path: Path, start: Start) -> None:
    model, client = begin(tmp_path, start, 0.0, 0.0, shadow_first=True, max_minutes=0.0001)
    Traffic(model).start_shadow(2)
    wait_until(lambda: evidence(client).get("shadow", {}).get("outcome") == "hold")
    assert "no caller has come after" in evidence(client)["shadow"]["reason"]


def test_of_a_shadow_that_is_worse_a_person_is_told_where_the_plan_leaves_it_to_one(
    tmp_path: Path, start: Start, looked: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    model, client = begin(tmp_path, start, 0.0, 0.6, shadow_first=True, automatic=False)
    Traffic(model).start_shadow(2)
    wait_until(lambda: "shadow" in evidence(client))
    ask(client, range(40))
    wait_until(lambda: len(questions(client)) > 12)
    answer(client, questions(client), "positive")
    wait_until(lambda: "version 2, the shadow, is worse than stable: where they disagree" in caplog.text)
    looked()
    assert model.aliases() == {"stable": 1, "shadow": 2}


def test_a_shadow_waits_while_another_version_is_the_canary(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "progressive_tf.serving")
    model, client = begin(tmp_path, start, 0.0, 0.0, shadow_first=True)
    release(model, 3, alias=None, export=classifier(wrong=0.0))
    Traffic(model).start_shadow(2)
    Traffic(model).start_canary(3, 1)
    wait_until(lambda: "shadow" in evidence(client) and evidence(client)["version"] == "3")
    ask(client, range(60))
    wait_until(lambda: evidence(client)["shadow"]["outcome"] == "widen")
    assert model.aliases() == {"stable": 1, "canary": 3, "shadow": 2}
    assert "It gets no callers yet, since version 3 is the canary" in caplog.text
