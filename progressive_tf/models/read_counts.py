"""Names of the outputs with which a version says how much of an input it read; see `Preprocessing.read`."""

from __future__ import annotations

INPUT_TOKENS = "input_tokens"  # that a text has
USED_TOKENS = "used_tokens"  # that are read
WINDOWS = "windows"  # in which a text is read; they share no words
UNKNOWN_CELLS = "unknown_cells"  # columns of a table with a value that says nothing
