"""From what a row is to the tensors that the first block takes, one file for each kind of input.

These outputs say how much of an input was read, beside the answer to it.
"""

INPUT_TOKENS = "input_tokens"  # that a text has
USED_TOKENS = "used_tokens"  # that are read
WINDOWS = "windows"  # in which a text is read; they share no words
UNKNOWN_CELLS = "unknown_cells"  # columns of a table with a value that says nothing
