from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertTokenizer, TFBertModel

from progressive_tf.errors import InputError
from progressive_tf.models.bert import bert, bert_settings
from progressive_tf.models.preprocessing.vocabulary import read_vocabulary
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Bert


@pytest.fixture
def weights(written: Path, tmp_path: Path) -> Path:
    """A folder of weights as a hub has them: config.json, vocab.txt, model.safetensors in PyTorch's names."""
    return shutil.copytree(written, tmp_path / "weights")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """Such a folder, to be copied."""
    folder = tmp_path_factory.mktemp("written")
    network = tiny.build_bert(folder, seed=11)
    config = {
        "model_type": "bert",
        "vocab_size": len(tiny.VOCABULARY),
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "architectures": ["BertModel"],
        **tiny.CONFIG,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(pytorch_weights(network), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pytorch_weights(network: Any) -> dict[str, np.ndarray]:
    names = {
        "embeddings/word_embeddings/weight": "embeddings.word_embeddings.weight",
        "embeddings/token_type_embeddings/embeddings": "embeddings.token_type_embeddings.weight",
        "embeddings/position_embeddings/embeddings": "embeddings.position_embeddings.weight",
    }
    arrays = {}
    for weight in network.weights_of_blocks(3):
        name, value = weight.name, weight.variable.numpy()
        if name in names:
            arrays[names[name]] = value
            continue
        name = name.replace("layer_", "encoder.layer.").replace("/", ".")
        if name.endswith(".kernel"):
            name, value = name.replace(".kernel", ".weight"), value.T
        arrays[name.replace(".gamma", ".weight").replace(".beta", ".bias")] = np.ascontiguousarray(value)
    arrays["pooler.dense.weight"] = np.zeros((8, 8), np.float32)
    arrays["pooler.dense.bias"] = np.zeros(8, np.float32)
    return arrays


def build(folder: Path, name: str = "weights", max_length: int = 16) -> Any:
    model = Bert(builder="bert", weights=name, max_length=max_length)
    return bert.build(Request(model, tiny.LABELS, 3, folder))


def test_pytorch_weights_give_the_encoder_they_came_from(
    weights: Path, make_network: Callable[..., Any], tmp_path: Path
) -> None:
    source, loaded = make_network(seed=11), build(tmp_path)
    state = source.preprocess(tf.constant(["good thinga", "bad thingb thingc"]))
    np.testing.assert_allclose(
        loaded.run_blocks(state, 0, 3)["hidden"], source.run_blocks(state, 0, 3)["hidden"], atol=1e-6
    )


def test_weights_without_a_place_are_named_in_the_log_of_those_who_ask_for_more(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = load_file(weights / "model.safetensors") | {"cls.predictions.bias": np.zeros(3, np.float32)}
    save_file(arrays, weights / "model.safetensors", metadata={"format": "pt"})
    with caplog.at_level("DEBUG", "progressive_tf"):
        build(tmp_path)
    assert {record.levelname for record in caplog.records if record.name.startswith("progressive_tf")} == {"DEBUG"}
    assert "not used, because BERT's encoder has no place for it: cls.predictions.bias (1 in all)" in caplog.text


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def forget_a_weight(folder: Path) -> None:
    arrays = load_file(folder / "model.safetensors")
    del arrays["encoder.layer.1.output.dense.weight"]
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})


def set_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def set_tokens(folder: Path, tokens: list[str]) -> None:
    (folder / "vocab.txt").write_bytes("".join(f"{token}\n" for token in tokens).encode())


def pad_table(folder: Path, rows: int) -> None:
    """Makes the embedding table of the weights longer by `rows`."""
    arrays = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    arrays[name] = np.concatenate([arrays[name], np.zeros((rows, 8), np.float32)])
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    set_config(folder, vocab_size=len(arrays[name]))


def claim_another_architecture(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "distilbert"}))


