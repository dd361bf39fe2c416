"""The block contract, over every builder of the catalogue and one of one's own; and what it says about broken ones."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from shallow_resnet import use_shallow_resnet

from progressive_tf.errors import InputError
from progressive_tf.models import mlp, resnet
from progressive_tf.models.bert import bert, bert_tagger
from progressive_tf.models.block_model import BlockModel, read_weights
from progressive_tf.models.catalogue import BUILDERS
from progressive_tf.models.contract import LABELS, check_builder
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.own_builder import MOVED, PACKAGE, build_own
from progressive_tf.models.preprocessing.vectors import VectorPreprocessing
from progressive_tf.models.projection import Block
from progressive_tf.models.request import Request
from progressive_tf.models.t5 import t5
from progressive_tf.plan.networks import T5, Bert, BertTagger, Mlp, OwnBuilder, ResNet50
from progressive_tf.stack import keras_package

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TINY_BERT = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG)
TINY_TAGGER = BertTagger(builder="bert-tagger", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG)
TAGS = ("O", "B-x", "I-x")
CATALOGUE: dict[str, tuple[Callable[[Request], BlockModel], Any]] = {
    "bert": (bert.build, TINY_BERT),
    "bert-tagger": (bert_tagger.build, TINY_TAGGER),
    "mlp": (mlp.build, Mlp(builder="mlp", units=6, dropout=0.2)),
    "resnet50": (resnet.build, ResNet50(builder="resnet50", weights=None, dense=8, dropout=0.2)),
    "t5": (t5.build, T5(builder="t5", weights=None, max_target_length=8, config=tiny.T5_CONFIG)),
    "one's own": (build_own, OwnBuilder(builder="small_convnet:build", settings={"widths": [4, 8, 8]})),
    "one's own for texts": (
        build_own,
        OwnBuilder(builder="small_textnet:build", settings={"vocabulary": "vocab.txt", "width": 8, "layers": 1}),
    ),
    "a file of Keras": (
        build_own,
        OwnBuilder(builder="keras_file:build", settings={"file": "model.keras", "cuts": ["relu0", "relu1"]}),
    ),
}


def request(model: Any, folder: Path) -> Request:
    labels = TAGS if isinstance(model, BertTagger) else () if isinstance(model, T5) else LABELS
    return Request(model, labels, seed=3, folder=folder, input_width=5, image_size=32)


def test_every_builder_of_the_catalogue_is_checked_here() -> None:
    own = {name for name, (build, _) in CATALOGUE.items() if build is build_own}
    assert set(CATALOGUE) - own == set(BUILDERS)


SLOW = ("bert-tagger", "resnet50", "t5")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CATALOGUE])
def test_a_builder_keeps_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, model = CATALOGUE[name]
    use_shallow_resnet(monkeypatch)  # whose blocks are of the same kinds; `test_resnet.py` has the whole one
    tiny.write_vocabulary(tmp_path)
    if isinstance(model, OwnBuilder):
        shutil.copy(EXAMPLES / f"{model.builder.partition(':')[0]}.py", tmp_path)
    if name == "a file of Keras":
        save_keras_model(tmp_path / "model.keras")
    checks = check_builder(build, request(model, tmp_path))
    assert {check.promise: check.broken for check in checks if check.broken} == {}
    assert len(checks) == 11


def save_keras_model(path: Path) -> None:
    """Saves an image classifier; Keras numbers most of its layers."""
    layers = tf.keras.layers
    network = tf.keras.Sequential([layers.Input([32, 32, 3]), layers.Rescaling(1 / 255)])
    for number, width in enumerate((4, 6)):
        network.add(layers.Conv2D(width, 3, 2, "same"))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU(name=f"relu{number}"))
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(10))
    network.save(path)


class Layer(Block):
    """A dense block whose faults are chosen."""

    def __init__(self, name: str, before: int, fault: str = "") -> None:
        super().__init__(name=name)
        self.width = 9 if fault == "width" else 4
        self.fault = fault
        seed = None if fault == "seed" else 7
        self.kernel = self.add_weight(
            name="kernel", shape=[before, 4], initializer=tf.keras.initializers.GlorotUniform(seed)
        )
        self.count = self.add_weight(name="count", shape=[], initializer="zeros", trainable=False)

    def call(self, state: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        if self.fault == "inference":
            self.count.assign_add(1.0)
        before = state.get("hidden", state.get("inputs"))
        hidden = tf.nn.tanh(before @ self.kernel)
        if self.fault == "batch":
            hidden -= tf.reduce_mean(hidden, axis=0, keepdims=True)
        if self.fault == "gradient":
            hidden = tf.stop_gradient(hidden)
        if self.fault == "state":
            return {"hidden": hidden, "mask": state["mask"], "inputs": before}
        return {"hidden": hidden, "mask": state["mask"]}


def with_fault(fault: str) -> Callable[[Request], BlockModel]:
    def build(request: Request) -> BlockModel:
        names = ["layer", "layer"] if fault == "names" else ["below", "above"]
        blocks = [Layer(names[0], request.input_width or 0), Layer(names[1], 4, fault)]
        labels = ("a", "b", "c") if fault == "labels" else request.labels
        head = ClassificationHead(3, 4, 0.0, seed=request.seed)
        network = BlockModel(VectorPreprocessing(request.input_width or 0), blocks, head, labels)
        if fault == "loose":
            network.extra = tf.keras.layers.Dense(2)
            network.extra.build([None, 3])
        return network

    return build


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("names", "share a name: layer, layer, head"),
        ("labels", "its labels are ['a', 'b', 'c']; give it request.labels"),
        ("loose", "belongs to no block and not to the head"),
        ("width", "block above gives hidden (6, 1, 4); its positions() and width say (6, 1, 9)"),
        ("state", "after block above the state has ['hidden', 'inputs', 'mask']"),
        ("batch", "an example's logits depend on the other examples of its batch"),
        ("inference", "inference changes above/count"),
        ("gradient", "no gradient reaches below/kernel, above/kernel"),
        ("seed", "built twice with the same seed it has other weights"),
    ],
)
def test_what_is_broken_is_said_in_words(fault: str, said: str, tmp_path: Path) -> None:
    checks = check_builder(with_fault(fault), request(None, tmp_path))
    assert any(said in check.broken for check in checks), [check.broken for check in checks if check.broken]


def test_without_a_fault_only_the_fixed_seed_is_found(tmp_path: Path) -> None:
    broken = [check.broken for check in check_builder(with_fault(""), request(None, tmp_path)) if check.broken]
    assert broken == []


@pytest.mark.skipif(keras_package() == "keras", reason="keras is Keras 2 here")
@pytest.mark.parametrize("line", ["from keras import layers", "import keras as k", "from keras.layers import Dense"])
def test_a_builder_with_layers_of_keras_3_is_refused(line: str, tmp_path: Path) -> None:
    module = f"third_{len(line)}"
    (tmp_path / f"{module}.py").write_text(f"import tensorflow as tf\n{line}\n\ndef build(request):\n    return None\n")
    name = line.split()[-1]
    with pytest.raises(
        InputError, match=f"model.builder: {module}:build: {name} there comes from Keras 3, .*`tf.keras.layers`"
    ):
        build_own(request(OwnBuilder(builder=f"{module}:build"), tmp_path))


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("", "absent_module:build", "it cannot be imported (ModuleNotFoundError: No module named 'absent_module')"),
        ("x = 1\n", "{}:build", "has no attribute 'build'"),
        ("build = 3\n", "{}:build", "it is a int; expected a function"),
        ("def build(request):\n    return 3\n", "{}:build", "it gave a int; expected a BlockModel"),
        (
            "def build(request):\n    return 1 / 0\n",
            "{}:build",
            "failed with ZeroDivisionError: division by zero ({}.py, line 2)",
        ),
        ("import nothing_like_it\n", "{}:build", "No module named 'nothing_like_it'"),
        ("def build(:\n", "{}:build", "SyntaxError"),
    ],
)
def test_what_is_no_builder_is_an_error_of_the_plan(module: str, name: str, said: str, tmp_path: Path) -> None:
    own = f"own_{abs(hash((module, name)))}"
    (tmp_path / f"{own}.py").write_text(module)
    model = OwnBuilder(builder=name.format(own))
    path = list(sys.path)
    with pytest.raises(InputError) as caught:
        build_own(request(model, tmp_path))
    assert said.format(own) in str(caught.value)
    assert str(caught.value).startswith(f"model.builder: {model.builder}: ")
    assert sys.path == path


# As the guide had it before modules were moved, and what a builder of another network imported.
OLD_IMPORTS = {
    "classification_head": ("ClassificationHead", "heads"),
    "image_preprocessing": ("ImagePreprocessing", "preprocessing.images"),
    "text_preprocessing": ("TextPreprocessing", "preprocessing.texts"),
    "vocabulary": ("read_vocabulary", "preprocessing.vocabulary"),
    "preprocessing": ("Preprocessing", "preprocessing.base"),
    "dropout": ("dropout", "elementwise"),
    "bert": ("EncoderBlock", "bert.bert"),
}


@pytest.mark.parametrize("old", OLD_IMPORTS)
def test_a_builder_that_imports_what_has_moved_is_told_where_it_is(old: str, tmp_path: Path) -> None:
    from progressive_tf.errors import InputError

    name, now = OLD_IMPORTS[old]
    assert hasattr(importlib.import_module(f"{PACKAGE}{now}"), name)
    (tmp_path / f"old_{old}.py").write_text(f"from progressive_tf.models.{old} import {name}\n")
    with pytest.raises(InputError) as caught:
        build_own(request(OwnBuilder(builder=f"old_{old}:build"), tmp_path))
    assert f"; what was in progressive_tf.models.{old} is in progressive_tf.models.{now} now)" in str(caught.value)


def test_what_has_moved_is_where_the_table_says() -> None:
    for now in MOVED.values():
        importlib.import_module(f"{PACKAGE}{now}")
    assert OLD_IMPORTS.keys() <= MOVED.keys()


NUMBERED = """
import tensorflow as tf
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.projection import Block
from progressive_tf.models.preprocessing.vectors import VectorPreprocessing


