"""What a released version answers to inputs; needs TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from progressive_tf.errors import InputError
from progressive_tf.registry import Version
from progressive_tf.serving.answers.base import PROBABILITIES
from progressive_tf.serving.instances import DEFAULT, ROWS, read_request
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.loaded import LoadedVersion

BATCH = 32


class Asking:
    """A version that is asked; it is loaded once.

    Args:
        version: a released one.
        labels: the classes, in the order in which probabilities are wanted.
    """

    def __init__(self, version: Version, labels: Sequence[str]) -> None:
        self._loaded = LoadedVersion(version)
        self._columns = [list(labels).index(label) for label in self._loaded.labels]
        self._classes = len(labels)

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""
        return self._loaded.has_tasks

    @property
    def text_name(self) -> str:
        """Under which name it gets a text."""
        return next(iter(self._loaded.signatures[DEFAULT]))

    def probabilities(self, inputs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the probabilities of inputs, JSON-like by name, float64 [rows, classes].

        Raises:
            InputError: the version refuses one.
        """
        try:
            limits = Limits(instances=len(inputs))
            asked = read_request({ROWS: [dict(row) for row in inputs]}, self._loaded.signatures, limits).asked
        except Refusal as refusal:
            raise InputError(f"version {self._loaded.number} cannot be asked: {refusal}") from None
        order = sorted(range(len(asked)), key=lambda place: (str(asked[place].bucket), asked[place].length))
        found = np.zeros((len(asked), self._classes))
        begin = 0
        while begin < len(order):
            bucket = asked[order[begin]].bucket
            batch = [place for place in order[begin : begin + BATCH] if asked[place].bucket == bucket]
            answers = self._loaded.answer(bucket, [asked[place].instance for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Refusal):
                    raise InputError(f"row {place + 1}: version {self._loaded.number} refuses it: {answer}")
                found[place, self._columns] = answer[PROBABILITIES]
            begin += len(batch)
        return found
