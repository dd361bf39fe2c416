"""Cells of a table as states of one position, inside the graph, so that an exported model takes them as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.files import sha256_json
from progressive_tf.models.preprocessing import UNKNOWN_CELLS
from progressive_tf.models.preprocessing.base import SAMPLE_TEXTS, Preprocessing
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.table_columns import MISSING, NUMBER, argument_names
from progressive_tf.plan.written_numbers import EDGES, MINUS, Notation

NO_CELL = " "  # stands for values outside a vocabulary; no cell without spaces around it is equal to it


class TablePreprocessing(Preprocessing):
    """Cells, string [batch, columns] → `inputs` float32 [batch, 1, width] and `mask` float32 [batch, 1].

    It is adapted on the rows whose statistics these are. Columns come in the order of `statistics.columns.names`,
    numbers as `statistics.notations` say. A row becomes its numbers, normalised, 0 where they are missing or no number;
    an indicator of that for each of them; then its categories and hashed values, each one-hot.
    """

    kept_type = np.dtype(np.float32)
    input_type = np.dtype(np.float32)
    bucket_width = 1

    def __init__(self, statistics: ColumnStatistics) -> None:
        super().__init__(name="preprocess")
        columns = statistics.columns
        self.raw = tf.TensorSpec([None, len(columns.names)], tf.string, name="features")
        self.columns = columns.names
        self._arguments = argument_names(columns.names)
        named = {name: tf.TensorSpec([None], tf.string, name=name) for name in self._arguments}
        self.alternatives = {"columns": (named, lambda columns: self(self._row(columns)))}
        self.use_statistics(statistics)

    def use_statistics(self, statistics: ColumnStatistics) -> None:
        """Takes other means, variances and vocabularies from now on; raises ValueError where vocabularies have another
        size, which would change the width.
        """
        if statistics == self.statistics:
            return
        columns = statistics.columns
        one_hot = [_one_hot_words(words) for words in statistics.vocabularies]
        one_hot += [_one_hot_buckets(buckets) for buckets in columns.hashed.values()]
        width = 2 * len(columns.numbers) + sum(encoding.num_tokens for _, encoding in one_hot)
        if self.statistics is not None and (width,) != self.position_shape:
            raise ValueError(f"{width} numbers in a row; expected {self.position_shape[0]}")
        self.statistics = statistics
        self.position_shape = (width,)
        self.settings = json.dumps({"columns": sha256_json(statistics.to_json())})
        self._one_hot = one_hot
        self._written = [
            (place, notation) for place, notation in enumerate(statistics.notations) if not notation.is_plain
        ]
        self._missing = "|".join(map(re.escape, statistics.missing))
        self.resources = [index.lookup_table for index, _ in one_hot if isinstance(index, tf.keras.layers.StringLookup)]
        # A constant column has no spread to divide by.
        variances = [variance or 1.0 for variance in statistics.variances]
        self._normalise = tf.keras.layers.Normalization(
            mean=np.array(statistics.means), variance=np.array(variances), dtype="float64"
        )
        self._encode = tf.function(self.call, input_signature=[self.raw], autograph=False)

    def learnt(self) -> dict[str, Any]:
        """Returns the statistics, and under `arguments` what the signature `columns` calls each column."""
        assert self.statistics is not None
        return self.statistics.to_json() | {"arguments": dict(zip(self.columns, self._arguments, strict=True))}

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of rows."""
        with tf.device("CPU"):  # where strings are; counting into one-hot vectors is not deterministic on a GPU
            cells = self._cells(raw)
            parts = self._numbers(cells)
            others = cells[:, len(self.columns) - len(self._one_hot) :]
            # One column of a batch at a time: CategoryEncoding takes a vector for a single example.
            parts += [
                encoding(index(others[:, place : place + 1])) for place, (index, encoding) in enumerate(self._one_hot)
            ]
            inputs = tf.concat(parts, axis=1)[:, tf.newaxis, :]
            return {"inputs": inputs, "mask": tf.ones([tf.shape(raw)[0], 1])}

    def read(self, raw: Any, form: str = "") -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the first state, and the columns in which each row has a value that says nothing.

        These are string [batch, most], "" behind the last. Such a value is no number in a column of numbers, which
        counts as missing, or a category that the first stage did not have. Empty cells and words for a missing value
        are missing by themselves, and hashed values are all known.
        """
        row = self._row(raw)
        with tf.device("CPU"):
            cells = self._cells(row)
            others = cells[:, len(self.columns) - len(self._one_hot) :]
            unknown = [tf.cast(self._numbers(cells)[1], tf.bool)]
            for place, (index, _) in enumerate(self._one_hot):
                is_lookup = isinstance(index, tf.keras.layers.StringLookup)
                column = others[:, place : place + 1]
                unknown.append(index(column) == 1 if is_lookup else tf.zeros_like(column, tf.bool))
            is_unknown = tf.concat(unknown, axis=1) & (cells != MISSING)
            names = tf.broadcast_to(tf.constant(self.columns), tf.shape(is_unknown))
            return self(row), {UNKNOWN_CELLS: tf.ragged.boolean_mask(names, is_unknown).to_tensor("")}

    def encode(self, raw: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns each row as one position, float32 [1, width]."""
        return list(self._encode(self.tensor(raw))["inputs"].numpy())

    def sample(self, generator: np.random.Generator) -> list[list[str]]:
        """Returns rows of numbers, known and unknown words, and empty cells, each in any column."""
        assert self.statistics is not None
        known = (word for words in self.statistics.vocabularies for word in words[:2])
        return generator.choice(["0.5", "", "unseen", "-3e2", *known], [len(SAMPLE_TEXTS), len(self.columns)]).tolist()

    def tensor(self, raw: Sequence[Sequence[str]]) -> tf.Tensor:
        """Returns cells as string [batch, columns], numbers as callers write them; in `raw` they are as Python writes
        them.
        """
        rows = [list(row) for row in raw]
        for place, notation in self._written:
            for row in rows:
                row[place] = notation.written(row[place])
        return tf.constant(rows, tf.string, shape=[len(rows), len(self.columns)])

    def _row(self, raw: Any) -> tf.Tensor:
        """Returns the cells of rows, string [batch, columns], however they were given."""
        return tf.stack([raw[name] for name in self._arguments], axis=1) if isinstance(raw, Mapping) else raw

    def _cells(self, row: tf.Tensor) -> tf.Tensor:
        """Returns cells without spaces around them; a word for a missing value is the empty string."""
        cells = tf.strings.strip(row)
        return tf.where(tf.strings.regex_full_match(cells, self._missing), MISSING, cells) if self._missing else cells

    def _numbers(self, cells: tf.Tensor) -> list[tf.Tensor]:
        cells = cells[:, : len(self.columns) - len(self._one_hot)]
        cells = plain_numbers(cells, self._written)
        readable = tf.strings.regex_full_match(cells, NUMBER)
        numbers = tf.strings.to_number(tf.where(readable, cells, "0"), tf.float64)
        # In float64, because a year or a time in seconds differs from its mean in the last digits of a float32.
        normalised = tf.cast(self._normalise(numbers), tf.float32)
        known = tf.logical_and(readable, tf.math.is_finite(normalised))
        return [tf.where(known, normalised, 0.0), 1.0 - tf.cast(known, tf.float32)]


