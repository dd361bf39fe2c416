"""T5 and its like (Raffel et al. 2020), byte-level ByT5 included, as a translator in blocks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from transformers import T5Config, TFT5ForConditionalGeneration

from progressive_tf.errors import InputError
from progressive_tf.models.preprocessing.written import END, PAD, Bytes, SentencePieces, TextToTextPreprocessing, Tokens
from progressive_tf.models.projection import Block
from progressive_tf.models.request import Request
from progressive_tf.models.t5.beam_search import Search
from progressive_tf.models.t5.t5_blocks import (
    DecoderEmbeddings,
    DecoderLayer,
    EncoderEmbeddings,
    EncoderLayer,
    LanguageModelHead,
)
from progressive_tf.models.t5.t5_layers import RelativePositions
from progressive_tf.models.t5.t5_settings import check_names, check_values
from progressive_tf.models.t5.translator import Translator
from progressive_tf.models.weights_files import (
    BYTE_TOKENIZER,
    PIECES_FILE,
    T5_EXAMPLE,
    check_t5_folder,
    check_t5_kind,
    is_of_bytes,
)
from progressive_tf.models.weights_source import check_loaded, loading_weights, weights_source
from progressive_tf.plan.networks import MOST_T5_TOKENS, T5
from progressive_tf.seeds import derive_seed


def build(request: Request) -> Translator:
    """Returns a T5 that writes texts; raises InputError for weights that are missing, damaged or not T5's, or a
    tokenizer that is not there.
    """
    model: T5 = request.model
    tf.keras.utils.set_random_seed(derive_seed(request.seed, "initialisation"))
    if model.weights is None:
        network, tokens = _random_network(model, request.folder, request.seed)
    else:
        network, tokens = _pretrained_network(model, model.weights, request.folder)
    config = network.config
    encoder, decoder = network.encoder, network.decoder
    to_encoder, to_decoder = (
        stack.block[0].layer[0].SelfAttention.relative_attention_bias.numpy() for stack in (encoder, decoder)
    )
    begin = EncoderEmbeddings(network.shared.embeddings.numpy(), to_encoder, config.dropout_rate)
    write = DecoderEmbeddings(begin.embedded, config.vocab_size, config.d_model, to_decoder, config.dropout_rate)
    longest = int(config.relative_attention_max_distance)
    both_ways = RelativePositions(begin.distances, longest, both_ways=True)
    backwards = RelativePositions(write.distances, longest, both_ways=False)
    last = len(encoder.block) - 1
    encoder_blocks: list[Block] = [begin]
    for index, layer in enumerate(encoder.block):
        end = (encoder.final_layer_norm, config.dropout_rate) if index == last else ()
        encoder_blocks.append(EncoderLayer(layer, index, config.d_model, both_ways, *end))
    decoder_blocks = [
        write,
        *(DecoderLayer(layer, index, config.d_model, backwards) for index, layer in enumerate(decoder.block)),
    ]
    head = LanguageModelHead(
        decoder.final_layer_norm,
        config.dropout_rate,
        (lambda: begin.tokens) if config.tie_word_embeddings else network.lm_head,
        config.d_model,
    )
    # Where the weights were loaded from is a path of this machine.
    settings = json.dumps({name: value for name, value in config.to_dict().items() if not name.startswith("_")})
    preprocess = TextToTextPreprocessing(tokens, model.max_length, model.max_target_length, model.prefix)
    preprocess.longest = MOST_T5_TOKENS
    return Translator(
        preprocess,
        encoder_blocks,
        decoder_blocks,
        head,
        Search(model.beams, model.max_target_length, model.length_penalty, END),
        settings,
    )


def _random_network(model: T5, folder: Path, seed: int) -> tuple[TFT5ForConditionalGeneration, Tokens]:
    tokens: Tokens = Bytes()
    if model.vocabulary is not None:
        tokens = SentencePieces(folder / model.vocabulary, "model.vocabulary")
    settings: dict[str, Any] = dict(model.config or {})
    check_names(settings)
    try:
        config = T5Config(**settings, vocab_size=tokens.count, dropout_rate=model.dropout, decoder_start_token_id=PAD)
        check_values(config, "model.config")
        network = TFT5ForConditionalGeneration(config)
        with _initializers_shared():
            network.build_in_name_scope()
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"model.config: T5 cannot be built from it: {error}") from None
    if config.is_gated_act:
        _draw_gates(network, seed)
    return network, tokens


@contextmanager
def _initializers_shared() -> Iterator[None]:
    """Silences what Keras says of a gate's matrix, which transformers builds with the initializer of another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The initializer RandomNormal is unseeded and being called", UserWarning)
        yield


def _draw_gates(network: TFT5ForConditionalGeneration, seed: int) -> None:
    """Draws the gates' matrices anew: with the initializer of another matrix they have got its values."""
    config = network.config
    for index, block in enumerate([*network.encoder.block, *network.decoder.block]):
        gate = block.layer[-1].DenseReluDense.wi_1.kernel
        initializer = tf.keras.initializers.RandomNormal(
            stddev=config.initializer_factor * config.d_model**-0.5,
            seed=derive_seed(seed, "initialisation", "gate", index),
        )
        gate.assign(initializer(gate.shape))


def _pretrained_network(model: T5, weights: str, folder: Path) -> tuple[TFT5ForConditionalGeneration, Tokens]:
    place = f"model.weights: {weights}"
    source, local = weights_source(weights, folder, T5_EXAMPLE)
    if local:
        check_t5_folder(Path(source), place)
    with loading_weights(place, local):
        settings, _ = T5Config.get_config_dict(source)
        check_t5_kind(settings.get("model_type"), place)
        config = T5Config.from_dict(settings)
        config.dropout_rate = model.dropout
        with _initializers_shared():
            network, info = TFT5ForConditionalGeneration.from_pretrained(
                source, config=config, output_loading_info=True
            )
        tokens = _tokens(Path(source) if local else None, source, place)
    check_loaded(info, place)
    check_values(network.config, f"{place}: config.json")
    if tokens.count > network.config.vocab_size:
        raise InputError(
            f"{place}: the tokenizer has {tokens.count:,} tokens, the weights have {network.config.vocab_size:,}; use "
            f"the tokenizer that the weights were trained with"
        )
    return network, tokens


def _tokens(folder: Path | None, source: str, place: str) -> Tokens:
    if folder is None:
        from transformers.utils import cached_file

        kind = json.loads(Path(str(cached_file(source, "tokenizer_config.json"))).read_text(encoding="utf-8"))
        if kind.get("tokenizer_class") == BYTE_TOKENIZER:
            return Bytes()
        return SentencePieces(Path(str(cached_file(source, PIECES_FILE))), place)
    if is_of_bytes(folder):
        return Bytes()
    return SentencePieces(folder / PIECES_FILE, place)
