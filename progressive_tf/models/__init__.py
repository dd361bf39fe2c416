"""Networks as ordered blocks with a head: the catalogue of builders, and one file per network."""

from progressive_tf.stack import check_keras

check_keras()  # before any of them uses tf.keras
