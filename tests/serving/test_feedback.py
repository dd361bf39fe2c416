from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL, Shared, release, wait_until

from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.registry import ModelVersions
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving import request_log
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.request_log import LogSettings
from progressive_tf.serving.store import Store, StoreError
from progressive_tf.serving.tokens import Tokens

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]


def kept(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "served.sqlite")) as connection, connection:
        return connection.execute(query).fetchall()


def judged(folder: Path) -> list[bool | None]:
    return list(read_live_rows(folder / "served.sqlite").answers["right"])


def predict(client: TestClient, *texts: str, **body: Any) -> list[str]:
    found: list[str] = client.post(PREDICT, json={"instances": texts or ["a"], **body}).json()["prediction_ids"]
    return found


def test_feedback_is_joined_to_its_prediction(model: ModelVersions, start: Start, tmp_path: Path) -> None:
    client = start(model)
    first, second = predict(client, "a", "b")
    for prediction, said in ((first, {"label": "positive", "comment": " so good "}), (second, {"rating": 2})):
        found = client.post("/v1/feedback", json={"prediction_id": prediction, **said})
        assert (found.status_code, found.json()) == (
            200,
            {"prediction_id": prediction, "joined": True, "version": "1"},
        )
        assert client.post("/v1/feedback", json={"prediction_id": prediction, **said}).json() == found.json()
    joined = (
        "SELECT predictions.label, feedback.label, rating, comment FROM feedback "
        "JOIN predictions ON prediction = predictions.id"
    )
    assert kept(tmp_path, joined) == [
        ('"says a"', '"positive"', None, "so good"),
        ('"says b"', None, 2, None),
    ]
    assert (
        f'progressive_tf_feedback_total{{kind="label",model="{MODEL}",version="1"}} 2.0' in client.get("/metrics").text
    )
    # All of it was said after the newest version was released, and is counted as new.
    newest = model.versions()[-1].number
    wait_until(lambda: kept(tmp_path, "SELECT version, request, feedback FROM releases") == [(newest, 0, 0)])


def test_feedback_on_an_unknown_prediction_is_kept_and_said(model: ModelVersions, start: Start, tmp_path: Path) -> None:
    client = start(model)
    found = client.post("/v1/feedback", json={"prediction_id": "f" * 32, "correct": False})
    assert found.status_code == 202
    assert found.json()["joined"] is False
    assert kept(tmp_path, "SELECT prediction, correct FROM feedback") == [("f" * 32, 0)]


