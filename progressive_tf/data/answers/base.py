"""What every kind of answer can be asked about the rows of a source.

A new kind is a subclass of `Truth` and an entry in `TRUTHS`. What `Truth` itself does is for a value a row, kept as it
is written, without classes: rows are divided without strata, and nothing is looked for in labels.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow

from progressive_tf.data.checked_cells import check_labels
from progressive_tf.data.near_duplicates import hash_number
from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import Batch, Reader
from progressive_tf.data.store import TARGET_FIELD, Store
from progressive_tf.errors import shortened
from progressive_tf.plan.label_rules import LabelRule
from progressive_tf.plan.schema import Data

if TYPE_CHECKING:
    from typing_extensions import Self


class Gathered:
    """Gathers what is true of rows while the files of a source are read.

    Args:
        label: the one label that every row has where there are no classes.
    """

    def __init__(self, label: str | None = None) -> None:
        self.labels: dict[str, int] = {} if label is None else {label: 0}
        self.codes: array[int] = array("i")
        self.equal: array[int] = array("Q")

    def add(self, batch: Batch) -> None:
        """Takes what is true of further rows, which have been checked."""
        self.codes.extend([0] * len(batch.labels))
        self.equal.extend(hash_number(value.encode()) for value in batch.labels)

    def fields(self, batch: Batch) -> dict[str, Any]:
        """Returns the Arrow columns of the normal form that hold what is true of these rows."""
        return {TARGET_FIELD: pyarrow.array(batch.labels, pyarrow.large_string())}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what is kept in arrays of all rows; `codes` int32 [rows] are positions in the sorted labels."""
        ranks = np.empty(len(self.labels), np.int32)
        for rank, label in enumerate(sorted(self.labels)):
            ranks[self.labels[label]] = rank
        arrays = {"codes": ranks[np.frombuffer(self.codes, np.int32)]}
        return arrays | ({"answers": np.frombuffer(self.equal, np.uint64)} if self.equal else {})

    def description(self) -> dict[str, Any]:
        """Returns what is written of the source as a whole."""
        return {"labels": sorted(self.labels), "kinds": []}


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of the rows of a source.

    Attributes:
        labels: those by which rows are counted and spread over the parts; a single one where there are no classes.
        codes: int32 [rows], positions in `labels`.
        equal: integers [rows], equal where all that is to be learnt of two rows is equal.
        gathered: makes what takes in the rows of a source while it is read.
        expected: what a source has to be, where its rows are called `{rows}`.
        form: tells a normal form of it from that of other answers of the same files; empty for classes.
        asset_formats: formats of assets that only this kind of answer reads; where there are none, it reads all others.
        word: what is true of a row, as messages call it.
        other_word: what is true of another row, where it differs.
        checks: keys of `data.quality` that look at such answers only.
        no_noise: why no wrong labels can be found among them; empty where they can.
        in_classes: whether a row is of one class, and a network learns classes as the plan's scenario says.
    """

    labels: tuple[str, ...]
    codes: np.ndarray
    equal: np.ndarray

    gathered: ClassVar[Callable[[], Gathered]] = partial(Gathered, "value")
    expected: ClassVar[str] = "{rows} with a value each"
    form: ClassVar[str] = "values"
    asset_formats: ClassVar[frozenset[str]] = frozenset()
    word: ClassVar[str] = "value"
    other_word: ClassVar[str] = "another value"
    checks: ClassVar[frozenset[str]] = frozenset()
    no_noise: ClassVar[str] = "it is found in classes, and these are values"
    in_classes: ClassVar[bool] = False

    @classmethod
    def reader(cls, reader: Reader, rule: LabelRule) -> Reader:
        """Returns what reads a file where labels may be written by a rule; the given reader if that changes nothing."""
        return reader

    @classmethod
    def check(cls, batch: Batch, label: str, problems: Problems) -> Batch:
        """Returns a batch with what stands in the column called `label` as text; notes what cannot be true of a row."""
        return check_labels(batch, label, problems, called=cls.word, as_classes=cls.in_classes)

    @classmethod
    def read(cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str) -> Self:
        """Returns what is true of the rows of a source that was read.

        Args:
            description: what `Gathered` wrote of the source as a whole.
            arrays: what it kept in arrays.
            name: of the source, for messages.

        Raises:
            InputError: nothing can be learnt from it.
        """
        codes = arrays["codes"]
        return cls(tuple(description["labels"]), codes, arrays.get("answers", codes))

    @property
    def class_names(self) -> tuple[str, ...]:
        """What is learnt by name."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a network gives, by name, whatever the stage; empty where it does not have a fixed number of outputs."""
        return self.labels

    def class_counts(self, store: Store, exact: bool = True) -> dict[str, int]:
        """Returns how many rows have each of `class_names`; unless `exact`, any number where counting takes long."""
        return {}

    def counts(self, rows: np.ndarray) -> dict[str, int]:
        """Returns how many of some rows each class has, those without rows included; nothing without classes."""
        return {}

    def with_codes(self, codes: np.ndarray) -> Self:
        """Returns the same with other labels of its rows, int32 [rows]."""
        return replace(self, codes=codes, equal=codes if self.equal is self.codes else self.equal)

    def with_class_names(self, names: Mapping[str, str]) -> Self:
        """Returns the same with other names for its classes; those with one name become one.

        Args:
            names: each of `class_names` → its new name.
        """
        return self

    def with_classes(self, labels: tuple[str, ...]) -> Self:
        """Returns the same with these classes in place of its own, all of which are among them; only of whole rows."""
        return self

    def known(self, data: Data, name: str, rows: np.ndarray) -> Self:
        """Returns the same with the labels that the plan names, in its order; with those found where it names none.

        Args:
            data: the plan's section.
            name: of the source.
            rows: int64 [rows], numbers of its rows.

        Raises:
            InputError: a row has another label, or all have the same.
        """
        return self

    def check_within(self, own: Self, own_name: str, place: str, name: str) -> None:
        """Raises InputError where a source has to be learnt what the plan's own does not have.

        Args:
            own: what is true of the plan's own source.
            own_name: how the plan calls that one.
            place: where the plan names this source.
            name: how messages call this source.
        """

    def values(self, store: Store, indices: Iterable[int]) -> list[Any]:
        """Returns what is true of the rows at `indices`, in that order."""
        return store.values(TARGET_FIELD, indices)

    def column(self, store: Store) -> pd.Series:
        """Returns what a condition of a plan compares with, of every row."""
        return pd.Series(store.text_column(TARGET_FIELD), dtype=object)

    def examples(self, store: Store, indices: np.ndarray, inputs: Iterable[str]) -> tuple[str, ...]:
        """Returns rows as a person is shown them, given what each is, shortened."""
        return tuple(map("{} → {}".format, inputs, map(shortened, map(str, self.values(store, indices)))))

    def is_broken(self, rows: np.ndarray) -> np.ndarray:
        """Returns whether what is true of each of some rows had to be repaired, bool [rows]."""
        return np.zeros(len(rows), bool)

    def useless(self, rows: np.ndarray, fewest: int) -> tuple[str, str] | None:
        """Returns why nothing can be learnt from rows, where they have too few classes, and what is needed."""
        return None
