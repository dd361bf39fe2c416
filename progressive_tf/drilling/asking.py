"""What a released version answers to inputs; needs TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.registry import Version
from progressive_tf.serving.instances import DEFAULT, ROWS, read_request
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.loaded import LoadedVersion

BATCH = 32


class Asking:
    """A version that is asked; it is loaded once.

    Args:
        version: a released one.
    """

    def __init__(self, version: Version) -> None:
        self._loaded = LoadedVersion(version)

    @property
    def labels(self) -> tuple[str, ...]:
        """What it answers, in its order; nothing where it writes texts."""
        return self._loaded.labels

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""
        return self._loaded.has_tasks

    @property
    def text_name(self) -> str:
        """Under which name it gets a text."""
        return next(iter(self._loaded.signatures[DEFAULT]))

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Returns what it says to inputs, all JSON-like by name; they are asked by the signature that has their names.

        Raises:
            InputError: the version refuses one.
        """
        try:
            limits, signatures = Limits(instances=len(inputs)), self._loaded.signatures
            names = inputs[0].keys() if inputs else set()
            signature = next((name for name, specs in signatures.items() if specs.keys() == names), DEFAULT)
            body = {ROWS: [dict(row) for row in inputs], "signature_name": signature}
            asked = read_request(body, signatures, limits).asked
        except Refusal as refusal:
            raise InputError(f"version {self._loaded.number} cannot be asked: {refusal}") from None
        order = sorted(range(len(asked)), key=lambda place: (str(asked[place].bucket), asked[place].length))
        found = list[Mapping[str, Any]]([{}] * len(asked))
        begin = 0
        while begin < len(order):
            bucket = asked[order[begin]].bucket
            batch = [place for place in order[begin : begin + BATCH] if asked[place].bucket == bucket]
            answers = self._loaded.answer(bucket, [asked[place].instance for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Refusal):
                    raise InputError(f"row {place + 1}: version {self._loaded.number} refuses it: {answer}")
                found[place] = answer
            begin += len(batch)
        return found
