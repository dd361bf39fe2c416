"""Made-up instances that a version can answer, to warm it up."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from progressive_tf.serving.instances import InputSpec, Instance

_TEXT_BYTES = (8, 64, 512)


def examples(
    signatures: Mapping[str, Mapping[str, InputSpec]], labels: Sequence[str]
) -> Iterator[tuple[str, Instance]]:
    """Yields the name of a signature and an instance for it, of several lengths for each.

    Args:
        signatures: the inputs of each signature, by name.
        labels: the version's, from which a task's name is taken where one is asked for.
    """
    for signature, specs in signatures.items():
        for length in _TEXT_BYTES:
            yield (
                signature,
                {name: _value(name, spec, length, labels) for name, spec in specs.items()},
            )


def _value(name: str, spec: InputSpec, length: int, labels: Sequence[str]) -> np.ndarray:
    shape = tuple(length // 8 if size is None else size for size in spec.shape)
    if spec.dtype != object:
        return np.zeros(shape, spec.dtype)
    text = b"word " * (length // 5 + 1)
    if spec.is_image:
        stream = io.BytesIO()
        Image.new("RGB", (64, 64)).save(stream, "PNG")
        text = stream.getvalue()
    elif name == "task":
        text = labels[0].partition("/")[0].encode()
    value = np.empty(shape, object)
    value[...] = text
    return value
