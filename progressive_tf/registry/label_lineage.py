"""What the versions of a model call their classes, so that a word of one is compared with that of another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.registry import history
from progressive_tf.registry.folder import is_asked_for, read_manifest
from progressive_tf.registry.versions import ModelVersions


@dataclass(frozen=True)
class Spoken:
    """The words of one version.

    Attributes:
        labels: its classes, in the order of its outputs; none where it has no classes, or does not say.
        parent: the version that it was trained on from; None without one.
        since: from the parent's labels to its own; None without a parent, or where neither follows from the other.
        was_told: whether its plan said what became of the parent's labels.
        old: words of its plan's labels file for its classes → what it calls them, whichever version spoke them.
        has_tasks: whether its labels are called `task/class`, of which an answer is the class alone.
    """

    labels: tuple[str, ...]
    parent: int | None = None
    since: LabelMap | None = None
    was_told: bool = False
    old: Mapping[str, str] = field(default_factory=dict)
    has_tasks: bool = False

    @cached_property
    def words(self) -> frozenset[str]:
        """What its answers may be, and its labels."""
        return frozenset(self.labels) | ({_class_of(label) for label in self.labels} if self.has_tasks else set())

    @cached_property
    def is_as_parent(self) -> bool:
        """Whether its labels are the parent's, and called as they were."""
        return self.since is not None and self.since.before == self.since.after and not self.since.changes

    def has(self, word: str) -> bool:
        """Whether an answer of it may be this word."""
        return word in self.words

    def meant(self, word: str) -> str | None:
        """Returns its own label that a word of it stands for, itself or one of its file; None for any other word."""
        return word if self.has(word) else self.old.get(word)


def _class_of(label: str) -> str:
    return label.partition("/")[2]


def spoken(manifests: Mapping[int, Mapping[str, Any]], with_tasks: Collection[int] = ()) -> dict[int, Spoken]:
    """Returns the words of versions, by number, from their manifests, and those of which callers have to name a task,
    which manifests do not say: a label with a slash may be the name of a class.
    """
    found: dict[int, Spoken] = {}
    for number, manifest in manifests.items():
        labels, parent = tuple(manifest.get("labels", ())), manifest.get("parent")
        older = tuple(manifests.get(parent, {}).get("labels", ())) if isinstance(parent, int) else ()
        before, since = manifest.get("labels_before"), None
        was_told = before is not None and before["version"] == parent
        if older and before is not None and was_told:
            since = LabelMap.of_json({old: before["labels"].get(old, (old,)) for old in older}, labels)
        elif older and older == labels[: len(older)]:
            since = LabelMap.unchanged(older, labels)
        old = _old_of_file(manifest.get("labels_file"), labels)
        started_from = parent if isinstance(parent, int) else None
        found[number] = Spoken(labels, started_from, since, was_told, old, number in with_tasks)
    return found


def _old_of_file(file: Mapping[str, Any] | None, labels: Sequence[str]) -> dict[str, str]:
    """Returns the words of a labels file, as a manifest has it, that are old ones of these labels → these."""
    step = {} if file is None else {change["old"]: change["new"] for change in file["changes"]}
    words = {}
    for old, new in step.items():
        while new in step and new not in labels:
            new = step[new]
        if new in labels and old not in labels:
            words[old] = new
    return words