def test_a_label_is_the_class_it_is_however_the_plan_lets_it_be_written(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    release(model, 3, normalize_labels="casefold")
    client = start(model)
    for said in ("POSITIVE ", "\u00a0Positive"):
        (prediction,) = predict(client, said)
        assert client.post("/v1/feedback", json={"prediction_id": prediction, "label": said}).status_code == 200
    assert kept(tmp_path, "SELECT label FROM feedback") == [('"positive"',)] * 2


def test_a_label_that_nobody_knows_is_kept_and_judges_nothing(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    def redact(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if "Ann" not in value}

    client = start(model, logging=LogSettings(redact=redact))
    ids = predict(client, "a", "b", "c")
    said = {"unknown_label": "positiv", "joined": True}
    found = client.post("/v1/feedback", json={"prediction_id": ids[0], "label": " positiv "})
    assert found.status_code == 200
    assert said.items() <= found.json().items()
    assert "unknown label 'positiv'; did you mean 'positive'? Known: positive, negative" in found.json()["message"]
    dropped = client.post("/v1/feedback", json={"prediction_id": ids[1], "label": "what Ann says"})
    assert dropped.status_code == 200
    assert "Ann" not in dropped.text
    assert "unknown_label" not in dropped.json()
    assert "the redaction hook keeps nothing of it" in dropped.json()["message"]
    client.post("/v1/feedback", json={"prediction_id": ids[2], "label": "positive"})
    later = client.post("/v1/feedback", json={"prediction_id": "f" * 32, "label": "neutral"})
    assert later.status_code == 202
    assert "no prediction with this id" in later.json()["message"]
    assert "unknown label 'neutral'" in later.json()["message"]
    assert kept(tmp_path, "SELECT label FROM feedback ORDER BY id") == [
        ('"positiv"',),
        (None,),  # as the hook wants it
        ('"positive"',),
        ('"neutral"',),
    ]
    live = read_live_rows(tmp_path / "served.sqlite", lineage=LabelLineage.read(model))
    assert list(live.answers["right"]) == [None, None, False]
    assert list(live.answers["unknown_words"]) == [("positiv",), (), ()]
    counted = client.get("/metrics").text
    assert f'progressive_tf_feedback_total{{kind="unknown label",model="{MODEL}",version="1"}} 2.0' in counted
    # The newest counts: who has made a mistake sends the right one.
    assert (
        "unknown_label" not in client.post("/v1/feedback", json={"prediction_id": ids[0], "label": "positive"}).json()
    )
    assert list(read_live_rows(tmp_path / "served.sqlite").answers["right"]) == [False, None, False]


def test_a_reply_tells_what_the_hook_has_left_of_a_label(model: ModelVersions, start: Start, tmp_path: Path) -> None:
    def redact(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value.replace("Ann", "…") for name, value in values.items()}

    client = start(model, logging=LogSettings(redact=redact), tokens=Tokens(release="operator"))
    (prediction,) = predict(client, "a")
    found = client.post("/v1/feedback", json={"prediction_id": prediction, "label": "what Ann says"})
    assert found.json()["unknown_label"] == "what … says"
    assert "Ann" not in found.text
    with closing(Store(tmp_path / "served.sqlite")) as store:
        store.add([], [], [Pair(1.0, TwoVersions(1, 2), 5, "a", "b", "0" * 32, question="f" * 32)])
    operator = {"Authorization": "Bearer operator"}
    found = client.post("/v1/feedback", json={"question_id": "f" * 32, "label": "Ann's"}, headers=operator)
    assert found.json()["unknown_label"] == "…'s"
    assert kept(tmp_path, "SELECT label FROM feedback") + kept(tmp_path, "SELECT truth FROM pairs") == [
        ('"what … says"',),
        ('"…\'s"',),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"correct": True}, "prediction_id: 32 hexadecimal digits expected"),
        ({"prediction_id": "../etc/passwd", "correct": True}, "prediction_id: 32 hexadecimal digits expected"),
        ({"prediction_id": "0" * 32}, "exactly one of label, correct, rating expected; got none"),
        ({"prediction_id": "0" * 32, "correct": True, "rating": 1}, "got correct, rating"),
        ({"prediction_id": "0" * 32, "correct": 1}, "correct: true or false expected; got 1"),
        ({"prediction_id": "0" * 32, "rating": 6}, "rating: a whole number from 1 to 5 expected; got 6"),
        ({"prediction_id": "0" * 32, "rating": True}, "rating: a whole number"),
        ({"prediction_id": "0" * 32, "label": "  "}, "label: the name of a class, in UTF-8 and of at most 200"),
        ({"prediction_id": "0" * 32, "label": "x" * 201}, "label: the name of a class, in UTF-8 and of at most 200"),
        (
            {"prediction_id": "0" * 32, "label": ["positiv"]},
            "unknown label 'positiv'; did you mean 'positive'? Known: positive, negative. These are",
        ),
        ({"prediction_id": "0" * 32, "label": {"a": 1}}, "label: a class, or for a tagger a list"),
        ({"prediction_id": "0" * 32, "rating": 1, "comment": "x" * 2001}, "comment: a text of at most 2000"),
        ({"prediction_id": "0" * 32, "rating": 1, "comment": 5}, "comment: a text of at most 2000"),
        ({"prediction_id": "0" * 32, "rating": 1, "more": 5}, "unknown key 'more'"),
        ([], "a JSON object expected; got list"),
    ],
)
def test_wrong_feedback_is_refused_with_what_was_expected(refusing: Shared, body: Any, said: str) -> None:
    found = refusing.client.post("/v1/feedback", json=body)
    assert found.status_code == 400
    assert said in found.json()["error"]
    assert kept(refusing.folder, "SELECT * FROM feedback") == []


