"""One module for each family of file formats, and the catalogue of them.

A new format is one module with a `Reader` and one line in `READERS`, or in `SENTENCE_READERS` for tagged
sentences.
"""

from __future__ import annotations

from progressive_tf.data.readers.batch import Reader
from progressive_tf.data.readers.conll import read_conll
from progressive_tf.data.readers.delimited import DelimitedReader
from progressive_tf.data.readers.json_lines import read_json_lines
from progressive_tf.data.readers.parquet import read_parquet
from progressive_tf.data.readers.tagged import TaggedReader
from progressive_tf.data.readers.token_lines import read_token_lines

READERS: dict[str, Reader] = {
    ".csv": DelimitedReader(","),
    ".tsv": DelimitedReader("\t"),
    ".jsonl": read_json_lines,
    ".json": read_json_lines,
    ".parquet": read_parquet,
}
SENTENCE_READERS: dict[str, Reader] = {
    ".conll": TaggedReader(read_conll),
    ".txt": TaggedReader(read_conll),
    ".jsonl": TaggedReader(read_token_lines),
    ".json": TaggedReader(read_token_lines),
}
BINARY_SUFFIXES = frozenset({".parquet"})
