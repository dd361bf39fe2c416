"""Every kind of model answers raw inputs, and says what it reads when it is given something else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from progressive_tf.errors import InputError
from progressive_tf.models import mlp, own_builder
from progressive_tf.models.bert import bert_tagger
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import BertTagger, Mlp, OwnBuilder
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.training.answers.exported import export_saved_model

LABELS = ("first", "second")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
STATISTICS = ColumnStatistics(
    TableColumns(numbers=("height",), categories=("colour",)), (2.0,), (1.0,), (("blue", "red"),)
)


def served(network: BlockModel, folder: Path, preprocessing: Any = None) -> Predictor:
    export_saved_model(network, folder)
    return Predictor(folder, {"labels": list(network.labels), "preprocessing": preprocessing})


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("vectors")
    return served(mlp.build(Request(Mlp(builder="mlp", units=4), LABELS, 3, folder, input_width=5)), folder / "1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("table")
    request = Request(Mlp(builder="mlp", units=4), LABELS, 3, folder, statistics=STATISTICS)
    return served(mlp.build(request), folder / "1", STATISTICS.to_json())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    model = OwnBuilder(builder="small_convnet:build", settings={"widths": [4, 4]})
    network = own_builder.build_own(Request(model, LABELS, 3, EXAMPLES, image_size=16))
    return served(network, tmp_path_factory.mktemp("images") / "1")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("tagger")
    tiny.write_vocabulary(folder)
    model = BertTagger(builder="bert-tagger", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG)
    network = bert_tagger.build(Request(model, ("O", "B-thing", "I-thing"), 3, folder))
    for weight in network.head.trainable_weights:
        if weight.shape == [3]:
            weight.assign([0.0, 5.0, 0.0])  # every word begins a thing
    return served(network, folder / "1")


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 12), (shade, 255 - shade, 90)).save(stream, "PNG")
    return stream.getvalue()


def test_texts(tmp_path: Path) -> None:
    network = tiny.build_bert(tmp_path, layers=1)
    version = served(network, tmp_path / "1")
    texts, _ = tiny.sentences(9)
    answers = version.answer(pd.Series(texts), None, 7)
    logits = network(network.preprocess(tf.constant(texts)), training=False)
    np.testing.assert_allclose(answers.iloc[:, 1:], tf.nn.softmax(logits), atol=1e-5)
    alone = version.answer(texts[0], None, 64)
    assert alone["label"][0] == answers["label"][0]
    assert version.answer([], None, 64).columns.equals(answers.columns)
    with pytest.raises(InputError, match=r"inputs\[1\]: this version reads texts; got int 3"):
        version.answer(["good", 3], None, 64)
    with pytest.raises(InputError, match=r"this version reads texts: a string, or several; got int"):
        version.answer(3, None, 64)


def test_rows_of_numbers(vectors: Predictor) -> None:
    rows = np.arange(15.0).reshape(3, 5)
    answers = vectors.answer(rows, None, 2)
    assert len(answers) == 3
    np.testing.assert_allclose(answers.iloc[:, 1:].sum(axis=1), 1, atol=1e-6)
    assert vectors.answer(rows.tolist(), None, 64).equals(vectors.answer(rows, None, 64))
    assert len(vectors.answer(rows[0], None, 64)) == 1, "a row alone"
    assert vectors.answer([], None, 64).empty
    with pytest.raises(InputError, match=r"reads rows of 5 numbers; got an array of shape \[2, 4\]"):
        vectors.answer(np.zeros([2, 4]), None, 64)
    with pytest.raises(InputError, match="reads rows of 5 numbers"):
        vectors.answer(["five"], None, 64)


def test_tables(table: Predictor) -> None:
    frame = pd.DataFrame({"colour": ["red", None], "more": [1, 2], "height": np.array([2, 3], np.int64)})
    answers = table.answer(frame, None, 64)
    mappings = [{"height": 2, "colour": "red"}, {"height": "3", "colour": ""}]
    assert table.answer(mappings, None, 64).equals(answers)
    assert table.answer(mappings[1], None, 64)["label"][0] == answers["label"][1]
    with pytest.raises(InputError, match="no column 'colour'; this version reads height, colour"):
        table.answer(frame[["height"]], None, 64)
    with pytest.raises(InputError, match=r"inputs\[0\]: no column 'height'"):
        table.answer([{"colour": "red"}], None, 64)
    with pytest.raises(InputError, match=r"inputs\[0\].height: one value expected; got list"):
        table.answer([{"colour": "red", "height": [1]}], None, 64)
    with pytest.raises(InputError, match=r"inputs\[0\]: a mapping from column to cell expected; got str"):
        table.answer(["red"], None, 64)


def test_images(images: Predictor, tmp_path: Path) -> None:
    files = [png(shade) for shade in (0, 120, 250)]
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    answers = images.answer(files, None, 2)
    assert images.answer(paths, None, 2).equals(answers)
    pixels = np.stack([np.array(Image.open(path)) for path in paths])
    np.testing.assert_allclose(images.answer(pixels, None, 2).iloc[:, 1:], answers.iloc[:, 1:], atol=1e-5)
    assert len(images.answer(str(paths[0]), None, 2)) == 1
    with pytest.raises(
        InputError, match=r"pixels are uint8 \[batch, height, width, 3\], .* got float64 \[3, 12, 20, 3\]"
    ):
        images.answer(pixels / 255, None, 2)
    with pytest.raises(InputError, match=r"inputs\[0\]: .*gone.png: cannot be read: No such file"):
        images.answer(tmp_path / "gone.png", None, 2)
    with pytest.raises(InputError, match=r"inputs\[2\]: refused: Unknown image file format"):
        images.answer([files[0], files[1], b"no image"], None, 2)


@pytest.mark.slow
def test_taggers_answer_with_spans(tagger: Predictor) -> None:
    text = "good  thinga bad"
    spans = tagger.answer([text, "", "fine"], None, 2)
    assert list(spans.columns) == ["input", "kind", "words", "start", "end", "score"]
    assert list(spans["words"]) == ["good", "thinga", "bad", "fine"]
    assert list(spans["input"]) == [0, 0, 0, 2]
    assert [text[start:end] for start, end in zip(spans["start"][:3], spans["end"][:3], strict=True)] == [
        "good",
        "thinga",
        "bad",
    ]
    of_words = tagger.answer([text.split(), ["fine"]], None, 64)
    assert list(of_words["words"]) == list(spans["words"])
    assert list(of_words["start"]) == [0, 1, 2, 0]
    assert tagger.answer([], None, 64).empty
    with pytest.raises(InputError, match=r"inputs\[1\]: a list of words expected"):
        tagger.answer([["good"], ["", "bad"]], None, 64)


def test_tasks_are_asked_for(tmp_path: Path) -> None:
    class WithTasks(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None, 2], name="features"), tf.TensorSpec([None], tf.string, name="task")]
        )
        def serve(self, raw: tf.Tensor, task: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.debugging.assert_less(raw, 10.0)
            shape = [tf.shape(raw)[0], 4]
            return {"probabilities": tf.fill(shape, 0.25), "label": task}

    module = WithTasks()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve})
    model = Predictor(tmp_path, {"labels": ["x/a", "x/b", "y/a", "y/b"]})
    rows = np.zeros([3, 2])
    assert list(model.answer(rows, "y", 2)["label"]) == ["y"] * 3
    assert list(model.answer(rows, ["x", "y", "x"], 2)["label"]) == ["x", "y", "x"]
    with pytest.raises(InputError, match="this version has tasks; name that of each input, one of x, y"):
        model.answer(rows, None, 2)
    with pytest.raises(InputError, match="task: 2 given for 3 inputs"):
        model.answer(rows, ["x", "y"], 2)
    with pytest.raises(InputError, match="unknown task 'z'"):
        model.answer(rows, "z", 2)
