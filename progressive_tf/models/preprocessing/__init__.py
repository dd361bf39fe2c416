"""From what a row is to the tensors that the first block takes, one file for each kind of input."""