def test_an_expected_text_is_compared_letter_by_letter_and_kept_with_its_input_alone(
    writing: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(writing)
    first, second = predict(client, "ä", "b")
    for prediction, text in ((first, "Ä"), (second, "b")):
        found = client.post("/v1/feedback", json={"prediction_id": prediction, "label": text})
        assert (found.status_code, found.json()["joined"]) == (200, True)
    assert judged(tmp_path) == [True, False]
    everything = str(kept(tmp_path, "SELECT * FROM predictions") + kept(tmp_path, "SELECT * FROM feedback"))
    assert not {"ä", "Ä", '"b"', '"B"'} & set(everything)

    def redact(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value.replace("Ann", "…").replace("ANN", "…") for name, value in values.items()}

    client = start(writing, logging=LogSettings(inputs=1.0, redact=redact))
    third, fourth = predict(client, "by Ann", "c")
    for text in ("FROM Ann", "BY ANN"):
        client.post("/v1/feedback", json={"prediction_id": third, "label": text})
    client.post("/v1/feedback", json={"prediction_id": fourth, "correct": True})
    assert judged(tmp_path) == [True, False, True, True]
    inputs = [json.loads(each) for (each,) in kept(tmp_path, "SELECT input FROM predictions ORDER BY rowid") if each]
    assert inputs == [
        {"text": "by …", "translation": "BY …", "expected": "BY …"},
        {"text": "c", "translation": "C"},
    ]


NO_EXPECTED_TEXT = [
    ("generate", "  ", "label: the expected text, a string, expected; got '  '; or send correct, or rating"),
    ("generate", ["a"], "label: the expected text, a string, expected"),
    ("generate", "\ud800", "label: a text in UTF-8 of at most 65536 characters"),
    ("generate", "a" * 65537, "label: a text in UTF-8 of at most 65536 characters"),
    ("tokens", "A", "label: the answer is tokens, which no text is compared with; send correct, or rating"),
]


def test_what_is_no_expected_text_is_refused_with_what_to_send(
    writing: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(writing)
    for signature, label, said in NO_EXPECTED_TEXT:
        instance = [[1, 2]] if signature == "tokens" else ["a"]
        found = client.post(PREDICT, json={"instances": instance, "signature_name": signature}).json()
        (prediction,) = found["prediction_ids"]
        content = json.dumps({"prediction_id": prediction, "label": label})
        refused = client.post("/v1/feedback", content=content)
        assert refused.status_code == 400, label
        assert said in refused.json()["error"]
    assert kept(tmp_path, "SELECT * FROM feedback") == []
    for instead in ({"correct": False}, {"rating": 4}):
        assert client.post("/v1/feedback", json={"prediction_id": prediction, **instead}).status_code == 200
    assert judged(tmp_path) == [None] * 4 + [False]


def test_a_list_is_no_right_label_of_a_class(model: ModelVersions, start: Start, tmp_path: Path) -> None:
    client = start(model)
    (prediction,) = predict(client, "a")
    found = client.post("/v1/feedback", json={"prediction_id": prediction, "label": ["positive"]})
    assert (found.status_code, found.json()["error"]) == (
        400,
        "label: a string expected, as the answer has; or send correct, or rating",
    )
    assert kept(tmp_path, "SELECT * FROM feedback") == []


def test_feedback_asks_for_the_callers_token(model: ModelVersions, start: Start) -> None:
    client = start(model, tokens=Tokens(predict="secret"))
    body = {"prediction_id": "0" * 32, "correct": True}
    assert client.post("/v1/feedback", json=body).status_code == 401
    assert client.post("/v1/feedback", json=body, headers={"Authorization": "Bearer secret"}).status_code == 202


def test_feedback_that_cannot_be_kept_is_not_confirmed_and_predictions_go_on(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "FLUSH_SECONDS", LONGEST)  # what feedback writes is all that is written
    client = start(model)

    def fail(*arguments: Any) -> None:
        raise StoreError("served.sqlite: no space left")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "add", fail)
        broken.setattr(Store, "add_feedback", fail)
        broken.setattr(request_log, "MOST_WAITING", 3)
        ids = [predict(client)[0] for _ in range(5)]
        found = client.post("/v1/feedback", json={"prediction_id": ids[0], "correct": True})
        assert found.status_code == 503
        assert "no space left; send it again" in found.json()["error"]
    assert 'progressive_tf_not_kept_total{kind="request"} 2.0' in client.get("/metrics").text
    assert client.post("/v1/feedback", json={"prediction_id": ids[0], "correct": True}).json()["joined"] is True
    assert len(kept(tmp_path, "SELECT * FROM predictions")) == 3


def test_inputs_are_kept_only_when_asked_and_as_the_hook_lets_them(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    def redact(values: dict[str, Any]) -> dict[str, Any] | None:
        if "fail" in values.get("text", ""):
            raise ValueError
        if "secret" in values.get("text", ""):
            return None
        return {name: value.replace("Ann", "…") for name, value in values.items()}

    client = start(model)
    predict(client, "nobody asked")
    wait_until(lambda: len(kept(tmp_path, "SELECT * FROM predictions")) == 1)
    assert kept(tmp_path, "SELECT input FROM predictions") == [(None,)]
    client = start(model, logging=LogSettings(inputs=1.0, redact=redact))
    ids = predict(client, "by Ann", "a secret", "fail")
    client.post("/v1/feedback", json={"prediction_id": ids[0], "correct": True, "comment": "Ann is right"})
    inputs = kept(tmp_path, "SELECT input FROM predictions ORDER BY rowid")
    assert [each and json.loads(each) for (each,) in inputs] == [None, {"text": "by …"}, None, None]
    assert kept(tmp_path, "SELECT comment FROM feedback") == [("… is right",)]


def test_requests_are_kept_with_their_status_and_the_step_of_the_rollout(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model)
    client.post(PREDICT, json={"instances": ["refused"]})
    rollout = Traffic(model).start_canary(2, 99)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 99)
    for number in range(20):
        predict(client, key=f"caller {number}")
    wait_until(lambda: len(kept(tmp_path, "SELECT * FROM requests")) == 21)
    assert kept(tmp_path, "SELECT version, alias, step, status FROM requests WHERE status != 200") == [
        (1, "stable", 0, 400)
    ]
    assert ("canary", 2, rollout.step) in kept(tmp_path, "SELECT DISTINCT alias, version, step FROM requests")


def test_what_the_shadow_says_is_kept_beside_what_the_caller_got(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model)
    Traffic(model).start_shadow(2)
    wait_until(lambda: "shadow" in client.get("/readyz").json()["aliases"])
    ids = predict(client, "a", "b")
    query = "SELECT predictions.id, version, difference FROM shadows JOIN predictions ON prediction = predictions.id"
    wait_until(lambda: len(kept(tmp_path, query)) == 2)
    assert sorted(kept(tmp_path, query)) == sorted((each, 2, pytest.approx(0.01)) for each in ids)


def test_what_is_older_than_asked_is_removed_while_it_runs(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days, now = [0.0], request_log.SteadyClock.now
    monkeypatch.setattr(request_log.SteadyClock, "now", lambda self: now(self) + days[0] * 86_400)
    monkeypatch.setattr(request_log, "PRUNE_SECONDS", 0.0)
    client = start(model, logging=LogSettings(days=2.0))
    ids = []
    for days[0] in (0.0, 1.0):
        ids += predict(client)
        client.post("/v1/feedback", json={"prediction_id": ids[-1], "correct": True})
    assert kept(tmp_path, "SELECT count(*) FROM feedback") == [(2,)]
    days[0] = 2.5
    wait_until(lambda: kept(tmp_path, "SELECT id FROM predictions") == [(ids[1],)])
    wait_until(lambda: kept(tmp_path, "SELECT prediction FROM feedback") == [(ids[1],)])
