"""T5 in blocks computes and writes what transformers' T5 does, wherever it is cut and however its weights came."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from safetensors.numpy import load_file, save_file
from transformers import ByT5Tokenizer, T5Config, TFT5ForConditionalGeneration

from progressive_tf.adaptation.catalogue import adapt, merge_additions
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.models.request import Request
from progressive_tf.models.t5 import t5
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.models.t5.translator import Translator
from progressive_tf.plan.adaptation_methods import AdapterAdaptation, HeadAdaptation, LoraAdaptation
from progressive_tf.plan.networks import T5

TEXTS = ["hello world", "a", "", "a text that is longer than the others"]
TARGETS = ["hallo Welt", "ein", "nichts", "ein Text"]
LONGEST = 12
SHAPES: dict[str, dict[str, Any]] = {
    "T5": {},
    "T5 1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "ByT5's unequal depths": {"num_layers": 3, "num_decoder_layers": 1, "d_kv": 3},
}


def write_folder(folder: Path, **settings: Any) -> TFT5ForConditionalGeneration:
    """Writes a small ByT5 as transformers keeps it; returns transformers' own network."""
    config = T5Config(**{**tiny.T5_CONFIG, **settings}, vocab_size=259, decoder_start_token_id=0)
    tf.keras.utils.set_random_seed(5)
    network = TFT5ForConditionalGeneration(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The initializer RandomNormal is unseeded")  # of gates, in transformers
        network.build_in_name_scope()
    network.save_pretrained(folder, safe_serialization=True)
    ByT5Tokenizer(extra_ids=0).save_pretrained(folder)
    return network


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ByT5 as transformers keeps it, to be copied."""
    folder = tmp_path_factory.mktemp("written") / "t5"
    write_folder(folder)
    return folder


def as_pytorch(folder: Path, tied: bool) -> None:
    """Rewrites a folder's weights under the names, and with the repetitions, that PyTorch's T5 saves."""
    written = {}
    for name, value in load_file(folder / "model.safetensors").items():
        name = re.sub(r"^tft5[^/]*/|:0$", "", name).replace("_._", ".").replace("shared/shared", "shared")
        name = name.replace("/", ".").replace(".embeddings", ".weight")
        kernel = name.endswith(".kernel")
        written[name.replace(".kernel", ".weight")] = np.ascontiguousarray(value.T if kernel else value)
    for part in ("encoder", "decoder"):
        written[f"{part}.embed_tokens.weight"] = written["shared.weight"].copy()
    if tied:
        written["lm_head.weight"] = written["shared.weight"].copy()
    save_file(written, folder / "model.safetensors", {"format": "pt"})


def build(weights: str | None, folder: Path, **changes: Any) -> Translator:
    settings = {"config": tiny.T5_CONFIG} if weights is None else {}
    model = T5(builder="t5", weights=weights, **{"max_target_length": LONGEST, **settings, **changes})
    return t5.build(Request(model, (), seed=3, folder=folder))


def first_state(network: Translator, texts: list[str] = TEXTS) -> dict[str, tf.Tensor]:
    return dict(network.preprocess(network.preprocess.tensor(texts)))


def targets(network: Translator) -> tf.Tensor:
    encoded = network.preprocess.encode_targets(TARGETS)
    return tf.constant([[*ids, *[0] * (LONGEST - len(ids))] for ids in encoded], tf.int32)


@pytest.fixture(scope="module", params=SHAPES, ids=list(SHAPES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Any]:
    folder = tmp_path_factory.mktemp("weights")
    theirs = write_folder(folder / "t5", **SHAPES[request.param])
    return build("t5", folder), theirs


def their_inputs(state: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {"input_ids": state["inputs"], "attention_mask": tf.cast(state["mask"], tf.int32)}


def test_logits_are_those_of_transformers(pair: tuple[Translator, Any]) -> None:
    ours, theirs = pair
    state, target = first_state(ours), targets(ours)
    expected = theirs(**their_inputs(state), labels=target).logits
    np.testing.assert_allclose(ours(state | {TARGET: target}), expected, atol=2e-5)


# The search takes the same steps whatever layers the network has; their logits are compared above.
@pytest.mark.slow
@pytest.mark.parametrize(("pair", "beams"), [("T5", 3), ("ByT5's unequal depths", 1)], indirect=["pair"])
def test_texts_are_those_of_transformers(pair: tuple[Translator, Any], beams: int) -> None:
    ours, theirs = pair
    object.__setattr__(ours.search, "beams", beams)
    state = first_state(ours)
    written = ours.write(state)["tokens"].numpy()
    for row in range(len(TEXTS)):
        alone = {name: each[row : row + 1] for name, each in their_inputs(state).items()}
        expected = theirs.generate(**alone, num_beams=beams, max_new_tokens=LONGEST, do_sample=False).numpy()[0, 1:]
        assert written[row, : len(expected)].tolist() == expected.tolist()
        assert not written[row, len(expected) :].any()


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["ByT5's unequal depths"], indirect=True)
def test_kept_outputs_of_the_encoder_give_the_same_texts(pair: tuple[Translator, Any]) -> None:
    ours, _ = pair
    state = first_state(ours)
    whole = ours.write(state)
    for depth in range(1, ours.deepest_cut + 1):
        kept = {name: tf.constant(each.numpy()) for name, each in ours.run_blocks(state, 0, depth).items()}
        again = ours.write(kept, first_block=depth)
        assert np.array_equal(again["tokens"], whole["tokens"])
        np.testing.assert_allclose(again["confidence"], whole["confidence"], rtol=1e-5)


def test_the_confidence_is_that_of_the_tokens_under_teacher_forcing(pair: tuple[Translator, Any]) -> None:
    ours, _ = pair
    state = first_state(ours)
    written = ours.write(state)
    tokens = written["tokens"]
    logits = tf.nn.log_softmax(ours(state | {TARGET: tokens}))
    each = tf.gather(logits, tokens, batch_dims=2).numpy()
    inside = tokens.numpy() != 0
    expected = np.exp((each * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1))
    np.testing.assert_allclose(written["confidence"], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["T5", "T5 1.1"])
def test_weights_as_pytorch_saves_them_are_read(name: str, tmp_path: Path) -> None:
    theirs = write_folder(tmp_path / "t5", **SHAPES[name])
    as_pytorch(tmp_path / "t5", tied=SHAPES[name].get("tie_word_embeddings", True))
    ours = build("t5", tmp_path)
    state, target = first_state(ours), targets(ours)
    expected = theirs(**their_inputs(state), labels=target).logits
    np.testing.assert_allclose(ours(state | {TARGET: target}), expected, atol=2e-5)


def test_what_stands_for_no_text_is_never_written(tmp_path: Path) -> None:
    network = build(None, tmp_path, config={**tiny.T5_CONFIG, "tie_word_embeddings": False})
    kernel = network.head.dense.kernel
    kernel.assign(tf.concat([tf.ones_like(kernel[:, :1]) * 100 * tf.sign(kernel[:, 2:3]), kernel[:, 1:]], axis=1))
    written = network.write(first_state(network))
    tokens = written["tokens"].numpy()
    inside = np.cumsum(tokens[:, ::-1] != 0, axis=1)[:, ::-1] > 0
    assert (tokens[inside] != 0).all()


@pytest.mark.slow
def test_added_updates_write_what_merged_ones_do(tmp_path: Path) -> None:
    network = build(None, tmp_path)
    state = first_state(network)
    before = network.write(state)["tokens"].numpy()
    moved = adapt(network, LoraAdaptation(method="lora", rank=2, targets=("query", "value", "ffn")), seed=1)
    assert np.array_equal(network.write(state)["tokens"], before)  # a new update changes nothing
    for weight in moved[-1].weights:
        if weight.name.endswith("/b"):
            weight.variable.assign(tf.random.stateless_normal(weight.variable.shape, [1, 2]))
    added = network.write(state)
    assert not np.array_equal(added["tokens"], before)
    merge_additions(network, everything=True)
    assert np.array_equal(network.write(state)["tokens"], added["tokens"])


def test_adapters_move_with_the_normalisations_beside_them(tmp_path: Path) -> None:
    network = build(None, tmp_path)
    moved = adapt(network, AdapterAdaptation(method="adapter", size=2, from_block=4), seed=1)[-1]
    names = [weight.name for weight in moved.weights]
    assert any(name.endswith("layer_norm/weight") for name in names)
    assert all(name.startswith(("decoder_", "head")) for name in names)
    assert moved.frozen_depth == 4


def test_a_head_that_is_the_table_of_tokens_cannot_move_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adaptation.method: head: the matrix that ends this network is its table"):
        adapt(build(None, tmp_path), HeadAdaptation(method="head"), seed=1)
    own = build(None, tmp_path, config={**tiny.T5_CONFIG, "tie_word_embeddings": False})
    assert adapt(own, HeadAdaptation(method="head"), seed=1)[-1].frozen_depth == len(own.blocks)


def test_names_of_weights_do_not_depend_on_what_was_built_before(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "t5")
    loaded = [weight.name for weight in build("t5", tmp_path).named_weights()]
    assert [weight.name for weight in build(None, tmp_path).named_weights()] == loaded
    assert len(set(loaded)) == len(loaded)


def test_gates_of_random_networks_do_not_begin_as_the_matrices_beside_them(tmp_path: Path) -> None:
    network = build(None, tmp_path, config={**tiny.T5_CONFIG, "feed_forward_proj": "gated-gelu"})
    values = read_weights(network.named_weights())
    first, gates = ([values[name] for name in values if name.endswith(f"{end}/kernel")] for end in ("wi_0", "wi_1"))
    drawn = [*first, *gates]
    assert len(drawn) == 8
    assert not any(np.array_equal(one, other) for index, one in enumerate(drawn) for other in drawn[:index])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"config.json": None}, r"config.json missing; expected it with the weights and spiece.model"),
        ({"model.safetensors": None}, r"no weights there; expected one of model.safetensors, tf_model.h5"),
        (
            {"tokenizer_config.json": None},
            r"spiece.model missing, and tokenizer_config.json does not say ByT5Tokenizer",
        ),
        ({"config.json": {"model_type": "mt5"}}, r"builder t5 needs a T5, config.json says model_type 'mt5'"),
        ({"config.json": {"d_ff": 17}}, r"model.weights: t5: "),
        ({"config.json": {"num_layers": 3}}, r"not the weights of this architecture: \d+ missing \(such as"),
        ({"config.json": {"vocab_size": 200}}, r"model.weights: t5: "),
        (
            {"config.json": {"decoder_start_token_id": 5}},
            r"config.json: T5 pads and begins with id 0 and ends with id 1",
        ),
        ({"model.safetensors": b"no weights"}, r"the weights cannot be read \(the file is damaged or truncated\)"),
        ({"tokenizer_config.json": b"{"}, r"its configuration cannot be read"),
    ],
)
def test_what_is_no_t5_is_refused(damage: dict[str, Any], message: str, written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "t5")
    for name, change in damage.items():
        path = tmp_path / "t5" / name
        if change is None:
            path.unlink()
        elif isinstance(change, bytes):
            path.write_bytes(change)
        else:
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        build("t5", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_modle": 8}, r"model.config.d_modle: unknown T5 setting 'd_modle'; did you mean 'd_model'"),
        ({"vocab_size": 9}, r"model.config.vocab_size: follows from the vocabulary; drop it"),
        ({"dropout_rate": 0.2}, r"model.config.dropout_rate: is model.dropout; set it there"),
        ({"num_heads": 0}, r"model.config.num_heads: should be a whole number, 1 or more; got 0"),
        ({"relative_attention_num_buckets": 7}, r"relative_attention_num_buckets: should be even, 4 or more; got 7"),
        ({"relative_attention_max_distance": 4}, r"should be a whole number above 4, half of the buckets; got 4"),
        ({"feed_forward_proj": "gated-nothing"}, r"model.config"),
        ({"layer_norm_epsilon": 0}, r"layer_norm_epsilon: should be a number above 0; got 0"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        build(None, tmp_path, config={**tiny.T5_CONFIG, **changes})
