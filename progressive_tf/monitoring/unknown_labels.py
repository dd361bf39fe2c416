"""Right labels of feedback that no version knows: perhaps a class that is missing, perhaps a mistake in writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from progressive_tf.errors import listed

MOST_SHOWN = 10
FEWEST_ROWS = 40  # that make a class
# Of what makes a class one caller counts for at most this part, so that it takes at least ten.
MOST_OF_ONE_CALLER = 0.1


@dataclass(frozen=True)
class UnknownLabel:
    """A word that users say is right, and no version of the model has.

    Args:
        label: as they write it.
        times: answers of which they say so.
        callers: who asked for these.
        counted: of these answers, where one caller counts for at most a part of what makes a class.
    """

    label: str
    times: int
    callers: int
    counted: int


def unknown_labels(answers: pd.DataFrame) -> list[UnknownLabel]:
    """Returns the unknown labels of answers, see `LiveRows`; the most frequent first."""
    said = zip(answers["unknown_words"], answers["caller"], strict=True)
    return counted_labels(((word, caller) for words, caller in said for word in words), FEWEST_ROWS)


def counted_labels(said: Iterable[tuple[str, object]], needed: int) -> list[UnknownLabel]:
    """Returns how often each label was said; the most frequent first.

    Args:
        said: labels with who asked for the answer that they are about.
        needed: answers that make a class, of which one caller counts for a tenth, and at least for one; > 0.
    """
    most = max(1, int(needed * MOST_OF_ONE_CALLER))
    callers: dict[str, Counter[object]] = {}
    for word, caller in said:
        callers.setdefault(word, Counter())[caller] += 1
    found = [
        UnknownLabel(word, of.total(), len(of), sum(min(most, times) for times in of.values()))
        for word, of in callers.items()
    ]
    return sorted(found, key=lambda one: (-one.times, one.label))


def in_words(found: Sequence[UnknownLabel]) -> str:
    """Returns in a line how often each was said, and by how many; "" where there is none."""
    if not found:
        return ""
    said = [f"{one.label} ({_times(one.times)} by {_callers(one.callers)})" for one in found]
    return f"labels that no version knows: {listed(said, MOST_SHOWN)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _callers(count: int) -> str:
    return "1 caller" if count == 1 else f"{count:,} callers"
