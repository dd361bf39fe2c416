"""How a label is written: which spellings a person reads as one, and what their class is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from progressive_tf.plan.label_rules import CASEFOLD, STRIP, LabelRule

# Format characters that join letters and emoji; every other one is invisible and says nothing.
_JOINERS = "\u200c\u200d"
_LONGEST = 60
_LETTER = r"[^\W\d_]"
_BETWEEN_LETTERS = re.compile(rf"(?<={_LETTER})[\s_-]+(?={_LETTER})")
_BETWEEN_OTHERS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
_BESIDE_MARKS = re.compile(r"\s*([/&+,;:|()\[\]{}])\s*")
_NUMBER = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")
_MARKS = {ord(mark): "'" for mark in "\u2018\u2019\u201a\u201b\u2032\u00b4`"}
_MARKS |= {ord(mark): '"' for mark in "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"}
_MINUS = "\u2212"


def tidy(label: str) -> str:
    """Returns a label without spaces around it, with single spaces inside, and without what cannot be seen."""
    shown = []
    for character in unicodedata.normalize("NFC", label):
        category = unicodedata.category(character)
        if category[0] == "Z" or category == "Cc":
            shown.append(" ")
        elif category != "Cf" or character in _JOINERS:
            shown.append(character)
    return " ".join("".join(shown).split())


def stripped(label: str) -> str:
    """Returns what is equal for labels that differ in spaces and invisible characters only."""
    return tidy(label.translate(dict.fromkeys(map(ord, _JOINERS))))


def folded(label: str) -> str:
    """Returns what is equal for labels that a person reads as one.

    Beside spaces, these do not count: case, full-width and other compatibility forms (NFKC), the kind of dash and of
    quotation mark, whether words are joined by spaces, hyphens, underscores or nothing, spaces beside a slash and the
    like, marks around a label and full stops and commas behind it, and how a whole number is written: 1, 01 and 1.0. A
    minus sign before a number counts.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", stripped(label)).casefold()).translate(_MARKS)
    text = "".join(
        "-" if unicodedata.category(character) == "Pd" or character == _MINUS else character for character in text
    )
    text = text.strip("\"' ").rstrip(".,;: ").strip("\"' ") or text
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return ("-" if number[1] == "-" and number[2] != "0" else "") + number[2]
    return _BESIDE_MARKS.sub(r"\1", _BETWEEN_OTHERS.sub(" ", _BETWEEN_LETTERS.sub("", text)))


_KEYS: dict[str, Callable[[str], str]] = {STRIP: stripped, CASEFOLD: folded}


@dataclass(frozen=True)
class Spelling:
    """What labels of a plan are called, however they are written.

    Attributes:
        rule: `data.normalize_labels`.
        names: of the classes.
        words: what classes were called before → what they are called now; see `LabelsFile`.
    """

    rule: LabelRule = None
    names: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _by_key(self) -> dict[str, str]:
        return {_key(self.rule)(name): name for name in (*self.words, *self.names)}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    def of(self, label: str) -> str:
        """Returns the class that a label is; the label itself where it is none."""
        if self.rule is None or label in self._names:
            return self.words.get(label, label)
        meant = label if isinstance(self.rule, str) else _mapped(label, self.rule)
        found = self._by_key.get(_key(self.rule)(meant), label)
        new = self.words.get(found, found)
        return self._by_key.get(_key(self.rule)(new), new)


def class_names(rule: LabelRule, counted: Sequence[Mapping[str, int]], given: Iterable[str] = ()) -> dict[str, str]:
    """Returns the name of the class that each label belongs to.

    A class is called as the plan calls it; else by its most frequent spelling, spaces aside, in the first source that
    has it, so that a stage which is added later renames nothing. Of spellings that are as frequent, the one that sorts
    first wins.

    Args:
        rule: `data.normalize_labels`.
        counted: label → rows, of each source in the plan's order.
        given: names that the plan gives.
    """
    labels = dict.fromkeys(label for counts in counted for label in counts)
    if rule is None:
        return {label: label for label in labels}
    if not isinstance(rule, str):
        return {label: _mapped(label, rule) for label in labels}
    key = _key(rule)
    names = {key(name): name for name in reversed(tuple(given))}
    for counts in counted:
        here: dict[str, dict[str, int]] = {}
        for label, rows in counts.items():
            if rows:
                spelt = here.setdefault(key(label), {})
                spelt[tidy(label)] = spelt.get(tidy(label), 0) + rows
        for class_key, spelt in here.items():
            names.setdefault(class_key, min(spelt, key=lambda name: (-spelt[name], name)))
    return {label: names.get(key(label), tidy(label)) for label in labels}


def _key(rule: LabelRule) -> Callable[[str], str]:
    return _KEYS[rule] if isinstance(rule, str) else stripped


def _mapped(label: str, rule: Mapping[str, str]) -> str:
    if label in rule:
        return rule[label]
    plain = stripped(label)
    return next((to for written, to in rule.items() if stripped(written) == plain), tidy(label))


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Returns the groups of labels that a person reads as one, in the order in which they are given."""
    groups: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        groups.setdefault(folded(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def written(labels: Sequence[str]) -> list[str]:
    """Returns labels in quotes, so that a person sees how they differ; too long ones are cut."""
    shown = [repr(label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…") for label in labels]
    same = len({unicodedata.normalize("NFC", text) for text in shown}) < len(shown)
    return [ascii(label) for label in labels] if same else shown
