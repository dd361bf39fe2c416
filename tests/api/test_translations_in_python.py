"""A version that writes texts, and a run of such stages, from Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reporting.translated_records import write_translation_run

from progressive_tf import Run
from progressive_tf.api.registry import ReleasedVersion
from progressive_tf.errors import InputError
from progressive_tf.files import sha256_file
from progressive_tf.models.request import Request
from progressive_tf.models.t5 import t5
from progressive_tf.plan.networks import T5
from progressive_tf.registry.version import Version as VersionRecord
from progressive_tf.training.answers.exported import export_saved_model
from progressive_tf.training.answers.texts import translate_exported

CONFIG = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2, "num_layers": 1, "num_decoder_layers": 1}
MANIFEST = {
    "labels": [],
    "preprocessing": None,
    "metrics": {"exact_match": 0.5, "bleu": 12.345, "chrf": 67.891},
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ReleasedVersion:
    folder = tmp_path_factory.mktemp("translator") / "1"
    model = T5(builder="t5", weights=None, max_length=16, max_target_length=8, beams=2, config=CONFIG)
    export_saved_model(t5.build(Request(model, (), 3, folder)), folder)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    sha256 = sha256_file(folder / "manifest.json")
    return ReleasedVersion(
        VersionRecord("phrases", 1, folder, "run", "plain", "", sha256, "", "2026-05-04", False, ("stable",))
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.open(write_translation_run(tmp_path_factory.mktemp("runs") / "run"))


def test_texts_are_answered_in_their_order_as_the_gate_has_them(version: ReleasedVersion) -> None:
    texts = ["a text that is longer than the others", "", "grüße", "\ud800"]
    with pytest.warns(UserWarning, match="a part of 1 inputs was not read: the longest has 38 tokens, of which 16"):
        answers = version.predict(texts, batch_size=3)
    assert list(answers.columns) == ["text", "translation", "confidence"]
    assert list(answers["text"]) == texts
    written, confidence = translate_exported(version.folder, texts)
    assert list(answers["translation"]) == written.tolist()
    np.testing.assert_allclose(answers["confidence"], confidence, atol=1e-5)
    assert answers["confidence"].between(0, 1).all()
    with pytest.warns(UserWarning, match="^1 texts were not written to their end"):
        alone = version.predict("grüße")
    assert alone["translation"][0] == answers["translation"][2]
    none = version.predict([])
    assert none.empty
    assert none.columns.equals(answers.columns)


def test_what_a_version_that_writes_cannot_do_is_refused(version: ReleasedVersion) -> None:
    with pytest.raises(InputError, match=r"inputs\[1\]: this version reads texts; got int 3"):
        version.predict(["good", 3])
    with pytest.raises(InputError, match="task: this version has no tasks"):
        version.predict("good", task="first")
    with pytest.raises(InputError, match="phrases version 1 writes texts; it has no classes"):
        assert version.labels


def test_a_version_shows_metrics_on_their_scales(version: ReleasedVersion) -> None:
    shown = version._repr_html_()
    for words in ("writes texts", "0.500", "12.35", "67.89"):
        assert words in shown, words
    assert "classes" not in shown


def test_a_run_has_what_was_written(run: Run) -> None:
    stage = run.stages["polite"]
    predictions = stage.predictions
    assert {"text", "target", "predicted", "confidence"} <= set(predictions.columns)
    assert list(run.frame().columns[3:5]) == ["test chrf", "validation chrf"]
    assert run.frame().loc["polite", "test chrf"] == 20.0
    assert set(stage.figures) == {"curves", "gate"}
    with pytest.raises(InputError, match=r"unknown figure 'confusion'.* not there for the task, has none"):
        assert stage.figures["confusion"]
    assert set(run.figures) == {"gate matrix", "test matrix"}
    for each in (run, stage, stage.decision, run.figures):
        assert each._repr_html_()
    assert "<b>20.00</b>" in run._repr_html_()
    assert "exact match  ACC 0.688" in repr(run)


def test_the_matrix_of_each_metric(run: Run) -> None:
    matrix = run.matrix
    assert matrix.metrics == ("chrf", "exact_match", "bleu")
    assert (matrix.metric, matrix.acc) == ("chrf", 68.75)
    other = matrix.of("exact_match")
    assert (other.metric, other.metrics, other.acc, other.fwt) == ("exact_match", ("exact_match",), 0.6875, None)
    assert other.frame("test").loc["after plain"].tolist() == [0.625, 0.25]
    assert np.isnan(other.frame().loc["untrained", "polite"])
    assert other.measures().loc["ACC", "test"] == 0.75
    assert "0.688" in repr(other)
    assert "100.00" in repr(matrix)
    assert "ACC 68.75" in repr(matrix)
    shown = matrix._repr_html_()
    assert shown.count("<svg") == 6
    assert shown.count("<details>") == 2
    assert other._repr_html_().count("<svg") == 2
    with pytest.raises(InputError, match="unknown metric of the R matrix 'blue'; did you mean 'bleu'"):
        matrix.of("blue")