def widen_a_layer(folder: Path) -> None:
    arrays = load_file(folder / "model.safetensors")
    arrays["encoder.layer.0.output.dense.weight"] = np.zeros((8, 24), np.float32)
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (truncate, "the file is damaged or truncated"),
        (forget_a_weight, "not the weights of this architecture: 1 missing"),
        (claim_another_architecture, "config.json says model_type 'distilbert'"),
        (widen_a_layer, "weights"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights there; expected one of"),
        (lambda folder: (folder / "vocab.txt").unlink(), "vocab.txt missing; expected config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not a model's configuration"),
        (lambda folder: (folder / "vocab.txt").write_text("a\nb\n"), r"lacks \[PAD\]"),
        (
            lambda folder: set_tokens(folder, [*tiny.VOCABULARY, "more"]),
            f"the vocabulary has {len(tiny.VOCABULARY) + 1} tokens, the weights have {len(tiny.VOCABULARY)}",
        ),
        (
            lambda folder: pad_table(folder, 129),
            f"the vocabulary has {len(tiny.VOCABULARY)} tokens, the weights have {len(tiny.VOCABULARY) + 129}",
        ),
        (
            lambda folder: set_config(folder, position_embedding_type="relative_key"),
            "config.json.position_embedding_type: should be 'absolute'",
        ),
    ],
)
def test_bad_weights_are_refused(
    weights: Path, tmp_path: Path, damage: Callable[[Path], object], expected: str
) -> None:
    damage(weights)
    with pytest.raises(InputError, match=expected):
        build(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere", "is no asset .*, no folder, and no hub id"),
        ("weights/model.safetensors", "is a file; name the folder"),
        ("../elsewhere", "is no asset"),
        ("x" * 300, "is no asset"),
    ],
)
def test_weights_that_are_not_there(weights: Path, tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        build(tmp_path, name)


def test_a_longer_text_than_there_are_positions_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_length: 32 asked, these weights have 16 positions"):
        build(tmp_path, max_length=32)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"hiden_size": 8}, "unknown BERT setting 'hiden_size'; did you mean 'hidden_size'"),
        ({**tiny.CONFIG, "vocab_size": 99}, "model.config.vocab_size: follows from the vocabulary; drop it"),
        ({**tiny.CONFIG, "hidden_act": "nonsense"}, "model.config.hidden_act: unknown activation 'nonsense'"),
        ({**tiny.CONFIG, "num_attention_heads": 0}, "num_attention_heads: should be a whole number, 1 or more; got 0"),
        ({**tiny.CONFIG, "hidden_size": 0}, "model.config.hidden_size: should be a whole number, 1 or more; got 0"),
        ({**tiny.CONFIG, "hidden_size": 8.0}, "hidden_size: should be a whole number, 1 or more; got 8.0"),
        ({**tiny.CONFIG, "num_hidden_layers": True}, "num_hidden_layers: should be a whole number, .* got True"),
        ({**tiny.CONFIG, "hidden_dropout_prob": 1.0}, "hidden_dropout_prob: should be a number from 0 to below 1"),
        ({**tiny.CONFIG, "layer_norm_eps": "small"}, "layer_norm_eps: should be a number above 0; got 'small'"),
        (
            {**tiny.CONFIG, "position_embedding_type": "relative_key"},
            "position_embedding_type: should be 'absolute', .* got 'relative_key'",
        ),
        ({**tiny.CONFIG, "num_attention_heads": 3}, "BERT cannot be built from it: The hidden size"),
    ],
)
def test_a_wrong_config_is_refused(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    tiny.write_vocabulary(tmp_path)
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", config=config)
    with pytest.raises(InputError, match=expected):
        bert.build(Request(model, tiny.LABELS, 3, tmp_path))


def token_ids(network: Any, text: str) -> list[int]:
    (ids,) = network.preprocess.encode([text])
    return ids.tolist()


def test_a_table_may_be_padded(weights: Path, tmp_path: Path) -> None:
    expected = token_ids(build(tmp_path), "good thinga")
    pad_table(weights, 128)
    assert token_ids(build(tmp_path), "good thinga") == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_feeds_part_the_tokens_of_a_vocabulary(tmp_path: Path, end: str) -> None:
    tokens = [*tiny.VOCABULARY[:5], "\u2028", "\x85", "\x0c", *tiny.VOCABULARY[5:]]
    (tmp_path / "vocab.txt").write_bytes(end.join([*tokens, ""]).encode())
    assert read_vocabulary(tmp_path / "vocab.txt") == tokens
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", config=tiny.CONFIG, max_length=16)
    network = bert.build(Request(model, tiny.LABELS, 3, tmp_path))
    assert token_ids(network, "good bad") == [2, tokens.index("good"), tokens.index("bad"), 3]


@pytest.mark.parametrize("lower_case", [True, False])
def test_a_hub_id_is_read_in_the_case_of_its_tokenizer(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower_case: bool
) -> None:
    (weights / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower_case}))
    for kind in (TFBertModel, BertTokenizer):
        monkeypatch.setattr(kind, "from_pretrained", from_folder(kind.from_pretrained, weights))
    unknown, good = tiny.VOCABULARY.index("[UNK]"), tiny.VOCABULARY.index("good")
    expected = [2, good if lower_case else unknown, 3]
    assert token_ids(build(tmp_path, "some/weights"), "GOOD") == expected == token_ids(build(tmp_path), "GOOD")


def test_a_hub_vocabulary_with_a_gap_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_tokens(weights, [*tiny.VOCABULARY[:-1], "good"])
    for kind in (TFBertModel, BertTokenizer):
        monkeypatch.setattr(kind, "from_pretrained", from_folder(kind.from_pretrained, weights))
    with pytest.raises(InputError, match="its vocabulary has no token of id 5"):
        build(tmp_path, "some/weights")


def from_folder(load: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Returns a loader that finds every hub id in one folder."""
    return lambda hub_id, **options: load(str(folder) if hub_id == "some/weights" else hub_id, **options)


def test_blocks_compute_what_transformers_computes(make_network: Callable[..., Any]) -> None:
    network = make_network()
    texts = tf.constant(["good thinga", "bad thingb thingc thingd"])
    state = network.preprocess(texts)
    hidden = network.run_blocks(state, 0, 1)["hidden"]
    mask = (1.0 - state["mask"][:, None, None, :]) * -1e4
    for block in network.blocks[1:]:
        hidden = block.inner(
            hidden_states=hidden,
            attention_mask=mask,
            head_mask=None,
            encoder_hidden_states=None,
            encoder_attention_mask=None,
            past_key_value=None,
            output_attentions=False,
        )[0]
    ours = network.run_blocks(state, 0, 3)["hidden"]
    np.testing.assert_allclose(ours * state["mask"][:, :, None], hidden * state["mask"][:, :, None], atol=1e-6)


def test_the_names_of_settings_are_those_of_transformers() -> None:
    assert set(BertConfig().to_dict()) - {"vocab_size"} == bert_settings.NAMES
