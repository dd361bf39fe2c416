"""How far people agree who labelled the same inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """How far people agree.

    Attributes:
        questions: that two or more people answered.
        same: of these, those to which all gave the same label.
        alpha: Krippendorff's, 1 where all agree and 0 where they do so as often as by chance; None where there is only
            one label.
        kappa: Cohen's, where all of them were answered by the same two people; else None.
    """

    questions: int
    same: int
    alpha: float | None
    kappa: float | None

    @property
    def words(self) -> str:
        """What a person is told."""
        measures = [
            f"{name} {value:.2f}"
            for name, value in (("Krippendorff's alpha", self.alpha), ("Cohen's kappa", self.kappa))
            if value is not None
        ]
        return (
            f"{self.questions} question{'s were' if self.questions > 1 else ' was'} answered by two people or more, "
            f"{self.same} of them alike{''.join(f'; {measure}' for measure in measures)}"
        )


def agreement(labels: Sequence[Mapping[str, str]]) -> Agreement | None:
    """Returns how far people agree; None where no question was answered by two.

    Args:
        labels: of each question, person → label.
    """
    shared = [of_question for of_question in labels if len(of_question) > 1]
    if not shared:
        return None
    same = sum(len(set(of_question.values())) == 1 for of_question in shared)
    people = {frozenset(of_question) for of_question in shared}
    pair = sorted(next(iter(people))) if len(people) == 1 and len(next(iter(people))) == 2 else None
    values = [list(of_question.values()) for of_question in shared]
    several = len({label for of_question in values for label in of_question}) > 1
    kappa = _kappa([[one[who] for one in shared] for who in pair]) if pair and several else None
    return Agreement(len(shared), same, alpha(values) if several else None, kappa)


def alpha(values: Sequence[Sequence[str]]) -> float:
    """Returns Krippendorff's alpha of labels without an order, at most 1.

    It is 1 − (n − 1) Σ_{c≠k} o_ck / Σ_{c≠k} n_c n_k, where o_ck counts pairs of labels within a question, each weighed
    by 1 / (m − 1) of its m labels, and n_c how often a label was given among n. Source: Krippendorff 2011, "Computing
    Krippendorff's alpha-reliability", C.

    Args:
        values: of each question its labels, at least two of each; at least two different ones in all.
    """
    apart, given = 0.0, Counter[str]()
    for labels in values:
        counts, m = Counter(labels), len(labels)
        given += counts
        apart += sum(count * (m - count) for count in counts.values()) / (m - 1)
    n = given.total()
    expected = sum(count * (n - count) for count in given.values())
    return 1 - (n - 1) * apart / expected


def _kappa(labels: Sequence[Sequence[str]]) -> float:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*labels))
