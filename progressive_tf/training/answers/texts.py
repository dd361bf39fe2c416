"""Texts that are expected, as examples, and what is learnt from them: each token, given those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.batching import padded
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import PlanData
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.preprocessing.written import END, PAD
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.models.t5.translator import Translator
from progressive_tf.training.answers.base import FIRST_FIELDS, KEYS, write_rows
from progressive_tf.training.answers.exported import load_exported
from progressive_tf.training.fitting.objectives import TokenObjective


def target_tokens(targets: InputStore, rows: np.ndarray, width: int) -> np.ndarray:
    """Returns the tokens of each example's expected text, int32 [n, width], 0 behind its end.

    Args:
        targets: their tokens; every row of `rows` has been added.
        rows: int64 [n] indices into the source.
        width: of the longest text there may be.
    """
    return padded(targets.flat(rows), targets.lengths(rows), width, np.dtype(np.int32))[0]


class Translation(TokenObjective):
    """The negative log-likelihood of expected texts, token by token, under teacher forcing (Sutskever et al. 2014).

    The mean is over tokens, so that long texts count as much as their tokens.

    Args:
        smoothing: share of the probability that is asked of all tokens alike (Szegedy et al. 2016), in [0, 1).
        frozen_depth: blocks of the decoder below it run in inference mode, as those do whose outputs are kept.
    """

    def __init__(self, smoothing: float = 0.0, frozen_depth: int = 0) -> None:
        self._smoothing = smoothing
        self._frozen_depth = frozen_depth

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of each token, float32 [batch, target length, tokens]."""
        trained = max(first_block, self._frozen_depth)
        before = network.run_blocks(state, first_block, trained)
        return network(before, training=training, first_block=trained)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns for each text the sum of its tokens' losses, how many are right, and how many there are.

        float32 [batch, 3].
        """
        target = state[TARGET]
        inside = target != PAD
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs)
        if self._smoothing:
            alike = -tf.reduce_mean(tf.nn.log_softmax(outputs), axis=-1)
            losses = (1 - self._smoothing) * losses + self._smoothing * alike
        right = inside & (tf.argmax(outputs, 2, tf.int32) == target)
        sums = [
            tf.reduce_sum(tf.where(inside, losses, 0), axis=1),
            tf.math.count_nonzero(right, axis=1, dtype=tf.float32),
            tf.math.count_nonzero(inside, axis=1, dtype=tf.float32),
        ]
        return tf.stack(sums, axis=1)


SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        *((name, pa.string()) for name in ("text", "target", "predicted")),
        ("confidence", pa.float32()),
    ]
)


def save_translations(
    path: Path,
    predictions: Mapping[tuple[str, str], Answers],
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]],
    data: PlanData,
) -> None:
    """Writes one row per (part, slice, text), whole or not at all.

    Args:
        path: the file.
        predictions: by (part, slice).
        rows: the source and the rows that these are for.
        data: every row of the plan.
    """
    write_rows(path, SCHEMA, predictions, rows, partial(_chunk, data))


def holds_translations(path: Path) -> bool:
    """Whether a file of predictions was written by `save_translations`."""
    return pq.read_schema(path).equals(SCHEMA)


def load_translations(path: Path) -> TextAnswers:
    """Returns what `save_translations` wrote, all rows of the file."""
    table = pq.read_table(path, columns=["target", "predicted", "confidence"])
    truth, predicted = (np.array(table.column(name).to_pylist(), dtype=object) for name in ("target", "predicted"))
    confidence = table.column("confidence").to_numpy()
    return TextAnswers(truth, predicted, confidence.astype(np.float32))


def _chunk(
    data: PlanData,
    key: tuple[str, str],
    places: np.ndarray,
    written: TextAnswers,
    of: tuple[str, np.ndarray],
) -> pa.Table:
    name, all_rows = of
    rows, source, written = all_rows[places], data.sources[name], written.take(places)
    columns = {
        **{column: pa.repeat(value, len(rows)) for column, value in zip(KEYS, (*key, name), strict=True)},
        "index": pa.array(rows, pa.int64()),
        "row": pa.array(source.rows[rows], pa.int64()),
        "text": pa.array(source.texts(rows), pa.string()),
        "target": pa.array(written.truth.tolist(), pa.string()),
        "predicted": pa.array(written.predicted.tolist(), pa.string()),
        "confidence": pa.array(written.confidence, pa.float32()),
    }
    return pa.table(columns, schema=SCHEMA)


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
