"""BERT encoders as blocks: the embeddings, then each encoder layer (Devlin et al. 2019)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from transformers import BertConfig, TFBertModel

from progressive_tf.assets import is_asset, locate
from progressive_tf.errors import InputError
from progressive_tf.models.bert_settings import check_names, check_values
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.classification_head import ClassificationHead
from progressive_tf.models.text_preprocessing import TextPreprocessing
from progressive_tf.models.vocabulary import check_size, hub_vocabulary, read_vocabulary
from progressive_tf.plan.schema import Model
from progressive_tf.seeds import derive_seed

log = logging.getLogger(__name__)


class EmbeddingsBlock(tf.keras.layers.Layer):
    """Token ids → hidden states: word, position and segment embeddings, normalised."""

    def __init__(self, embeddings: tf.keras.layers.Layer) -> None:
        super().__init__(name="embeddings")
        self.inner = embeddings

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with `hidden` float32 [batch, length, width] in place of `input_ids`."""
        return {"hidden": self.inner(input_ids=state["input_ids"], training=training), "mask": state["mask"]}


class EncoderBlock(tf.keras.layers.Layer):
    """One encoder layer: self-attention and feed-forward."""

    def __init__(self, encoder_layer: tf.keras.layers.Layer, index: int) -> None:
        super().__init__(name=f"layer_{index}")
        self.inner = encoder_layer

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with the next `hidden`, float32 [batch, length, width]."""
        # What is masked gets a score so low that its softmax is zero; the shape broadcasts over heads and queries.
        attention_mask = (1.0 - state["mask"][:, tf.newaxis, tf.newaxis, :]) * -1e4
        hidden = self.inner(
            hidden_states=state["hidden"],
            attention_mask=attention_mask,
            head_mask=None,
            encoder_hidden_states=None,
            encoder_attention_mask=None,
            past_key_value=None,
            output_attentions=False,
            training=training,
        )[0]
        return {"hidden": hidden, "mask": state["mask"]}


def build(model: Model, labels: Sequence[str], pooling: str, seed: int, folder: Path) -> BlockModel:
    """Returns a BERT encoder with a classification head.

    Args:
        model: the plan's model section.
        labels: class names in the order of the logits.
        pooling: "mean" over tokens, or "pooler" for BERT's own layer over [CLS], which then trains with the head.
        seed: the plan's seed; initialises the head and, with `weights: null`, everything.
        folder: where relative paths start from.

    Raises:
        InputError: weights that are missing, damaged or not BERT's; says which and what was found.
    """
    tf.keras.utils.set_random_seed(derive_seed(seed, "initialisation"))
    if model.weights is None:
        encoder, vocabulary, lower_case = _random_encoder(model, folder)
    else:
        encoder, vocabulary, lower_case = _pretrained_encoder(model.weights, folder)
    config = encoder.config
    if model.max_length > config.max_position_embeddings:
        raise InputError(
            f"model.max_length: {model.max_length} asked, these weights have {config.max_position_embeddings} positions"
        )
    blocks = [
        EmbeddingsBlock(encoder.bert.embeddings),
        *(EncoderBlock(layer, index) for index, layer in enumerate(encoder.bert.encoder.layer)),
    ]
    head = ClassificationHead(
        classes=len(labels),
        width=config.hidden_size,
        dropout=model.dropout,
        seed=derive_seed(seed, "initialisation", "head"),
        pooler=encoder.bert.pooler if pooling == "pooler" else None,
    )
    preprocess = TextPreprocessing(vocabulary, lower_case, model.max_length)
    return BlockModel(preprocess, blocks, head, labels, config.hidden_size)


def _random_encoder(model: Model, folder: Path) -> tuple[TFBertModel, list[str], bool]:
    vocabulary = read_vocabulary(_vocabulary_file(str(model.vocabulary), folder))
    settings: dict[str, Any] = dict(model.config or {})
    check_names(settings)
    try:
        config = BertConfig(**{"max_position_embeddings": model.max_length, **settings, "vocab_size": len(vocabulary)})
        check_values(config, "model.config")
        encoder = TFBertModel(config)
        encoder.build_in_name_scope()
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"model.config: BERT cannot be built from it: {error}") from None
    return encoder, vocabulary, True


def _pretrained_encoder(weights: str, folder: Path) -> tuple[TFBertModel, list[str], bool]:
    place = f"model.weights: {weights}"
    source, local = _weights_source(weights, folder)
    if local:
        _check_config(Path(source), place)
    try:
        encoder, info = TFBertModel.from_pretrained(source, output_loading_info=True)
        vocabulary, lower_case = _local_vocabulary(Path(source)) if local else hub_vocabulary(source)
    except InputError:
        raise
    except Exception as error:  # transformers, safetensors and h5py each raise their own kinds
        kind = "the file is damaged or truncated" if local else "not in the local cache and not to be fetched"
        raise InputError(f"{place}: the weights cannot be read ({kind}): {_first_line(error)}") from None
    missing = [name for name in info["missing_keys"] if "pooler" not in name]
    if missing or info["mismatched_keys"]:
        raise InputError(
            f"{place}: not the weights of this architecture: {len(missing)} missing (such as "
            f"{missing[0] if missing else '-'}), {len(info['mismatched_keys'])} of another shape"
        )
    check_values(encoder.config, f"{place}: config.json")
    check_size(vocabulary, encoder.config.vocab_size, place)
    unused = sorted(info["unexpected_keys"])
    if unused:
        log.info(
            "%s: not used, because BERT's encoder has no place for it: %s (%d in all)",
            place,
            ", ".join(unused[:5]),
            len(unused),
        )
    if len(info["missing_keys"]) > len(missing):
        log.info("%s: has no pooler; the pooler's weights are random", place)
    return encoder, vocabulary, lower_case


def _weights_source(weights: str, folder: Path) -> tuple[str, bool]:
    """Returns where to load from, and whether that is a local folder rather than a hub id."""
    if is_asset(weights):
        return str(locate(weights)), True
    path = folder / weights
    if os.path.isdir(path):  # pathlib's own raises for a name that is too long
        return str(path), True
    if os.path.exists(path):
        raise InputError(f"model.weights: {weights} is a file; name the folder that holds it and its config.json")
    if weights.count("/") != 1 or weights.startswith((".", "/")):
        raise InputError(
            f"model.weights: {weights} is no asset (see `python -m progressive_tf.assets list`), no folder, and no "
            f"hub id such as google-bert/bert-base-uncased"
        )
    return weights, False


def _check_config(folder: Path, place: str) -> None:
    expected = {"config.json", "vocab.txt"}
    absent = sorted(name for name in expected if not (folder / name).is_file())
    if absent:
        raise InputError(f"{place}: {', '.join(absent)} missing; expected config.json, vocab.txt and the weights")
    names = ("model.safetensors", "tf_model.h5")
    if not any((folder / name).is_file() for name in names):
        raise InputError(f"{place}: no weights there; expected one of {', '.join(names)}")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{place}: config.json is not a model's configuration: {_first_line(error)}") from None
    if kind != "bert":
        raise InputError(f"{place}: the builder bert needs a BERT encoder, config.json says model_type {kind!r}")


def _local_vocabulary(folder: Path) -> tuple[list[str], bool]:
    lower_case = True
    tokenizer_config = folder / "tokenizer_config.json"
    if tokenizer_config.is_file():
        lower_case = bool(json.loads(tokenizer_config.read_text(encoding="utf-8")).get("do_lower_case", True))
    return read_vocabulary(folder / "vocab.txt"), lower_case


def _vocabulary_file(vocabulary: str, folder: Path) -> Path:
    if is_asset(vocabulary):
        return locate(vocabulary) / "vocab.txt"
    return folder / vocabulary


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
