"""What a run computes on, and how: devices, precision, XLA, distribution."""

from __future__ import annotations

import functools
import os
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.models.precision import FLOAT32
from progressive_tf.plan.schema import Plan

BELOW_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")


@dataclass(frozen=True)
class Hardware:
    """What was found, and what of it a run uses.

    Attributes:
        devices: those found, in words: every GPU, or the CPU.
        gpu: whether they are GPUs.
        precision: the Keras policy that blocks are trained in.
        strategy: divides batches over several devices; None where one computes them.
        asked_to_mirror: whether the plan asked for several.
    """

    devices: tuple[str, ...]
    gpu: bool = False
    precision: str = FLOAT32
    strategy: tf.distribute.Strategy | None = None
    asked_to_mirror: bool = False

    @property
    def replicas(self) -> int:
        """How many devices share a batch."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def xla(self) -> bool:
        """Whether training steps are compiled: on one GPU. Compiled steps cannot exchange gradients with others."""
        return self.gpu and self.replicas == 1

    @property
    def line(self) -> str:
        """What was found and what is used, for a person."""
        devices = ", ".join(
            name if count == 1 else f"{count} × {name}" for name, count in Counter(self.devices).items()
        )
        slow = " (slow without a GPU)" if self.precision == "mixed_float16" and not self.gpu else ""
        if self.strategy is not None:
            used = f"every batch divided over {self.replicas} devices"
        else:
            used = "one device" + (", because no other was found to mirror to" if self.asked_to_mirror else "")
        return f"{devices}; {self.precision}{slow}; {'XLA' if self.xla else 'no XLA'}; {used}"

    def scope(self) -> AbstractContextManager[Any]:
        """Variables that are made inside stand on every device in use."""
        return nullcontext() if self.strategy is None else self.strategy.scope()


def prepare(precision: str = FLOAT32, distribute: str = "none") -> Hardware:
    """Makes operations deterministic and lets GPU memory grow on demand; returns what there is to compute with.

    Args:
        precision: the plan's.
        distribute: the plan's: "none", or "mirrored" to use every GPU, or every logical CPU device where there is none.

    Raises:
        InputError: the precision would end the process here.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if precision == "mixed_bfloat16" and not gpus:
        refuse_capped_bfloat16()
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    # Dropout then draws from generators that can be set to a seed at the start of each epoch.
    tf.keras.backend.experimental.enable_tf_random_generator()
    mirrored = distribute == "mirrored"
    names = tuple(device.name for device in tf.config.list_logical_devices("GPU" if gpus else "CPU"))
    strategy = _mirrored(names) if mirrored and len(names) > 1 else None
    return Hardware(
        devices=tuple(_gpu_name(gpu) for gpu in gpus) or (_cpu(),),
        gpu=bool(gpus),
        precision=precision,
        strategy=strategy,
        asked_to_mirror=mirrored,
    )


def refuse_capped_bfloat16() -> None:
    """Raises InputError where oneDNN may not use what TensorFlow 2.15 asks it to compute bfloat16 with.

    TensorFlow looks at the processor, oneDNN at its variable too, and where they differ the process is ended by a
    segmentation fault.
    """
    cap = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    if cap in BELOW_BFLOAT16 and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
        raise InputError(
            f"precision: mixed_bfloat16: ONEDNN_MAX_CPU_ISA={cap} takes away the instructions that compute it; unset "
            f"it, set TF_ENABLE_ONEDNN_OPTS=0, or train in float32"
        )


def uses_xla() -> bool:
    """Whether training steps of the strategy in force are compiled, as `Hardware.xla` says."""
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


@functools.cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """Returns one strategy per process: a second would number its exchanges anew, and TensorFlow would mix them up."""
    return tf.distribute.MirroredStrategy(names)


def _gpu_name(gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def _cpu() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"CPU with {cores} core{'s' if cores > 1 else ''}"
