"""What a run computes on, and how: devices, precision, XLA, distribution."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Plan


@dataclass(frozen=True)
class Hardware:
    """What was found, and what of it a run uses.

    Attributes:
        devices: those found, in words: every GPU, or the CPU.
        precision: the Keras policy that blocks are trained in.
        xla: whether training steps are compiled.
        strategy: divides batches over several devices; None where one computes them.
        asked_to_mirror: whether the plan asked for several.
    """

    devices: tuple[str, ...]
    precision: str = "float32"
    xla: bool = False
    strategy: tf.distribute.Strategy | None = None
    asked_to_mirror: bool = False

    @property
    def replicas(self) -> int:
        """How many devices share a batch."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def line(self) -> str:
        """What was found and what is used, for a person."""
        found = ", ".join(name if count == 1 else f"{count} × {name}" for name, count in Counter(self.devices).items())
        without_gpu = not tf.config.list_physical_devices("GPU")
        slow = ", slower than float32 without a GPU" if self.precision != "float32" and without_gpu else ""
        if self.strategy is not None:
            used = f"every batch divided over {self.replicas} devices"
        else:
            used = "one device" + (", because no other was found to mirror to" if self.asked_to_mirror else "")
        return f"hardware: {found}; {self.precision}{slow}; {'XLA' if self.xla else 'no XLA'}; {used}"

    def scope(self) -> AbstractContextManager[Any]:
        """Variables that are made inside stand on every device in use."""
        return nullcontext() if self.strategy is None else self.strategy.scope()


def prepare(precision: str = "float32", distribute: str = "none") -> Hardware:
    """Makes operations deterministic and lets GPU memory grow on demand; returns what there is to compute with.

    Args:
        precision: the plan's.
        distribute: the plan's: "none", or "mirrored" to use every GPU, or every logical CPU device where there is none.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    # Dropout then draws from generators that can be set to a seed at the start of each epoch.
    tf.keras.backend.experimental.enable_tf_random_generator()
    mirrored = distribute == "mirrored"
    names = [device.name for device in tf.config.list_logical_devices("GPU" if gpus else "CPU")]
    strategy = tf.distribute.MirroredStrategy(names) if mirrored and len(names) > 1 else None
    return Hardware(
        devices=tuple(_gpu_name(gpu) for gpu in gpus) or (f"CPU with {_cores()} cores",),
        precision=precision,
        xla=bool(gpus) and strategy is None,
        strategy=strategy,
        asked_to_mirror=mirrored,
    )


def uses_xla() -> bool:
    """Whether training steps are compiled: on one GPU. Compiled steps cannot exchange gradients between devices."""
    return bool(tf.config.list_logical_devices("GPU")) and tf.distribute.get_strategy().num_replicas_in_sync == 1


def check_batch_sizes(plan: Plan, hardware: Hardware) -> None:
    """Refuses batches that leave a device without an example.

    Raises:
        InputError: a stage's batch size is smaller than the number of devices that share a batch.
    """
    for index, stage in enumerate(plan.stages):
        if isinstance(stage.batch_size, int) and stage.batch_size < hardware.replicas:
            raise InputError(
                f"stages[{index}].batch_size: {stage.batch_size} asked, distribute: mirrored divides each batch over "
                f"{hardware.replicas} devices; raise it to {hardware.replicas} or more, or set distribute: none"
            )


def _gpu_name(gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
