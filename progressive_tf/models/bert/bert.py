"""BERT encoders as blocks: the embeddings, then each encoder layer (Devlin et al. 2019)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from transformers import BertConfig, TFBertModel
from transformers.activations_tf import ACT2FN

from progressive_tf.errors import InputError
from progressive_tf.models.bert.bert_settings import check_names, check_values
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.elementwise import dropout, gelu, layer_normalization
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.models.preprocessing.vocabulary import check_size, hub_vocabulary, read_vocabulary
from progressive_tf.models.projection import Block, Projection
from progressive_tf.models.request import Request
from progressive_tf.models.weights_files import BERT_EXAMPLE, check_bert_folder, vocabulary_file
from progressive_tf.models.weights_source import check_loaded, loading_weights, weights_source
from progressive_tf.plan.networks import MOST_TOKENS, Bert
from progressive_tf.seeds import derive_seed

log = logging.getLogger(__name__)


class EmbeddingsBlock(Block):
    """Token ids → hidden states: word, position and segment embeddings, normalised."""

    def __init__(self, embeddings: tf.keras.layers.Layer) -> None:
        super().__init__(name="embeddings")
        self.inner = embeddings
        self.width = int(embeddings.hidden_size)

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with `hidden` float [batch, length, width] in place of `inputs`."""
        # Gathered, not sliced: an optimizer that moves only the rows in use can tell them from their gradients.
        hidden = tf.gather(self.inner.weight, state["inputs"])
        hidden += tf.gather(self.inner.position_embeddings, tf.range(tf.shape(hidden)[1]))
        hidden += tf.gather(self.inner.token_type_embeddings, [0])
        shape = tf.shape(hidden)
        rows = layer_normalization(self.inner.LayerNorm, tf.reshape(hidden, [-1, hidden.shape[-1]]))
        return {"hidden": tf.reshape(dropout(self.inner.dropout, rows, training), shape), "mask": state["mask"]}


