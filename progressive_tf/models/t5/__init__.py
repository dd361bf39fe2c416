"""T5 and ByT5 as blocks over an encoder and a decoder, and the search that writes texts."""
