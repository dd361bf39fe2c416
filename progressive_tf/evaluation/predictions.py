"""What a model said about the rows of one slice, beside what is true."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

# Rows of float32 or float16 softmax outputs add up to one only about.
SUM_TOLERANCE = 1e-2


def probable(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Returns which rows of numbers [rows, classes] are probabilities: none below 0 or above 1, 1 altogether."""
    # A NaN compares as False, so that it is caught with the others.
    within = ((probabilities >= 0) & (probabilities <= 1 + SUM_TOLERANCE)).all(axis=1)
    return within & (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's class probabilities on a slice, checked when they are made.

    Attributes:
        labels: the classes, in the order of the columns of `probabilities`.
        truth: int32 [rows], the index in `labels` of each row's true class.
        probabilities: float64 [rows, classes], in [0, 1], each row adding up to 1.
        known: how many of the labels, from the first, the model has outputs for; by default all.

    Raises:
        ValueError: shapes that do not fit, an index outside `labels`, a label twice, or numbers that are no
            probabilities.
    """

    labels: tuple[str, ...]
    truth: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float64]
    known: int | None = None

    def __post_init__(self) -> None:
        truth = np.asarray(self.truth)
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: at least one, each once, expected; got {list(self.labels)}")
        if truth.ndim != 1 or (truth.size and not np.issubdtype(truth.dtype, np.integer)):
            raise ValueError(f"truth: a vector of label indices expected; got {truth.dtype} {list(truth.shape)}")
        if probabilities.shape != (truth.size, len(self.labels)):
            raise ValueError(
                f"probabilities: shape {[truth.size, len(self.labels)]} (rows, labels) expected;"
                f" got {list(probabilities.shape)}"
            )
        outside = (truth < 0) | (truth >= len(self.labels))
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(f"truth[{row}]: an index below {len(self.labels)} expected; got {truth[row]}")
        fine = probable(probabilities)
        if not fine.all():
            row = int(fine.argmin())
            raise ValueError(
                f"probabilities[{row}]: numbers from 0 to 1 that add up to 1 expected; got {probabilities[row]}"
            )
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "truth", truth.astype(np.int32))
        object.__setattr__(self, "probabilities", probabilities)

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int32]:
        """int32 [rows]: the index of the most probable class, the first one on a tie."""
        return self.probabilities.argmax(axis=1).astype(np.int32)

    @cached_property
    def counts(self) -> npt.NDArray[np.float64]:
        """float64 [3, classes]: rows of each class, rows predicted as it, and rows of it that are predicted right."""
        found = (self.truth, self.predicted, self.truth[self.right])
        return np.array([np.bincount(rows, minlength=len(self.labels)) for rows in found], np.float64)

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of each label."""
        return {label: place for place, label in enumerate(self.labels)}

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """float64 [rows]: the probability given to the predicted class."""
        return self.probabilities.max(axis=1)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the predicted class is the true one."""
        return self.predicted == self.truth

    def take(self, rows: npt.ArrayLike) -> Predictions:
        """Returns the predictions of some rows: indices or a boolean mask, in that order."""
        chosen = np.asarray(rows)
        if chosen.size == 0:
            chosen = chosen.astype(np.intp)
        return Predictions(self.labels, self.truth[chosen], self.probabilities[chosen], self.known)

    def as_answered(self) -> Predictions:
        """Returns the predictions as callers get them: for a class that the model has no output for, a wrong answer."""
        return Predictions(self.labels, self.truth, self.probabilities)

    @property
    def knowable(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the model has an output for the true class."""
        return self.truth < (len(self.labels) if self.known is None else self.known)
