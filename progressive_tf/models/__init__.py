"""Networks as ordered blocks with a head: the catalogue of builders, and one file per network."""
