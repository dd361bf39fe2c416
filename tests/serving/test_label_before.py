"""Answers that also say what an earlier version would have called them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, release, wait_until

from progressive_tf.registry import ModelVersions, Registry

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]
# The model of these tests says "says a" to "a".
CHANGES = {"old": ["says a"], "whole": ["says b", "says c"], "one": ["says d"], "says d": ["says d"], "gone": []}
CALLED = {"a": "old", "b": "whole", "c": "whole", "d": None, "e": None, "f": "says f"}


@pytest.fixture
def changed(tmp_path: Path) -> ModelVersions:
    """Version 1, and a stable version 2 that calls its classes otherwise."""
    found = Registry(tmp_path / "registry").model(MODEL)
    release(found, 1, labels=(*CHANGES, "says f"))
    before = {"version": 1, "labels": CHANGES | {"says f": ["says f"]}}
    now = tuple(f"says {text}" for text in ("a", "b", "c", "d", "f", "e"))
    release(found, 2, labels=now, parent=1, labels_before=before)
    return found


def predicted(client: TestClient, path: str = PREDICT) -> Any:
    return client.post(path, json={"instances": list(CALLED)}).json()["predictions"]


def test_both_words_are_said_where_the_operator_wants_it(changed: ModelVersions, start: Start) -> None:
    client = start(changed, says_label_before=True)
    found = predicted(client)
    assert {text: one["label_before"] for text, one in zip(CALLED, found, strict=True)} == CALLED
    assert [one["label"] for one in found] == [f"says {text}" for text in CALLED]
    columns = client.post(PREDICT, json={"inputs": {"text": list(CALLED)}}).json()["outputs"]
    assert columns["label_before"] == list(CALLED.values())
    metadata = client.get(f"/v1/models/{MODEL}/metadata").json()
    assert metadata["labels_before"]["version"] == "1"
    assert metadata["labels_before"]["labels"]["whole"] == ["says b", "says c"]
    assert metadata["labels_before"]["labels"]["gone"] == []
    assert metadata["outputs"]["label_before"].startswith("what version 1 would have called it")


def test_without_that_answers_are_as_tensorflow_serving_gives_them(changed: ModelVersions, start: Start) -> None:
    client = start(changed)
    assert all(set(one) == {"probabilities", "label"} for one in predicted(client))
    metadata = client.get(f"/v1/models/{MODEL}/metadata").json()
    assert "label_before" not in metadata["outputs"]
    assert metadata["labels_before"]["version"] == "1"


def test_a_later_version_of_the_same_words_still_says_the_old_ones(changed: ModelVersions, start: Start) -> None:
    labels = tuple(f"says {text}" for text in ("a", "b", "c", "d", "f", "e"))
    release(changed, 3, labels=labels, parent=2)
    release(changed, 4, alias="shadow", labels=labels)
    client = start(changed, says_label_before=True)
    assert {text: one["label_before"] for text, one in zip(CALLED, predicted(client), strict=True)} == CALLED
    beside = f"/v1/models/{MODEL}/versions/4"  # of another line, where nothing was called otherwise
    wait_until(lambda: client.get(beside).status_code == 200)
    assert "label_before" not in predicted(client, f"{beside}:predict")[0]
    assert "labels_before" not in client.get(f"{beside}/metadata").json()