class Two(Block):
    def __init__(self, before):
        super().__init__(name="two")
        self.width = 4
        initializer = tf.keras.initializers.GlorotUniform(7)
        self.inner = [tf.keras.layers.Dense(4, kernel_initializer=initializer) for _ in range(2)]
        self.call({"inputs": tf.zeros([1, 1, before]), "mask": tf.ones([1, 1])})

    def call(self, state, training=False):
        return {"hidden": self.inner[1](self.inner[0](state["inputs"])), "mask": state["mask"]}


def build(request):
    width = request.input_width
    head = ClassificationHead(len(request.labels), 4, 0.0, seed=request.seed)
    return BlockModel(VectorPreprocessing(width), [Two(width)], head, request.labels)
"""


def test_layers_that_keras_names_are_named_alike_whenever_the_network_is_built(tmp_path: Path) -> None:
    (tmp_path / "numbered.py").write_text(NUMBERED)
    model = OwnBuilder(builder="numbered:build")
    before = tf.keras.layers.Dense(2).name
    first, again = (read_weights(build_own(request(model, tmp_path)).named_weights()) for _ in range(2))
    own = [f"two/{name}" for name in ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")]
    assert list(first) == list(again) == [*own, "head/kernel", "head/bias"]
    assert all(np.array_equal(value, again[name]) for name, value in first.items())
    assert tf.keras.layers.Dense(2).name not in ("dense", before)  # what a caller builds is numbered on


def test_a_builder_whose_file_has_changed_or_that_lies_elsewhere_is_read_again(tmp_path: Path) -> None:
    model = OwnBuilder(builder="read_again:build")
    for folder, width in ((tmp_path / "one", 4), (tmp_path / "one", 5), (tmp_path / "two", 6), (tmp_path / "one", 5)):
        folder.mkdir(exist_ok=True)
        code = NUMBERED.replace("width = 4", f"width = {width}").replace("Dense(4", f"Dense({width}")
        (folder / "read_again.py").write_text(code.replace("labels), 4", f"labels), {width}"))
        assert build_own(request(model, folder)).width == width
