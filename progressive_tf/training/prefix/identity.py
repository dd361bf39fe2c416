"""What outputs of frozen blocks depend on, and whether keeping them pays."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

import progressive_tf.adaptation
import progressive_tf.models
from progressive_tf.data.batching import FIXED_BATCH_SIZE
from progressive_tf.files import sha256_json
from progressive_tf.models.block_model import BlockModel, weights_sha256

FORMAT = 1


def prefix_identity(network: BlockModel, depth: int, dtype: str) -> dict[str, Any]:
    """Returns everything that the outputs of the first `depth` blocks depend on beside the example, JSON-like.

    Two prefixes with the same identity give the same bits for the same inputs. The last digits differ between
    TensorFlow's versions, kinds of device, batch sizes and ways to write the same formula, so these belong to it.
    """
    return {
        "format": FORMAT,
        "weights": weights_sha256(network.weights_of_blocks(depth)),
        "additions": network.additions(depth),
        "settings": network.settings,
        "preprocessing": network.preprocess.settings,
        "depth": depth,
        "dtype": dtype,
        "compute_dtypes": [block.compute_dtype for block in network.blocks[:depth]],
        "batch_size": FIXED_BATCH_SIZE,
        "bucket_width": network.preprocess.bucket_width,
        "code": _code_sha256(),
        "packages": {name: version(name) for name in ("tensorflow", "transformers")},
        "device": _device(),
    }


def prefix_sha256(network: BlockModel, depth: int, dtype: str) -> str:
    """Returns the hash of `prefix_identity`, 32 hex digits: the name of the prefix's folder."""
    return sha256_json(prefix_identity(network, depth, dtype))[:32]


def storing_pays(network: BlockModel, depth: int) -> bool:
    """Whether reading outputs of the first `depth` blocks costs less than computing them.

    It does as soon as a block multiplies by a matrix. Looking up embeddings is as quick as reading what was looked up.
    """
    return any(weight.name.endswith("kernel") for weight in network.weights_of_blocks(depth))


@functools.cache
def _code_sha256() -> str:
    """Returns the hash of the code that runs inside blocks: their own, and what methods add to them."""
    digest = hashlib.sha256()
    for package in (progressive_tf.models, progressive_tf.adaptation):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package.__name__} {path.relative_to(folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _device() -> str:
    """Returns the GPU's name, or the instructions that this CPU has: libraries choose their kernels by these."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "CPU"
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return f"CPU {hashlib.sha256(' '.join(sorted(flags)).encode()).hexdigest()[:16]}"
