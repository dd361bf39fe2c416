from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from fitting import same, values

from progressive_tf.errors import InputError
from progressive_tf.models.bert.bert import build
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Bert
from progressive_tf.training.answers.exported import export_saved_model, read_exported_weights
from progressive_tf.training.answers.served_classes import predict_exported

TEXTS = ["good thinga thingb", "", "bad thingc!", "Ünknown [SEP] 好 thinga\u200b", "poor " * 40]

# Serves an exported folder as someone else would: without this package.
READER = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import tensorflow as tf
import tensorflow_text
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answers = []
for batch in json.load(sys.stdin):
    outputs = signature(text=tf.constant(batch))
    answers.append([outputs["probabilities"].numpy().tolist(), [label.decode() for label in outputs["label"].numpy()]])
assert not [name for name in sys.modules if name.startswith(("progressive_tf", "transformers"))]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Any:
    """What was exported; no test changes it."""
    return tiny.build_bert(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def exported(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "1"
    export_saved_model(network, folder)
    return folder


def expected(network: Any, texts: list[str]) -> np.ndarray:
    # One text at a time: what it is padded to makes no difference.
    rows = [tf.nn.softmax(network(network.preprocess(tf.constant([text])))).numpy()[0] for text in texts]
    return np.array(rows)


@pytest.mark.slow
def test_a_fresh_process_without_this_package_gives_the_same_answers(network: Any, exported: Path) -> None:
    batches = [TEXTS, [""], ["good thinga"]]
    process = subprocess.run(
        [sys.executable, "-I", "-c", READER, str(exported)],
        input=json.dumps(batches),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    for texts, (probabilities, labels) in zip(batches, json.loads(process.stdout), strict=True):
        wanted = expected(network, texts)
        np.testing.assert_allclose(probabilities, wanted, atol=1e-6)
        assert labels == [tiny.LABELS[index] for index in wanted.argmax(axis=1)]


def test_predictions_come_in_the_order_of_the_texts(network: Any, exported: Path) -> None:
    probabilities = predict_exported(exported, TEXTS * 3, batch_size=4)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, expected(network, TEXTS * 3), atol=1e-6)


def test_exported_weights_can_be_read_back(network: Any, make_network: Callable[..., Any], exported: Path) -> None:
    other = make_network(seed=9)
    assert not same(values(other), values(network))
    read_exported_weights(exported, other)
    assert same(values(other), values(network))


def test_weights_of_another_architecture_are_refused(exported: Path, tmp_path: Path) -> None:
    tiny.write_vocabulary(tmp_path)
    refusal = r"start: version 1 has another architecture .*or set start: pretrained"
    for changes in ({"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"intermediate_size": 12}):
        config = tiny.CONFIG | changes
        model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=config)
        other = build(Request(model, tiny.LABELS, 3, tmp_path))
        before = values(other)
        with pytest.raises(InputError, match=refusal):
            read_exported_weights(exported, other)
        assert same(values(other), before), f"a refused version changed the network of {changes}"


def test_a_failed_write_is_an_error_of_the_system(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **settings: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "somewhere; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match="No space left") as raised:
        export_saved_model(network, tmp_path / "1")
    assert raised.value.errno == errno.ENOSPC
