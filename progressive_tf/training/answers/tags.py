"""Sentences as examples, and what a tagger answers for them: windows on the way in, whole sentences on the way out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.batching import fixed_batches, padded, padded_length
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.windows import Windows
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.models.block_model import State
from progressive_tf.models.crf import CRF
from progressive_tf.training.answers.base import FIRST_FIELDS, KEYS, write_rows

TAGS, BEFORE = "tags", "before"
NO_WORD = -1
SENTENCES_AT_ONCE = 64
LENGTH_STEP = 16  # sentences are decoded together with those of about their length


def tag_codes(sentences: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    """Returns tags of all words as indices into `names`, int32 [words of all sentences]."""
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[tag] for tags in sentences for tag in tags], np.int32)


def window_tags(windows: Windows, codes: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Returns what the state of each window says about its words.

    Args:
        windows: of some sentences.
        codes: int32 [words of all sentences], their tags.
        width: positions of the longest window that any batch may have.

    Returns:
        `tags` int32 [windows, width], the tag of the word that begins at a position, −1 where none does; and `before`
        int32 [windows], the tag of the word before a window's first, −1 where a sentence begins.
    """
    tags = np.full((len(windows.numbers), width), NO_WORD, np.int32)
    tags[windows.word_windows, windows.word_positions] = codes
    begins = np.unique(windows.word_windows, return_index=True)[1]
    continues = np.diff(windows.sentences, prepend=-1) == 0
    before = np.where(continues, codes[begins - 1], NO_WORD).astype(np.int32)
    return {TAGS: tags, BEFORE: before}


def words_of(state: State, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what stands at the positions at which words begin, moved together.

    Args:
        state: of a batch of windows; has `tags` int32 [batch, at least length].
        outputs: [batch, length, …].

    Returns:
        The outputs [batch, words, …], the words' tags int32 [batch, words], 0 after the last, and how many each window
        has, int32 [batch].
    """
    tags = state[TAGS][:, : tf.shape(outputs)[1]]
    begins = tags != NO_WORD
    counts = tf.reduce_sum(tf.cast(begins, tf.int32), axis=1)
    order = tf.argsort(tf.cast(begins, tf.int32), axis=1, direction="DESCENDING", stable=True)
    order = order[:, : tf.reduce_max(counts)]
    moved = tf.gather(outputs, order, batch_dims=1)
    return moved, tf.maximum(tf.gather(tags, order, batch_dims=1), 0), counts


class Decoder:
    """Logits of words → the likeliest valid tags of whole sentences, each with its probability.

    Args:
        crf: of the network; its weights are read when it is called.
        tags: how many tags there are.
    """

    def __init__(self, crf: CRF, tags: int) -> None:
        signature = [tf.TensorSpec([None, None, tags], tf.float32), tf.TensorSpec([None], tf.int32)]

        def decode(logits: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            best = crf.decode(logits, lengths)
            return best, tf.gather(crf.marginals(logits, lengths), best, batch_dims=2)

        self._decode = tf.function(decode, input_signature=signature, autograph=False)

    def __call__(self, logits: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns tags, int32, and their probabilities, float32, [words of all sentences].

        Args:
            logits: float32 [words of all sentences, tags].
            lengths: int32 [sentences], words of each.
        """
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        tags, confidence = np.zeros(len(logits), np.int32), np.zeros(len(logits), np.float32)
        for positions, longest in fixed_batches(lengths, LENGTH_STEP, SENTENCES_AT_ONCE):
            words = np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in positions])
            batch, mask = padded(logits[words], lengths[positions], longest, np.dtype(np.float32))
            best, sure = self._decode(batch, lengths[positions].astype(np.int32))
            tags[words], confidence[words] = best.numpy()[mask > 0], sure.numpy()[mask > 0]
        return tags, np.clip(confidence, 0, 1)


def tags_width(max_length: int, bucket_width: int) -> int:
    """Returns the positions of the longest window, padded."""
    return padded_length(max_length, bucket_width)


STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        ("text", pa.string()),
        *((name, STRINGS) for name in ("tokens", "tags", "predicted")),
        ("confidence", pa.list_(pa.float32())),
    ]
)


def save_tagged(
    path: Path,
    predictions: Mapping[tuple[str, str], Answers],
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]],
    data: PlanData,
) -> None:
    """Writes one row per (part, slice, sentence), whole or not at all.

    Args:
        path: the file.
        predictions: by (part, slice).
        rows: the source and the rows that these are for.
        data: every row of the plan.
    """
    schema = SCHEMA.with_metadata({"tags": json.dumps(data.classes.tags)})
    write_rows(path, schema, predictions, rows, partial(_chunk, schema, data))


def load_tagged(path: Path, tags: tuple[str, ...]) -> TagAnswers:
    """Returns what `save_tagged` wrote, all rows of the file.

    Args:
        path: the file.
        tags: of the plan.
    """
    table = pq.read_table(path, columns=["tags", "predicted", "confidence"])
    truth, predicted = (table.column(name).to_pylist() for name in ("tags", "predicted"))
    confidence = table.column("confidence").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    lengths = np.array([len(each) for each in truth], np.int32)
    return TagAnswers(tags, lengths, tag_codes(truth, tags), tag_codes(predicted, tags), confidence.astype(np.float32))


def _chunk(
    schema: pa.Schema,
    data: PlanData,
    key: tuple[str, str],
    places: np.ndarray,
    tagged: TagAnswers,
    of: tuple[str, np.ndarray],
) -> pa.Table:
    name, all_rows = of
    rows, source, tagged = all_rows[places], data.sources[name], tagged.take(places)
    ends = np.concatenate([[0], np.cumsum(tagged.lengths)]).astype(np.int32)
    columns = {
        **{column: pa.repeat(value, len(rows)) for column, value in zip(KEYS, (*key, name), strict=True)},
        "index": pa.array(rows, pa.int64()),
        "row": pa.array(source.rows[rows], pa.int64()),
        "text": pa.array(source.descriptions(rows), pa.string()),
        "tokens": pa.array(source.inputs(rows), STRINGS),
        "tags": pa.array(tagged.sentences(tagged.truth), STRINGS),
        "predicted": pa.array(tagged.sentences(tagged.predicted), STRINGS),
        "confidence": pa.ListArray.from_arrays(pa.array(ends), pa.array(tagged.confidence)),
    }
    return pa.table(columns, schema=schema)