def plain_numbers(cells: tf.Tensor, written: Sequence[tuple[int, Notation]]) -> tf.Tensor:
    """Returns cells with the numbers of some columns as Python writes them; what is no number there becomes "".

    Args:
        cells: string [batch, columns], without ASCII spaces around them.
        written: columns whose numbers are written otherwise, and how.
    """
    cells = tf.strings.regex_replace(tf.strings.regex_replace(cells, EDGES, ""), MINUS, "-")
    for place, notation in written:
        column = cells[:, place : place + 1]
        bare = tf.strings.regex_replace(tf.strings.regex_replace(column, notation.ignored, ""), ",", ".")
        plain = tf.where(tf.strings.regex_full_match(column, notation.pattern), bare, MISSING)
        cells = tf.concat([cells[:, :place], plain, cells[:, place + 1 :]], axis=1)
    return cells


OneHot = tuple[tf.keras.layers.Layer, tf.keras.layers.CategoryEncoding]


def _one_hot_words(vocabulary: Sequence[str]) -> OneHot:
    """Returns what numbers values (0 missing, 1 not in the vocabulary, then its words), and what makes them one-hot."""
    lookup = tf.keras.layers.StringLookup(vocabulary=list(vocabulary), mask_token=MISSING, oov_token=NO_CELL)
    return lookup, _encoding(lookup.vocabulary_size())


def _one_hot_buckets(buckets: int) -> OneHot:
    """Returns what numbers values (0 missing, then the buckets), and what makes them one-hot."""
    return tf.keras.layers.Hashing(buckets + 1, mask_value=MISSING), _encoding(buckets + 1)


def _encoding(tokens: int) -> tf.keras.layers.CategoryEncoding:
    return tf.keras.layers.CategoryEncoding(num_tokens=tokens, output_mode="one_hot")
