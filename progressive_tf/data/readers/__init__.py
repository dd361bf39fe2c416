"""One module for each family of file formats, and the catalogue of them.

A new format is one module with a `Reader` and one line in `READERS`.
"""

from __future__ import annotations

from progressive_tf.data.readers.batch import Reader
from progressive_tf.data.readers.delimited import delimited_reader
from progressive_tf.data.readers.json_lines import read_json_lines
from progressive_tf.data.readers.parquet import read_parquet

READERS: dict[str, Reader] = {
    ".csv": delimited_reader(","),
    ".tsv": delimited_reader("\t"),
    ".jsonl": read_json_lines,
    ".parquet": read_parquet,
}
BINARY_SUFFIXES = frozenset({".parquet"})
