"""A release that is tried out before anything is trained."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from releasing import Place, contents, small_plan

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.loading import load_plan
from progressive_tf.training.run.run import load_run
from progressive_tf.training.run.run_folder import open_run
from progressive_tf.training.stage import preflight
from progressive_tf.training.stage.preflight import check_release

# It trains as any other, but what it looks up belongs to nothing that is exported.
UNSAVED = """
import tensorflow as tf
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.projection import Block
from progressive_tf.models.preprocessing.vectors import VectorPreprocessing

SCALE = tf.Variable(2.0, trainable=False)


class Dense(Block):
    def __init__(self, before, seed):
        super().__init__(name="dense")
        self.width = 4
        self.kernel = self.add_weight(
            name="kernel", shape=[before, 4], initializer=tf.keras.initializers.GlorotUniform(seed)
        )

    def call(self, state, training=False):
        return {"hidden": state["inputs"] @ self.kernel * SCALE, "mask": state["mask"]}


def build(request):
    head = ClassificationHead(len(request.labels), 4, 0.0, seed=request.seed)
    blocks = [Dense(request.input_width, request.seed)]
    return BlockModel(VectorPreprocessing(request.input_width), blocks, head, request.labels)
"""
ADAPTER = {"method": "adapter", "size": 4}


@pytest.fixture(autouse=True)
def _nothing_is_tried_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_tried_here", set())


def own_plan(builder: str) -> dict[str, Any]:
    return tiny.raw_plan(
        task="tabular-classification",
        model={"builder": builder},
        data={"source": "digits", "split": {"validation": 0.1, "gate": 0.2, "test": 0.2}},
        stages=[{"name": "first", "data": {"take": 40}}],
    )


def test_what_cannot_be_exported_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    (tmp_path / "unsaved.py").write_text(UNSAVED)
    plan, place = own_plan("unsaved:build"), Place(tmp_path)
    with pytest.raises(InputError, match=r"stages\[0\]: the network that first would release cannot be exported \(As"):
        place.run(plan)
    assert "epoch" not in place.said[-1]
    assert [each.name for each in (tmp_path / "runs").iterdir()] == [".lock"]
    assert not list((tmp_path / "registry").iterdir())


def test_a_network_that_gives_another_kind_of_answer_is_refused(tmp_path: Path) -> None:
    ranks = (
        UNSAVED.replace("return BlockModel(", "network = BlockModel(")
        + "    network.answers = 'ranks'\n    return network\n"
    )
    (tmp_path / "ranking.py").write_text(ranks)
    expected = r"model.builder: ranking:build: its network answers with ranks; tabular-classification asks for classes"
    with pytest.raises(InputError, match=expected):
        Place(tmp_path).run(own_plan("ranking:build"))


def test_each_form_is_tried_once_and_nothing_is_different_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lora = {"method": "lora", "rank": 2, "merge": False, "targets": ["dense"]}
    stages: list[dict[str, Any]] = [{"name": "one"}, {"name": "two"}, {"name": "three", "adaptation": ADAPTER}]
    stages.append({"name": "four", "adaptation": lora})
    plan = tiny.of_table(small_plan(*(each | {"data": {"take": 40}} for each in stages)))
    loaded = load_plan(str(tiny.write_plan(tmp_path, plan)))
    run, _ = open_run(tmp_path / "runs", loaded, False)
    session = load_run(loaded, run, tmp_path / "registry", Display())
    (tmp_path / "registry").mkdir()
    exported: list[list[str]] = []
    export = preflight.export_saved_model

    def counted(network: Any, *arguments: Any, **named: Any) -> None:
        exported.append([each["kind"] for each in network.additions()])
        export(network, *arguments, **named)

    monkeypatch.setattr(preflight, "export_saved_model", counted)
    before = read_weights(session.network.named_weights())
    states = random.getstate(), np.random.get_state()[1].tolist()
    check_release(session)
    assert exported == [[], ["adapter"] * 2]  # updates that a matrix can take in are no part of a release
    after = read_weights(session.network.named_weights())
    assert list(before) == list(after)
    assert all(np.array_equal(value, after[name]) for name, value in before.items())
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    assert not list((tmp_path / "registry").iterdir())

    preflight._tried_here.clear()  # as in another process that goes on with the run
    again = load_run(loaded, run, tmp_path / "registry", Display())
    check_release(again)
    assert len(exported) == 2
    assert len((run.environment or {})[preflight.TRIED]) == 2


def test_a_journal_that_cannot_be_written_is_found_before_the_first_epoch(tmp_path: Path) -> None:
    place = Place(tmp_path)
    plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 40}}))
    run = place.run(plan).run
    journal = tmp_path / "registry" / "tiny" / "journal.sqlite"
    connection = sqlite3.connect(journal)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END")
    connection.close()
    before = contents(tmp_path / "registry")
    plan["stages"].append({"name": "two", "data": {"take": 80}})
    with pytest.raises(InputError, match=r"--registry .*: no version could be released, .*: no space left"):
        place.run(plan)
    assert "epoch" not in place.said[-1]
    assert contents(tmp_path / "registry") == before
    assert run.exists()