Became = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelLineage:
    """The words of all versions of a model; what was worked out about two of them is kept.

    Attributes:
        of: each version → its words. A version that is not among them is taken to know every word, and to call each
            class as any other does.
    """

    of: Mapping[int, Spoken] = field(default_factory=dict)
    _sinces: dict[tuple[int, int], LabelMap | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _became: dict[tuple[int, int], Became | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _old_words: dict[int, Became] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, model: ModelVersions) -> LabelLineage:
        """Returns the words of a model's versions, as their manifests have them."""
        found = {
            one.version: read_manifest(model.files.version(one.version), str(one.manifest_sha256))
            for one in history.publications(model.entries())
            if one.version is not None
        }
        manifests = {number: manifest for number, manifest in found.items() if manifest is not None}
        by_task = (number for number, one in manifests.items() if all(map(_class_of, one.get("labels") or [""])))
        with_tasks = [number for number in by_task if is_asked_for(model.files.version(number), "task")]
        return cls(spoken(manifests, with_tasks))

    def line(self, number: int) -> Iterator[tuple[int, LabelMap]]:
        """Yields each ancestor of a version, the nearest first, with the map from its labels to the version's own;
        stops where the labels of one do not follow from those of the other.
        """
        at, found = self.of.get(number), None
        while at is not None and at.since is not None and at.parent is not None:
            if found is None:
                found = at.since
            elif not at.is_as_parent:
                found = at.since.then(found)
            yield at.parent, found
            at = self.of.get(at.parent)

    def before(self, number: int) -> tuple[int, LabelMap] | None:
        """Returns the nearest ancestor of whose labels a plan said what became of them, and the map from its labels to
        the version's; None without one.
        """
        child = number
        for ancestor, found in self.line(number):
            if self.of[child].was_told:
                return ancestor, found
            child = ancestor
        return None

    def called_before(self, number: int) -> dict[str, str | None]:
        """Returns a version's classes → what the version of `before` called each: a renamed one its old name, a part of
        a split one the whole; None for an added one, and for one that was several, of which it could be any. Nothing
        where no version called them otherwise.
        """
        found = self.before(number)
        if found is None:
            return {}
        olds: dict[str, list[str]] = {label: [] for label in self.of[number].labels}
        for old, news in found[1].of.items():
            for new in news:
                olds[new].append(old)
        return {label: of[0] if len(of) == 1 else None for label, of in olds.items()}

    def old_words(self, number: int) -> Became:
        """Returns what ancestors of a version called its classes, or read as them, and it does not → what it calls
        them: several where one was split, none where one was retired. Of a word that meant two things the newer meaning
        counts.
        """
        if number not in self._old_words:
            words: dict[str, tuple[str, ...]] = {}
            if number in self.of:
                words |= {old: (new,) for old, new in self.of[number].old.items()}
            for older, found in self.line(number):
                for old, news in found.of.items():
                    words.setdefault(old, news)
                for old, new in self.of[older].old.items():
                    words.setdefault(old, found.of[new])
            self._old_words[number] = {old: news for old, news in words.items() if not self.of[number].has(old)}
        return self._old_words[number]

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word that a version answers with, or reads as a class of its own."""
        return frozenset(word for one in self.of.values() for word in (*one.words, *one.old))

    def words_for(self, number: int) -> dict[str, str]:
        """Returns the words of all versions that mean one class of a version, and that it does not answer with → it."""
        own = self.of.get(number)
        if own is None or not own.labels:
            return {}
        meant = {word: self.meaning(number, word) for word in sorted(self.words) if not own.has(word)}
        return {word: news[0] for word, news in meant.items() if news is not None and len(news) == 1}

    def knows(self, word: str) -> bool:
        """Whether any version has, or had, a class of this name; without a version that says its classes any is."""
        return not self.words or word in self.words

    def meaning(self, number: int, word: str) -> tuple[str, ...] | None:
        """Returns the labels of a version, which says its classes, that a word of any version stands for; None where no
        version knows it.

        A word that the version has itself is meant as it means it; else as its nearest ancestor that has it did, and
        else as any version does whose labels have an ancestor in common with its own. None of its labels where the
        class is retired, added elsewhere, or of a version of another line.
        """
        meant = self.of[number].meant(word)
        if meant is not None:
            return (meant,)
        if not self.knows(word):
            return None
        for older, found in self.line(number):
            old = self.of[older].meant(word)
            if old is not None:
                return found.of.get(old, ())
        several: dict[str, None] = {}
        for other, words in self.of.items():
            said = words.meant(word)
            became = None if said is None else self.became(other, number)
            several |= dict.fromkeys(() if became is None or said is None else became.get(said, ()))
        return tuple(several)

    def is_right(self, number: int, said: Any, truth: Any) -> bool | None:
        """Returns whether a version's answer is right, given the right label in the words of any version.

        A word that the version has itself is meant as the version means it. An old word is right where the answer is
        what became of it, and a word of now where it is what became of the answer; so the whole of a class that was
        split is right for each part, and a part for the whole: which part it is, nobody said. A class that the version
        does not have, and any other does, makes its answer wrong, since that is what its caller got. None where no
        version knows the word: it may be a new class, or a mistake in writing.

        Args:
            number: of the version.
            said: its answer, JSON-like: a word, or a list with one for each word of a sentence.
            truth: likewise.
        """
        own = self.of.get(number)
        if said == truth or own is None or not own.labels:
            return bool(said == truth)
        if isinstance(said, list) and isinstance(truth, list) and len(said) == len(truth):
            each = [self.is_right(number, *pair) for pair in zip(said, truth, strict=True)]
            return False if False in each else None if None in each else True
        if not (isinstance(said, str) and isinstance(truth, str)):
            return False
        meant = self.meaning(number, truth)
        return None if meant is None else said in meant

    def agree(self, one: tuple[int, Any], other: tuple[int, Any]) -> bool:
        """Whether two versions say the same of an input: each a number and an answer, JSON-like. The whole of a class
        that was split says the same as each of its parts.
        """
        (number, said), (beside, says) = one, other
        if isinstance(said, list) and isinstance(says, list) and len(said) == len(says):
            return all(self.agree((number, its), (beside, theirs)) for its, theirs in zip(said, says, strict=True))
        if said == says or not (isinstance(said, str) and isinstance(says, str)):
            return bool(said == says)
        became = self.became(number, beside)
        return became is not None and says in became.get(said, ())

    def in_words_of(self, version: int, number: int, said: Any) -> Any:
        """Returns an answer of a version in the words of another; as it was said where their labels have no ancestor in
        common, and where it is several classes there, or none.

        Args:
            version: whose words they are.
            number: that answered.
            said: the answer, JSON-like: a word, or a list with one for each word of a sentence.
        """
        if number == version:
            return said
        if isinstance(said, list):
            return [self.in_words_of(version, number, word) for word in said]
        became = self.became(number, version) if isinstance(said, str) else None
        news = () if became is None else became.get(said, ())
        return news[0] if len(news) == 1 else said

    def since(self, older: int, newer: int) -> LabelMap | None:
        """Returns the map from an ancestor's labels to a version's; None where it is no ancestor."""
        both = older, newer
        if both not in self._sinces:
            self._sinces[both] = next((found for number, found in self.line(newer) if number == older), None)
        return self._sinces[both]

    def became(self, number: int, other: int) -> Became | None:
        """Returns each label of a version → what another calls it, through the nearest ancestor of both; None where the
        labels have none.

        From a version to its ancestor changes are read backwards: a renamed class has its old name, a part of a split
        one is the whole, and one that was several is any of these. Of a class that both have split, parts that they
        have in common are themselves.
        """
        both = number, other
        if both not in self._became:
            self._became[both] = self._find_became(number, other)
        return self._became[both]

    def _find_became(self, number: int, other: int) -> Became | None:
        if number not in self.of or other not in self.of:
            return None
        theirs = {other, *(older for older, _ in self.line(other))}
        common = next((one for one in (number, *(older for older, _ in self.line(number))) if one in theirs), None)
        if common is None:
            return None
        unchanged = LabelMap.unchanged(self.of[common].labels, self.of[common].labels)
        here, there = (self.since(common, one) or unchanged for one in (number, other))
        found: dict[str, list[str]] = {label: [] for label in self.of[number].labels}
        for old, ours in here.of.items():
            in_both = set(ours) & set(there.of[old]) if len(ours) > 1 and len(there.of[old]) > 1 else set()
            for label in ours:
                found[label] += [label] if label in in_both else [new for new in there.of[old] if new not in in_both]
        return {label: tuple(dict.fromkeys(news)) for label, news in found.items()}

    def strange(self, truth: Any) -> tuple[str, ...]:
        """Returns the words of a right label that no version knows; none of what is no word."""
        words = truth if isinstance(truth, list) else [truth]
        return tuple(dict.fromkeys(word for word in words if isinstance(word, str) and not self.knows(word)))


EVERY_WORD = LabelLineage()