class EncoderBlock(Block):
    """One encoder layer: self-attention and feed-forward, each with a residual connection and normalisation.

    Weights, normalisation and dropout are those of transformers' layer; the arithmetic stands here, so that every
    matrix is a projection.
    """

    def __init__(self, encoder_layer: tf.keras.layers.Layer, index: int) -> None:
        super().__init__(name=f"layer_{index}")
        self.inner = encoder_layer
        self.width = int(encoder_layer.attention.self_attention.all_head_size)
        attention = encoder_layer.attention.self_attention
        self.heads = int(attention.num_attention_heads)
        self.attention_dropout = attention.dropout
        self.attention_end = encoder_layer.attention.dense_output
        activation = encoder_layer.intermediate.intermediate_act_fn
        self.activation = gelu if activation is ACT2FN["gelu"] else activation
        self.ffn_end = encoder_layer.bert_output
        self.query, self.key, self.value = (
            Projection(name, getattr(attention, name)) for name in ("query", "key", "value")
        )
        self.output_projection = Projection("output", self.attention_end.dense)
        self.ffn_in = Projection("ffn_in", encoder_layer.intermediate.dense)
        self.ffn_out = Projection("ffn_out", self.ffn_end.dense)
        self.roles = {
            "query": (self.query,),
            "key": (self.key,),
            "value": (self.value,),
            "output": (self.output_projection,),
            "ffn": (self.ffn_in, self.ffn_out),
        }
        self.sublayer_outputs = (self.output_projection, self.ffn_out)

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with the next `hidden`, float [batch, length, width]."""
        # Between the projections every position is a row of a matrix: a dense layer is then one matrix product.
        shape = tf.shape(state["hidden"])
        hidden = tf.reshape(state["hidden"], [-1, state["hidden"].shape[-1]])
        attended = self.output_projection(self._attention(hidden, state["mask"], training), training=training)
        attended = dropout(self.attention_end.dropout, attended, training)
        hidden = layer_normalization(self.attention_end.LayerNorm, hidden + attended)
        expanded = self.ffn_out(self.activation(self.ffn_in(hidden, training=training)), training=training)
        expanded = dropout(self.ffn_end.dropout, expanded, training)
        hidden = layer_normalization(self.ffn_end.LayerNorm, hidden + expanded)
        return {"hidden": tf.reshape(hidden, shape), "mask": state["mask"]}

    def _attention(self, hidden: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the values that each position attends to, all heads side by side (Vaswani et al. 2017)."""
        query, key, value = (
            self._by_head(projection(hidden, training=training), tf.shape(mask))
            for projection in (self.query, self.key, self.value)
        )
        scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5
        # What is masked gets a score so low that its softmax is zero; the shape broadcasts over heads and queries.
        scores += (1.0 - tf.cast(mask, scores.dtype)[:, tf.newaxis, tf.newaxis, :]) * -1e4
        weights = dropout(self.attention_dropout, tf.nn.softmax(scores), training)
        attended = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(attended, tf.shape(hidden))

    def _by_head(self, values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Returns [batch, heads, length, width / heads] from [batch × length, width]; `positions`: batch and length."""
        split = tf.reshape(values, [positions[0], positions[1], self.heads, values.shape[-1] // self.heads])
        return tf.transpose(split, [0, 2, 1, 3])


def build(request: Request) -> BlockModel:
    """Returns a BERT encoder with a classification head; BERT's own pooler, where asked for, trains with the head.

    Raises InputError, see `read_encoder`.
    """
    model, seed = request.model, request.seed
    encoder = read_encoder(request)
    config = encoder.config
    head = ClassificationHead(
        classes=len(request.labels),
        width=config.hidden_size,
        dropout=model.dropout,
        seed=derive_seed(seed, "initialisation", "head"),
        pooler=encoder.pooler if request.pooling == "pooler" else None,
    )
    preprocess = TextPreprocessing(encoder.vocabulary, encoder.lower_case, model.max_length)
    preprocess.longest = encoder.longest
    return BlockModel(preprocess, encoder.blocks, head, request.labels, encoder.settings)


@dataclass(frozen=True)
class Encoder:
    """A BERT encoder as blocks, and what belongs to it.

    Attributes:
        blocks: the embeddings, then each layer.
        config: transformers' BertConfig.
        pooler: BERT's own layer over [CLS].
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased.
        settings: what the blocks compute beside their weights, as JSON text.
        longest: how many tokens a text may have with these weights; with random ones, as many as a plan may ask for.
    """

    blocks: list[Block]
    config: BertConfig
    pooler: tf.keras.layers.Layer
    vocabulary: list[str]
    lower_case: bool
    settings: str
    longest: int


def read_encoder(request: Request) -> Encoder:
    """Returns the encoder of a model section, at its weights or at random ones.

    Raises:
        InputError: weights that are missing, damaged or not BERT's; says which and what was found.
    """
    model, seed, folder = request.model, request.seed, request.folder
    tf.keras.utils.set_random_seed(derive_seed(seed, "initialisation"))
    if model.weights is None:
        encoder, vocabulary, lower_case = _random_encoder(model, folder)
    else:
        encoder, vocabulary, lower_case = _pretrained_encoder(model.weights, folder, request.pooling == "pooler")
    config = encoder.config
    if model.max_length > config.max_position_embeddings:
        raise InputError(
            f"model.max_length: {model.max_length} asked, these weights have {config.max_position_embeddings} positions"
        )
    blocks = [
        EmbeddingsBlock(encoder.bert.embeddings),
        *(EncoderBlock(layer, index) for index, layer in enumerate(encoder.bert.encoder.layer)),
    ]
    # Where the weights were loaded from is a path of this machine.
    settings = json.dumps({name: value for name, value in config.to_dict().items() if not name.startswith("_")})
    longest = MOST_TOKENS if model.weights is None else min(MOST_TOKENS, config.max_position_embeddings)
    return Encoder(blocks, config, encoder.bert.pooler, vocabulary, lower_case, settings, longest)


def _random_encoder(model: Bert, folder: Path) -> tuple[TFBertModel, list[str], bool]:
    vocabulary = read_vocabulary(vocabulary_file(str(model.vocabulary), folder))
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


def _pretrained_encoder(weights: str, folder: Path, pools: bool) -> tuple[TFBertModel, list[str], bool]:
    place = f"model.weights: {weights}"
    source, local = weights_source(weights, folder, BERT_EXAMPLE)
    if local:
        check_bert_folder(Path(source), place)
    with loading_weights(place, local):
        encoder, info = TFBertModel.from_pretrained(source, output_loading_info=True)
        vocabulary, lower_case = _local_vocabulary(Path(source)) if local else hub_vocabulary(source)
    check_loaded(info, place, optional="pooler")
    check_values(encoder.config, f"{place}: config.json")
    check_size(vocabulary, encoder.config.vocab_size, place)
    unused = sorted(info["unexpected_keys"])
    if unused:
        shown = ", ".join(unused[:5])
        log.debug("%s: not used, because BERT's encoder has no place for it: %s (%d in all)", place, shown, len(unused))
    if info["missing_keys"]:
        say = log.info if pools else log.debug  # without it, nothing reads what the pooler gives
        say("%s: has no pooler; the pooler's weights are random", place)
    return encoder, vocabulary, lower_case


def _local_vocabulary(folder: Path) -> tuple[list[str], bool]:
    lower_case = True
    tokenizer_config = folder / "tokenizer_config.json"
    if tokenizer_config.is_file():
        lower_case = bool(json.loads(tokenizer_config.read_text(encoding="utf-8")).get("do_lower_case", True))
    return read_vocabulary(folder / "vocab.txt"), lower_case
