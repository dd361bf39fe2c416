"""What became of the labels of an earlier version: one was renamed, several are one, one is several, one is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from progressive_tf.errors import listed

Floats = npt.NDArray[np.float64]


def not_told_apart(maps: Sequence[LabelMap]) -> dict[str, str]:
    """Returns the labels now that some of several lists of before do not tell apart → what they are together.

    Args:
        maps: from each list to the same labels of now.
    """
    of: dict[str, tuple[str, ...]] = {}
    for one in maps:
        for old, news in one.of.items():
            of[old] = tuple(dict.fromkeys((*of.get(old, ()), *news)))
    return LabelMap(tuple(of), maps[0].after, of).wholes if maps else {}


@dataclass(frozen=True)
class LabelMap:
    """From the labels of an earlier version to those that there are now.

    Attributes:
        before: the version's labels, in the order of its outputs.
        after: the labels now, those first that come from one of `before`.
        of: each of `before` → what it is called now; several where it was split, none where it was retired.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    of: Mapping[str, tuple[str, ...]]

    @classmethod
    def unchanged(cls, before: Sequence[str], after: Sequence[str]) -> LabelMap:
        """Returns the map of labels that are called as they were; `after` has further ones behind them."""
        return cls(tuple(before), tuple(after), {label: (label,) for label in before})

    @classmethod
    def of_json(cls, labels: Mapping[str, Sequence[str]], after: Sequence[str]) -> LabelMap:
        """Returns the map that a manifest's `labels_before` has, `labels`, to the version's own labels, `after`."""
        return cls(tuple(labels), tuple(after), {old: tuple(news) for old, news in labels.items()})

    def then(self, later: LabelMap) -> LabelMap:
        """Returns the map from the labels before this one to those after a later one, which begins with `after`."""
        of = {
            old: tuple(dict.fromkeys(label for middle in news for label in later.of[middle]))
            for old, news in self.of.items()
        }
        return LabelMap(self.before, later.after, of)

    def of_first(self, count: int) -> LabelMap:
        """Returns the map of the first `count` labels before alone."""
        before = self.before[:count]
        return LabelMap(before, self.after, {label: self.of[label] for label in before})

    def of_known(self) -> LabelMap:
        """Returns the map to the labels now that come from some label before."""
        return LabelMap(self.before, self.after[: self.known], self.of)

    @property
    def changes(self) -> bool:
        """Whether any label is called otherwise, or gone."""
        return any(news != (old,) for old, news in self.of.items())

    @property
    def known(self) -> int:
        """How many of the labels now, from the first, come from some label of the version."""
        return len({label for news in self.of.values() for label in news})

    @property
    def tells_all(self) -> bool:
        """Whether the version gives each of the labels now a probability of its own."""
        return self.known == len(self.after) and not self.wholes

    @cached_property
    def shares(self) -> Floats:
        """float64 [before, known]: which part of an old class' probability each class has now."""
        place = {label: index for index, label in enumerate(self.after)}
        shares = np.zeros((len(self.before), self.known))
        for index, old in enumerate(self.before):
            for new in self.of[old]:
                shares[index, place[new]] = 1 / len(self.of[old])
        return shares

    def probabilities(self, old: Floats) -> Floats:
        """Returns the probabilities of the classes now, float64 [rows, known].

        Those of merged classes are added up, that of a split one is divided evenly; what a retired class had goes to
        the others in proportion, as if the version had not had it.

        Args:
            old: probabilities that the version gave, float64 [rows, before].
        """
        new = old @ self.shares
        if all(self.of.values()):
            return new
        left = new.sum(axis=1, keepdims=True)
        return np.divide(new, left, out=np.full(new.shape, 1 / new.shape[1]), where=left > 0)

    def answers(self, old: npt.NDArray[np.int32], probabilities: Floats) -> npt.NDArray[np.int32]:
        """Returns the answers in the words of now, int32 [rows]: the first part of a split class, see `wholes`.

        Args:
            old: the version's answers, indices into `before`.
            probabilities: as `probabilities` gives them; their highest replaces the answer of a retired class.
        """
        place = {label: index for index, label in enumerate(self.after)}
        names = [self.of[label] for label in self.before]
        new = np.array([min(map(place.__getitem__, of)) if of else -1 for of in names], np.int32)[old]
        return np.where(new < 0, probabilities.argmax(axis=1), new).astype(np.int32)

    @property
    def _groups(self) -> list[tuple[set[str], list[str]]]:
        """What both tell apart, a retired class among them: the labels now, none or several, and those before."""
        groups: list[tuple[set[str], list[str]]] = []
        for old, news in self.of.items():
            joined, olds = set(news), [old]
            for group in [group for group in groups if group[0] & joined]:
                groups.remove(group)
                joined, olds = joined | group[0], [*group[1], *olds]
            groups.append((joined, olds))
        return groups

    @property
    def told_apart(self) -> list[tuple[list[int], list[int]]]:
        """What the version and the labels now both tell apart: where it stands before, and where now; in its order."""
        return [
            (sorted(map(self.before.index, olds)), sorted(map(self.after.index, joined)))
            for joined, olds in self._groups
            if joined
        ]

    @property
    def wholes(self) -> dict[str, str]:
        """Labels now that the version does not tell apart → what they are together, as the version called it.

        Where that is what another class is called by now, `, before` stands behind it.
        """
        together = [(joined, " or ".join(olds)) for joined, olds in self._groups if len(joined) > 1]
        others = [set(self.after) - joined for joined, _ in together]
        names = [
            f"{name}, before" if name in other else name for (_, name), other in zip(together, others, strict=True)
        ]
        return {
            label: name
            for label in self.after
            for (joined, _), name in zip(together, names, strict=True)
            if label in joined
        }

    @property
    def words(self) -> dict[str, str]:
        """Old labels that are one class now, whatever else it has → what it is called, where that is another name."""
        return {old: news[0] for old, news in self.of.items() if len(news) == 1 and news[0] != old}

    def in_words(self) -> str:
        """Returns the changes in one line."""
        parts = [f"{old} → {listed(news, 5)}" for old, news in self.of.items() if news and news != (old,)]
        parts += [f"{old} is retired" for old, news in self.of.items() if not news]
        new = self.after[self.known :]
        parts += [f"{listed(new, 5)} {'is' if len(new) == 1 else 'are'} new"] if new else []
        return "; ".join(parts)

    def compared_in_words(self) -> str:
        """Returns in one line how answers of the version are compared with those of a candidate."""
        wholes: dict[str, list[str]] = {}
        for part, whole in self.wholes.items():
            wholes.setdefault(whole, []).append(part)
        parts = [f"{old} counts as {new}" for old, new in self.words.items()]
        parts += [f"{listed(of, 5)} count as {whole} on both sides" for whole, of in wholes.items()]
        parts += [f"{old} is retired, and the next best answer counts" for old, news in self.of.items() if not news]
        new = self.after[self.known :]
        parts += [f"rows of {listed(new, 5)}, which it does not know, count as wrong"] if new else []
        return "; ".join(parts)
