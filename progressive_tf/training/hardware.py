"""What the run computes on, set up once per process."""

from __future__ import annotations

import tensorflow as tf


def prepare() -> list[str]:
    """Makes operations deterministic and lets GPU memory grow on demand; returns the devices in use, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    # Dropout then draws from generators that can be set to a seed at the start of each epoch.
    tf.keras.backend.experimental.enable_tf_random_generator()
    if not gpus:
        return [f"CPU, {tf.config.threading.get_intra_op_parallelism_threads() or 'all'} threads"]
    return [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
