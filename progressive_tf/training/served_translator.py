"""A translator as an exported model: texts, or tokens, → the texts that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.models.text_to_text_preprocessing import END, PAD
from progressive_tf.models.translator import Translator
from progressive_tf.training.exported import load_exported

GENERATE, TOKENS, IS_WHOLE = "generate", "tokens", "is_whole"


class ServedTranslator(tf.Module):
    """Texts → the likeliest text that the search finds for each, and how sure the network is of it.

    Args:
        network: a translator.

    Attributes:
        serve: `text` string [batch] → `translation` string [batch] and `confidence` float32 [batch], the geometric mean
            of the tokens' probabilities; `is_whole` bool [batch] is False where the longest text that is written was
            too short for its end, and `input_tokens` and `used_tokens` int32 [batch] say how many tokens the text has,
            and how many were read.
        alternatives: the same under its usual name, `generate`; and signature `tokens`: `inputs` int32 [batch, length],
            0 behind the end of each, cut as texts are → `tokens` int32 [batch, longest] and the same.
    """

    def __init__(self, network: Translator) -> None:
        super().__init__()
        # The variables alone are tracked: saving the Keras layers too would trace every one of them.
        self.stored = [weight.variable for weight in network.named_weights()]
        self.resources = list(network.preprocess.resources)

        @tf.function(input_signature=[network.preprocess.raw], autograph=False)
        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            state, read = network.preprocess.read(text)
            found = network.write(state)
            return {
                "translation": network.preprocess.written(found["tokens"]),
                "confidence": found["confidence"],
                IS_WHOLE: _has_end(found["tokens"]),
                **read,
            }

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="inputs")], autograph=False)
        def serve_tokens(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            kept = _cut(inputs, network.preprocess.max_length)
            found = network.write({"inputs": kept, "mask": tf.cast(kept != PAD, tf.float32)})
            given = tf.reduce_sum(tf.cast(inputs != PAD, tf.int32), axis=1)
            return found | {IS_WHOLE: _has_end(found["tokens"])} | network.preprocess.counts(given)

        self.serve = serve
        self.alternatives = {GENERATE: serve, TOKENS: serve_tokens}


def _has_end(tokens: tf.Tensor) -> tf.Tensor:
    """Returns whether each text was written to its end, bool [batch]."""
    return tf.reduce_any(tokens == END, axis=1)


def _cut(inputs: tf.Tensor, longest: int) -> tf.Tensor:
    """Returns ids as those of texts are cut: what is longer ends with an end at the last place there is."""
    too_long = tf.reduce_any(inputs[:, longest:] != PAD, axis=1, keepdims=True)
    kept = inputs[:, :longest]
    is_last = tf.range(tf.shape(kept)[1])[tf.newaxis] == longest - 1
    return tf.where(too_long & is_last, END, kept)


def translate_exported(folder: Path, texts: Sequence[str], batch_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Returns what an exported version writes: texts, object [rows], and its confidence, float32 [rows].

    Args:
        folder: the version's.
        texts: what is to be translated.
        batch_size: how many at once; those of about the same length stand together.
    """
    model = load_exported(folder)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    written = np.empty(len(texts), object)
    confidence = np.zeros(len(texts), np.float32)
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        given = [texts[index].encode("utf-8", "surrogatepass") for index in batch]
        answer = model.signatures[GENERATE](text=tf.constant(given, tf.string))
        written[batch] = [text.decode("utf-8", "ignore") for text in answer["translation"].numpy().tolist()]
        confidence[batch] = answer["confidence"].numpy()
    return written, confidence
