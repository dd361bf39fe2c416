"""Which weights of a block model move: one file per method, and the catalogue of them."""
