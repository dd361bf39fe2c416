"""Tagged sentences of a source, in BIO, and the one label each has where rows are counted, split and balanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from progressive_tf.data.tags import OUTSIDE


@dataclass(frozen=True)
class Sentences:
    """A few thousand sentences of one file, with valid BIO tags.

    Attributes:
        tokens: the words of each.
        tags: as many.
        broken: whether the tags of each were another sequence, which breaks its scheme, and have been repaired.
    """

    tokens: list[list[str]]
    tags: list[list[str]]
    broken: list[bool]


@dataclass(frozen=True, eq=False)
class TaggedRows:
    """What is known of each sentence of a source beside its label.

    Attributes:
        kinds: the types of entities in the source, sorted.
        words: int32 [rows], how many words each has.
        answers: uint64 [rows], equal for equal sequences of tags.
        broken: bool [rows], whether its tags were repaired.
        renamed: type of entity as it stands on disk → what it is called instead.
    """

    kinds: tuple[str, ...]
    words: np.ndarray
    answers: np.ndarray
    broken: np.ndarray
    renamed: Mapping[str, str] = field(default_factory=dict)


def kinds_in(tags: Iterable[str]) -> tuple[str, ...]:
    """Returns the types of entities that a sentence has, sorted, each once."""
    return tuple(sorted({tag[2:] for tag in tags if tag != OUTSIDE}))


def rarest_kinds(kinds: Sequence[tuple[str, ...]]) -> list[str]:
    """Returns one label for each sentence: its type of entity that fewest sentences have, "O" where it has none.

    Rows with a rare type are then spread evenly over the parts of a source, and kept in a balanced replay.

    Args:
        kinds: of each sentence.
    """
    sentences = Counter(kind for each in kinds for kind in each)
    return [min(each, key=lambda kind: (sentences[kind], kind)) if each else OUTSIDE for each in kinds]
