"""Tags of words, which mark entities of some types."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow

from progressive_tf.data.answers.base import Gathered
from progressive_tf.data.answers.classes import ClassTruth, GatheredClasses
from progressive_tf.data.near_duplicates import hash_number
from progressive_tf.data.readers.batch import Batch, Reader
from progressive_tf.data.readers.tagged import TaggedReader
from progressive_tf.data.store import TAGS_FIELD, Store
from progressive_tf.data.tags import OUTSIDE, kinds_in, rarest_kinds, tag_names
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.label_rules import LabelRule
from progressive_tf.plan.schema import Data

if TYPE_CHECKING:
    from typing_extensions import Self


class GatheredTags(GatheredClasses):
    """Gathers the tags of sentences; see `Gathered`. The label of each is settled when all are known."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: list[tuple[str, ...]] = []
        self._words: array[int] = array("i")
        self._broken: array[int] = array("b")

    def add(self, batch: Batch) -> None:
        """Takes the tags of further sentences."""
        assert batch.sentences is not None
        tags = batch.sentences.tags
        self._kinds.extend(map(kinds_in, tags))
        self._words.extend(map(len, tags))
        self.equal.extend(hash_number(" ".join(sequence).encode()) for sequence in tags)
        self._broken.extend(batch.sentences.broken)

    def fields(self, batch: Batch) -> dict[str, Any]:
        """Returns the tags of these sentences."""
        assert batch.sentences is not None
        return {TAGS_FIELD: pyarrow.array(batch.sentences.tags, pyarrow.large_list(pyarrow.string()))}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what is kept in arrays of all sentences, with their numbers of words."""
        rarest = rarest_kinds(self._kinds)
        self.codes.extend(self.labels.setdefault(label, len(self.labels)) for label in rarest)
        return {
            **super().arrays(),
            "words": np.frombuffer(self._words, np.int32),
            "broken": np.frombuffer(self._broken, np.int8).astype(bool),
        }

    def description(self) -> dict[str, Any]:
        """Returns the labels of sentences and the types of entities."""
        return super().description() | {"kinds": sorted({kind for kinds in self._kinds for kind in kinds})}


@dataclass(frozen=True, eq=False)
class TagTruth(ClassTruth):
    """The tags of sentences; see `Truth`. A sentence's label is its rarest type of entity, or "O".

    Attributes:
        kinds: the types of entities in the source, sorted.
        broken: bool [rows], whether a sentence's tags were repaired.
        renamed: type of entity as it stands on disk → what it is called instead.
    """

    kinds: tuple[str, ...] = ()
    broken: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    renamed: Mapping[str, str] = field(default_factory=dict)

    gathered: ClassVar[Callable[[], Gathered]] = GatheredTags
    expected: ClassVar[str] = "tagged sentences"
    form: ClassVar[str] = "sentences"
    asset_formats: ClassVar[frozenset[str]] = frozenset({"conll"})
    word: ClassVar[str] = "tags"
    other_word: ClassVar[str] = "other tags"
    checks: ClassVar[frozenset[str]] = frozenset({"broken_tags"})
    no_noise: ClassVar[str] = "it is found in labels of whole rows, and these are tags of words"
    in_classes: ClassVar[bool] = False

    @classmethod
    def reader(cls, reader: Reader, rule: LabelRule) -> Reader:
        """Returns what reads a file where types of entities may be written by a rule: spans are read after that."""
        return replace(reader, rule=rule) if rule is not None and isinstance(reader, TaggedReader) else reader

    @classmethod
    def read(cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str) -> Self:
        """Returns the tags of a source that was read; see `Truth.read`."""
        if not description["kinds"]:
            raise InputError(f"{name}: every tag is O; a tagger needs sentences with entities")
        labels, kinds = tuple(description["labels"]), tuple(description["kinds"])
        return cls(labels, arrays["codes"], arrays["answers"], kinds, arrays["broken"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The types of entities."""
        return self.kinds

    @property
    def outputs(self) -> tuple[str, ...]:
        """The BIO tags of the types of entities."""
        return tag_names(self.kinds)

    def class_counts(self, store: Store, exact: bool = True) -> dict[str, int]:
        """Returns how many sentences have each type of entity, or 1 for each; see `Truth.class_counts`."""
        if not exact:
            return dict.fromkeys(self.kinds, 1)
        counts = Counter(kind for tags in self.values(store, range(len(self.codes))) for kind in kinds_in(tags))
        return {kind: counts[kind] for kind in self.kinds}

    def with_class_names(self, names: Mapping[str, str]) -> Self:
        """Returns the same with other names for its types; those with one name become one."""
        changed = super().with_class_names(names)
        if changed is self:
            return self
        kinds = tuple(sorted({names.get(kind, kind) for kind in self.kinds}))
        return replace(changed, kinds=kinds, renamed={**self.renamed, **names})

    def known(self, data: Data, name: str, rows: np.ndarray) -> Self:
        """Returns the same: a plan names no types of entities."""
        return self

    def check_within(self, own: Self, own_name: str, place: str, name: str) -> None:
        """Raises InputError where this source has types of entities that the plan's own source does not have."""
        unknown = [kind for kind in self.kinds if kind not in own.kinds]
        if unknown:
            raise InputError(
                f"{place}: {name} has entities of a type that data.source does not have: "
                f"{unknown_name('type', unknown[0], own.kinds)}; take them out, or tag some in {own_name}"
            )

    def values(self, store: Store, indices: Iterable[int]) -> list[Any]:
        """Returns the BIO tags of the sentences at `indices`, a list of texts each."""
        on_disk = store.values(TAGS_FIELD, indices)
        if not self.renamed:
            return on_disk
        names = {f"{prefix}-{kind}": f"{prefix}-{name}" for kind, name in self.renamed.items() for prefix in "BI"}
        return [[names.get(tag, tag) for tag in tags] for tags in on_disk]

    def is_broken(self, rows: np.ndarray) -> np.ndarray:
        """Returns whether the tags of each of some sentences were repaired, bool [rows]."""
        return self.broken[rows]

    def useless(self, rows: np.ndarray, fewest: int) -> tuple[str, str] | None:
        """Returns that sentences have no entity, and what is needed; None where one has."""
        if any(self.labels[code] != OUTSIDE for code in np.unique(self.codes[rows])):
            return None
        return f"none of {len(rows):,} sentences to train on has an entity", "give more rows"
