"""Monitoring models of every kind of task, from a registry and a store alone: nothing is trained."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from progressive_tf.commands import run_command
from progressive_tf.monitor import app
from progressive_tf.monitoring.live_metrics import live_metrics
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.plan.tasks import TASKS, Inputs
from progressive_tf.registry import Registry, StagedVersion
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.served_rows import Answered, ServedRequest
from progressive_tf.serving.store import Store, store_path

MODEL, RUN = "tiny", "2026-01-01T00-00-00-12345678"
SENTENCES = [["anna", "sees", "bonn"], ["the", "rain", "falls"], ["carl", "walks", "home", "now"]] * 20
KINDS = [["person", "place"], [], ["person"]] * 20
TAGS = [["B-person", "O", "B-place"], ["O", "O", "O"], ["B-person", "O", "O", "O"]] * 20


def publish(folder: Path, task: str, kind: Inputs, labels: tuple[str, ...]) -> None:
    def export(into: Path) -> None:
        (into / "saved_model.pb").write_bytes(b"graph")

    version = StagedVersion(
        model=MODEL,
        run=RUN,
        stage="one",
        weights_sha256="",
        parent=None,
        task=task,
        input_kind=kind,
        labels=labels,
        plan_sha256="",
        data_sha256="",
        code_sha256="",
        environment={},
        metrics={},
        decision={},
        export=export,
    )
    Registry(folder / "registry").model(MODEL).publish(version)


def keep_gate_rows(folder: Path, **columns: Sequence[Any]) -> None:
    """Keeps what the version's stage said about the rows of its gate."""
    run = folder / "runs" / MODEL / RUN
    stage = run / "stages" / "01-one"
    stage.mkdir(parents=True)
    (run / "plan.yaml").write_text("name: tiny\n", encoding="utf-8")
    (stage / "data.json").write_text(json.dumps({"slice": "all"}), encoding="utf-8")
    rows = len(next(iter(columns.values())))
    where = {"part": "gate", "slice": "all", "source": "rows", "index": range(rows)}
    pd.DataFrame({**where, **columns}).to_parquet(stage / "predictions.parquet")


def keep_answers(
    folder: Path, inputs: Sequence[Any], labels: Sequence[Any], probabilities: Any = None, days_ago: float = 0.1
) -> Path:
    store, began = Store(store_path(folder / "serving", MODEL)), time.time() - days_ago * 86_400
    for place, (given, label) in enumerate(zip(inputs, labels, strict=True)):
        answer = Answered(uuid.uuid4().hex, label, probabilities, given)
        store.add([ServedRequest(began + place, 1, "stable", 0, 200, 0.01, [answer], caller=place)])
    store.close()
    return store.path


def monitored(folder: Path) -> dict[str, str]:
    """Runs the command; returns what it found about each thing that it compared."""
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            run_command(app, [MODEL, "--reference", "run"])
    assert not stop.value.code, complained.getvalue()
    assert (folder / "monitor.html").is_file()
    lines = [line.rstrip() for line in said.getvalue().splitlines() if line.startswith((" inputs", " predictions"))]
    return {line[14:].partition("  ")[0].strip(): line.rpartition("  ")[2].strip() for line in lines}


@pytest.mark.parametrize("form", ["text", "tokens"])
def test_a_tagger_is_compared_with_its_gate_rows_however_it_is_asked(tmp_path: Path, form: str) -> None:
    publish(tmp_path, "token-classification", "words", ("O", "B-person", "I-person", "B-place", "I-place"))
    texts = [" ".join(words) for words in SENTENCES]
    keep_gate_rows(tmp_path, text=texts, tokens=SENTENCES, tags=TAGS, predicted=TAGS, confidence=[[0.5]] * 60)
    inputs = [{form: given} for given in (texts if form == "text" else SENTENCES)]
    store = keep_answers(tmp_path, inputs, KINDS if form == "text" else TAGS)
    found = monitored(tmp_path)
    assert {f"{form}: words", f"{form}: share of unknown words", "labels"} <= set(found)
    assert [name for name, outcome in found.items() if outcome == "drift"] == []
    slices = [
        each.slice
        for each in live_metrics(read_live_rows(store), served_answers(TASKS["token-classification"].answers))
        if each.slice.startswith("says")
    ]
    assert sorted(slices) == ["says no entity", "says person", "says person, place"]


def test_a_tagger_that_finds_other_entities_has_drifted(tmp_path: Path) -> None:
    publish(tmp_path, "token-classification", "words", ("O", "B-person", "I-person", "B-place", "I-place"))
    texts = [" ".join(words) for words in SENTENCES]
    keep_gate_rows(tmp_path, text=texts, tokens=SENTENCES, tags=TAGS, predicted=TAGS, confidence=[[0.5]] * 60)
    keep_answers(tmp_path, [{"text": text} for text in texts], [["place", "place"]] * 60)
    assert monitored(tmp_path)["labels"] == "drift"


@pytest.mark.parametrize("by_column", [True, False])
def test_a_column_of_a_table_may_be_called_image(tmp_path: Path, by_column: bool) -> None:
    publish(tmp_path, "tabular-classification", "columns", ("small", "tall"))
    rows = [(str(160 + place), "red" if place % 2 else "blue") for place in range(60)]
    described = [f"height={height}, image={image}" for height, image in rows]
    said = ["tall", "small"] * 30
    keep_gate_rows(tmp_path, text=described, label=said, predicted=said, probabilities=[[0.3, 0.7]] * 60)
    named = [{"image": image, "height": height} for height, image in rows]
    whole = [{"features": list(row)} for row in rows]
    keep_answers(tmp_path, named if by_column else whole, said, [0.3, 0.7])
    # What a person reads of a gate row is no cell of it: cells are compared with those of earlier callers.
    assert monitored(tmp_path) == {"labels": "quiet", "confidence": "quiet"}
    blue = [{"image": "blue", "height": height} for height, _ in rows]
    keep_answers(
        tmp_path, blue if by_column else [{"features": [height, "blue"]} for height, _ in rows], said, days_ago=9
    )
    found = monitored(tmp_path)
    names = ("image", "height") if by_column else ("column 2", "column 1")
    assert [found[name] for name in (*names, "labels")] == ["drift", "quiet", "quiet"]


def test_a_pictures_statistics_are_not_those_of_a_column_called_image(tmp_path: Path) -> None:
    from progressive_tf.monitoring.input_drift import input_drift

    cells = [{"image": "a red one"}, {"image": "a blue one"}] * 30
    assert [test.name for test in input_drift(cells, cells, "columns", 0)] == ["image"]
    assert input_drift(cells, cells, "images", 0)[0].name == "image: brightness"
