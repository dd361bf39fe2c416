"""What a server keeps, as values: requests with their answers, what a shadow said, and feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answered:
    """One instance and its answer.

    Args:
        id: what the caller was given for feedback.
        label: what was said, as JSON: a class, tags, or the fingerprint of a text, or of its tokens.
        probabilities: of the classes; of a text the one that it has; or None.
        input: the instance as JSON-like values, with what was written for it; None where it is not kept.
        was_cut: whether a part of its text was not read; None where that is not known.
        abstained: whether its version abstained from it; None where that always answers.
        is_unknown: whether it is like nothing the version has learnt; None where the version does not say.
    """

    id: str
    label: Any
    probabilities: Sequence[float] | None
    input: Mapping[str, Any] | None = None
    was_cut: bool | None = None
    abstained: bool | None = None
    is_unknown: bool | None = None


@dataclass(frozen=True)
class ServedRequest:
    """One prediction request.

    Args:
        time: when it was answered; seconds since 1970.
        version: what answered it.
        alias: under which alias, "" where the path named the version or the alias.
        step: of the canary at that time, see `registry.history.Rollout`; 0 without one.
        status: of HTTP.
        seconds: from the first byte to the reply.
        answers: one for each instance; none where the request was refused.
        caller: stands for who asked; the same number for the same key, and one below 0 for the same address without.
        stable: the version that was stable then; None where that is not known.
        failed: whether that is the version's fault; None for what the status says: 500 and above, and 429, are.
        computed: seconds that the network took, without waiting; None where it was not asked.
        size: of the batch that it took them for, see `batching.size_of`; None where that is not known.
        journal: the number of the journal by which was counted then, see `Store.follow`; None for the store's present.
    """

    time: float
    version: int
    alias: str
    step: int
    status: int
    seconds: float
    answers: Sequence[Answered] = ()
    caller: int = 0
    stable: int | None = None
    failed: bool | None = None
    computed: float | None = None
    size: int | None = None
    journal: int | None = None

    @property
    def is_failure(self) -> bool:
        """Whether its version failed."""
        return self.status >= 500 or self.status == 429 if self.failed is None else self.failed


@dataclass(frozen=True)
class Shadowed:
    """What the shadow says to an instance.

    Args:
        time: when; seconds since 1970.
        prediction: the id that the caller got.
        version: the shadow's.
        label: as in `Answered`.
        probabilities: as in `Answered`.
        difference: the largest between two probabilities of one class, in [0, 1]; None where the classes differ.
    """

    time: float
    prediction: str
    version: int
    label: Any
    probabilities: Sequence[float] | None
    difference: float | None


@dataclass(frozen=True)
class Feedback:
    """What a user says about a prediction: its right label, whether it was right, or how good it was.

    Args:
        prediction: its id.
        label: the right class, the right tags, or the fingerprint of the expected text.
        correct: whether the answer was right.
        rating: from 1, bad, to 5, good.
        comment: in the user's words.
        expected: the text itself; it is kept beside the input, where that is kept.
        is_unknown_label: whether no version knows the label; it judges nothing then, see `LabelLineage.is_right`.
    """

    prediction: str
    label: Any = None
    correct: bool | None = None
    rating: int | None = None
    comment: str | None = None
    expected: str | None = None
    is_unknown_label: bool = False
