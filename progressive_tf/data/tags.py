"""Tags of words that mark spans: BIO (IOB2) and BIOES.

`B-x` begins a span of kind x, `I-x` continues it, `O` stands outside of all spans (Ramshaw & Marcus 1995; that every
span begins with B is IOB2, Tjong Kim Sang & Veenstra 1999). BIOES also marks the last word, `E-x`, and a span of one
word, `S-x`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

OUTSIDE = "O"

Scheme = Literal["BIO", "BIOES"]
_PREFIXES: dict[Scheme, tuple[str, ...]] = {"BIO": ("B", "I"), "BIOES": ("B", "I", "E", "S")}


def tag_names(kinds: Iterable[str]) -> tuple[str, ...]:
    """Returns the BIO tags of these kinds of spans: ("O", "B-a", "I-a", "B-b", …), kinds sorted."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(set(kinds)) for prefix in _PREFIXES["BIO"]))


def kinds_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Returns the kinds of spans that `tag_names` made tags for."""
    return tuple(tag[2:] for tag in tags if tag.startswith("B-"))


def as_tag(written: str) -> str:
    """Returns a tag with a capital prefix and no spaces before it, where it has become one by that; else as it is."""
    text = written.lstrip()
    if text.strip().upper() == OUTSIDE:
        return OUTSIDE
    changed = text[:1].upper() + text[1:]
    return changed if is_tag(changed) else written


def is_tag(tag: str) -> bool:
    """Returns whether something is a tag of BIO or BIOES, in whatever place."""
    return _parts(tag) is not None


def scheme_of(tags: Iterable[str]) -> Scheme:
    """Returns the scheme of a file's tags: BIOES if one of them begins with E- or S-, else BIO."""
    return "BIOES" if any(tag.startswith(("E-", "S-")) for tag in tags) else "BIO"


def find_breaks(tags: Sequence[str], scheme: Scheme = "BIO") -> list[int]:
    """Returns the positions of words whose tag is not valid where it stands; empty if all are.

    I-x has to follow B-x or I-x. In BIOES so has E-x, and after B-x or I-x has to come I-x or E-x.

    Args:
        tags: one for each word of a sentence.
        scheme: what the tags are meant to be.
    """
    neighbours = zip([None, *tags], tags, [*tags[1:], None], strict=False)
    return [
        position
        for position, (before, tag, after) in enumerate(neighbours)
        if not _is_valid(before, tag, after, scheme)
    ]


def to_bio(tags: Sequence[str]) -> list[str]:
    """Returns one sentence's tags, BIO or BIOES, as valid BIO.

    Valid BIO stays as it is. An I-x or E-x that continues no span of its kind begins one, as the CoNLL shared tasks'
    `conlleval` reads it.

    Raises:
        ValueError: something is no tag of either scheme.
    """
    converted: list[str] = []
    before = (OUTSIDE, "")
    for position, tag in enumerate(tags):
        parts = _parts(tag)
        if parts is None:
            raise ValueError(f"tags[{position}]: {tag!r} is no tag; expected O, or B-, I-, E- or S- and a kind of span")
        prefix, kind = parts
        if prefix == OUTSIDE:
            converted.append(OUTSIDE)
        else:
            continues = prefix in ("I", "E") and before in (("B", kind), ("I", kind))
            converted.append(f"{'I' if continues else 'B'}-{kind}")
        before = parts
    return converted


def _parts(tag: str) -> tuple[str, str] | None:
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, _, kind = tag.partition("-")
    return (prefix, kind) if prefix in _PREFIXES["BIOES"] and kind else None


def _is_valid(before: str | None, tag: str, after: str | None, scheme: Scheme) -> bool:
    prefix, kind = _parts(tag) or ("", "")
    if prefix not in (OUTSIDE, *_PREFIXES[scheme]):
        return False
    if prefix in ("I", "E") and before not in (f"B-{kind}", f"I-{kind}"):
        return False
    return scheme == "BIO" or prefix not in ("B", "I") or after in (f"I-{kind}", f"E-{kind}")


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


def kinds_in(tags: Iterable[str]) -> tuple[str, ...]:
    """Returns the types of entities that a sentence has, sorted, each once."""
    return tuple(sorted({tag[2:] for tag in tags if tag != OUTSIDE}))


def rarest_kinds(kinds: Sequence[tuple[str, ...]]) -> list[str]:
    """Returns one label for each sentence: its type of entity that fewest sentences have, "O" where it has none.

    Rows with a rare type are then spread evenly over the parts of a source, and kept in a balanced replay.

    Args:
        kinds: of each sentence.
    """
    sentences = Counter(kind for sentence_kinds in kinds for kind in sentence_kinds)
    return [
        min(sentence_kinds, key=lambda kind: (sentences[kind], kind)) if sentence_kinds else OUTSIDE
        for sentence_kinds in kinds
    ]
