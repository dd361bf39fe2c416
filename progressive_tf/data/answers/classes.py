"""Classes, one a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from progressive_tf.data.answers.base import Gathered, Truth
from progressive_tf.data.label_spelling import folded
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import Batch
from progressive_tf.data.store import Store
from progressive_tf.errors import InputError, listed
from progressive_tf.plan.label_rules import CASEFOLD
from progressive_tf.plan.schema import Data

if TYPE_CHECKING:
    from typing_extensions import Self


class GatheredClasses(Gathered):
    """Gathers the classes of rows; see `Gathered`."""

    def add(self, batch: Batch) -> None:
        """Takes the classes of further rows."""
        self.codes.extend(self.labels.setdefault(label, len(self.labels)) for label in batch.labels)

    def fields(self, batch: Batch) -> dict[str, Any]:
        """Returns none: the codes say all."""
        return {}


@dataclass(frozen=True, eq=False)
class ClassTruth(Truth):
    """The classes of rows; `labels` are sorted, or in the plan's order. See `Truth`."""

    gathered: ClassVar[Callable[[], Gathered]] = GatheredClasses
    expected: ClassVar[str] = "labelled {rows}"
    form: ClassVar[str] = ""
    word: ClassVar[str] = "label"
    other_word: ClassVar[str] = "another label"
    no_noise: ClassVar[str] = ""
    in_classes: ClassVar[bool] = True

    @classmethod
    def of(cls, labels: tuple[str, ...], codes: np.ndarray) -> Self:
        """Returns the classes of rows, given their positions in `labels`, int32 [rows]."""
        return cls(labels, codes, codes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def class_counts(self, store: Store, exact: bool = True) -> dict[str, int]:
        """Returns how many rows each class has."""
        return self.counts(np.arange(len(self.codes)))

    def counts(self, rows: np.ndarray) -> dict[str, int]:
        """Returns how many of some rows each class has, in the order of `labels`; those without rows included."""
        counts = np.bincount(self.codes[rows], minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))

    def with_class_names(self, names: Mapping[str, str]) -> Self:
        """Returns the same with other names for its classes; those with one name become one."""
        if all(name == new for name, new in names.items()):
            return self
        renamed = [names.get(label, label) for label in self.labels]
        labels = tuple(sorted(set(renamed)))
        codes = np.array([labels.index(label) for label in renamed], np.int32)[self.codes]
        return replace(self.with_codes(codes), labels=labels)

    def with_classes(self, labels: tuple[str, ...]) -> Self:
        """Returns the same with these classes in place of its own, all of which are among them."""
        codes = np.array([labels.index(label) for label in self.labels], np.int32)[self.codes]
        return replace(self.with_codes(codes), labels=labels)

    def known(self, data: Data, name: str, rows: np.ndarray) -> Self:
        """Returns the same with the labels that the plan names; see `Truth.known`."""
        if data.labels is not None:
            return self._with_labels(data.labels, name, rows)
        if len(self.labels) < 2:
            raise InputError(
                f"{name}: every row is labelled {self.labels[0]!r}; a classifier needs at least two classes"
            )
        return self

    def _with_labels(self, labels: tuple[str, ...], name: str, rows: np.ndarray) -> Self:
        positions = np.array([labels.index(label) if label in labels else -1 for label in self.labels], np.int32)
        codes = positions[self.codes]
        problems = Problems(name)
        meant = {folded(label): label for label in labels}
        unknown = [label for label, position in zip(self.labels, positions, strict=True) if position < 0]
        near = next((label for label in unknown if folded(label) in meant), None)
        advice = f"data.labels has {listed(labels, 20)}"
        if near is not None:
            advice += (
                f"; {near!r} is {meant[folded(near)]!r} written in another way: set data.normalize_labels: {CASEFOLD}"
            )
        for index in np.flatnonzero(codes < 0).tolist():
            label = self.labels[self.codes[index]]
            problems.add("label outside data.labels", int(rows[index]), None, shorten(label), advice=advice)
        problems.raise_if_any()
        return replace(self.with_codes(codes), labels=labels)

    def values(self, store: Store, indices: Iterable[int]) -> list[Any]:
        """Returns the names of the classes of the rows at `indices`."""
        return [self.labels[self.codes[index]] for index in indices]

    def column(self, store: Store) -> pd.Series:
        """Returns the name of every row's class."""
        return pd.Series(np.asarray(self.labels, dtype=object)[self.codes])

    def examples(self, store: Store, indices: np.ndarray, inputs: Iterable[str]) -> tuple[str, ...]:
        """Returns rows as a person is shown them, the label first."""
        labels = (self.labels[self.codes[index]] for index in indices)
        return tuple(map("{}: {}".format, labels, inputs))

    def useless(self, rows: np.ndarray, fewest: int) -> tuple[str, str] | None:
        """Returns why nothing can be learnt from rows, and what is needed; None where they have enough classes."""
        if len(np.unique(self.codes[rows])) >= fewest:
            return None
        label = self.labels[self.codes[rows[0]]]
        return f"all {len(rows):,} rows to train on are labelled {label!r}", "a classifier needs at least two classes"
