"""What a model wrote for the texts of a slice, beside what is expected, and metrics of both.

BLEU and chrF are sacrebleu's with its defaults (Post 2018) and of the whole corpus: n-grams are counted text by text,
and the quotients are those of the sums. A mean of the texts' own scores is another number. Signatures:
`nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp` and `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`. Both go from 0 to
100, `exact_match` from 0 to 1.

Smoothing, as `bootstrap` has it: a pseudo-observation is a row as large as the expected texts are in the mean. In a
right one everything that is written matches; in a wrong one as much is written, and nothing matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.answers.base import Answers, Floats, Summed, chosen_groups, groups_of, indices
from progressive_tf.plan.metric_names import TEXTS

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

Texts = npt.NDArray[np.object_]
Counts = npt.NDArray[np.int64]

WORD_ORDERS = 4
CHARACTER_ORDERS = 6
REFERENCE_LENGTH = 1  # where `word_ngrams` has the words of the expected text
RECALL_WEIGHT = 2**2  # β²; recall counts β times as much as precision
# A mean of float32 logarithms may end up a little above 0.
CONFIDENCE_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class TextAnswers(Answers):
    """A model's texts on a slice, checked when they are made.

    Attributes:
        truth: object [rows] of str, the expected texts.
        predicted: object [rows] of str, what the model wrote.
        confidence: float32 [rows], in [0, 1]: the geometric mean of the probabilities of the tokens it wrote.
        groups: int64 [rows], equal for rows that are alike; None where each is its own.

    Raises:
        ValueError: numbers of rows that differ, a text that is none, or a confidence that is no probability.
    """

    kind = TEXTS
    labels = ()

    truth: Texts
    predicted: Texts
    confidence: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rows = len(self.truth)
        for name in ("predicted", "confidence"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name}: {rows} rows expected; got {len(getattr(self, name))}")
        for name in ("truth", "predicted"):
            texts = np.asarray(getattr(self, name), dtype=object)
            for row, text in enumerate(texts):
                if not isinstance(text, str):
                    raise ValueError(f"{name}[{row}]: a text expected; got {text!r}")
            object.__setattr__(self, name, texts)
        confidence = np.asarray(self.confidence, dtype=np.float32)
        # A NaN compares as False, so that it is caught with the others.
        fine = (confidence >= 0) & (confidence <= 1 + CONFIDENCE_TOLERANCE)
        if not fine.all():
            row = int(fine.argmin())
            raise ValueError(f"confidence[{row}]: a number from 0 to 1 expected; got {confidence[row]}")
        object.__setattr__(self, "confidence", confidence)

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the text is the expected one, character by character."""
        return self.predicted == self.truth

    @property
    def in_words(self) -> str:
        """How many rows, and of what."""
        return f"{len(self)} rows of texts"

    @cached_property
    def word_ngrams(self) -> Counts:
        """int64 [rows, 10]: words written, words expected, matches of orders 1 … 4, n-grams written of orders 1 … 4.

        Words are what sacrebleu's tokenizer 13a makes of the texts.
        """
        from sacrebleu.metrics.bleu import BLEU  # where it is needed: a plan loads without it

        return self._counted(BLEU(force=True), 2 + 2 * WORD_ORDERS)  # force: no advice about tokenized texts

    @cached_property
    def character_ngrams(self) -> Counts:
        """int64 [rows, 18]: n-grams written, expected and matching, for each order from 1 to 6; spaces do not count.

        Those written are 0 where the expected text is shorter than the order, as sacrebleu has it.
        """
        from sacrebleu.metrics.chrf import CHRF

        return self._counted(CHRF(), 3 * CHARACTER_ORDERS)

    def _counted(self, metric: Metric, width: int) -> Counts:
        rows = metric._extract_corpus_statistics(self.predicted.tolist(), [self.truth.tolist()])
        return np.array(rows, np.int64).reshape(len(self), width)

    def take(self, rows: npt.ArrayLike) -> TextAnswers:
        """Returns the answers on some rows: indices or a boolean mask, in that order."""
        chosen = indices(rows)
        groups = chosen_groups(self.groups, chosen)
        return TextAnswers(self.truth[chosen], self.predicted[chosen], self.confidence[chosen], groups)

    def join(self, others: Sequence[TextAnswers]) -> TextAnswers:
        """Returns these rows and, after them, those of others."""
        parts = [self, *others]
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS]
        return TextAnswers(*columns).in_groups(groups_of(parts))

    def summed(self, names: Sequence[str]) -> list[Summed]:
        """Returns counts of n-grams; pseudo-observations are texts."""
        right_one, wrong_one = pseudo_texts(self)

        def metric(sums: Floats, right: Floats, wrong: Floats, name: str) -> Floats:
            added = right[:, np.newaxis] * right_one + wrong[:, np.newaxis] * wrong_one
            return text_metric(sums + added, name)

        # The stream is the one of sentences: recorded intervals were drawn with it.
        return [Summed("sentences", tuple(names), text_features(self), lambda keys: keys, metric)]

    def _value(self, name: str) -> float:
        """BLEU is undefined where no expected text has as many words in a row as it counts: it would be 0 whatever is
        written, and nothing would tell two models apart.
        """
        if name == "bleu" and self.word_ngrams[:, REFERENCE_LENGTH].max() < WORD_ORDERS:
            return np.nan
        _, formula = _FORMULAS[name]
        return float(formula(_counts(self, name).sum(axis=0).astype(np.float64)))


_COLUMNS = ("truth", "predicted", "confidence")


def text_features(answers: TextAnswers) -> Floats:
    """Returns what all metrics need of each row.

    float64 [rows, 30]: 1 and whether it is right, `TextAnswers.word_ngrams`, `TextAnswers.character_ngrams`.
    """
    return np.hstack([_counts(answers, name) for name in _FORMULAS]).astype(np.float64)


def text_metric(sums: Floats, name: str) -> Floats:
    """Computes a metric from sums of `text_features`.

    Args:
        sums: float64 [..., 30].
        name: any metric of translations.

    Returns:
        float64 [...].
    """
    columns, formula = _FORMULAS[name]
    return formula(sums[..., columns])


def pseudo_texts(answers: TextAnswers) -> tuple[Floats, Floats]:
    """Returns the features of a right and of a wrong pseudo-observation, float64 [30] each; they suit every metric.

    Their sizes are those of the expected texts, so that they are the same for all models.

    Args:
        answers: at least one row.
    """
    words = answers.word_ngrams[:, 1]
    of_words = np.maximum(words[:, np.newaxis] - np.arange(WORD_ORDERS), 0).mean(axis=0)
    of_characters = answers.character_ngrams[:, 1::3].mean(axis=0)
    right = np.concatenate([[1, 1], [words.mean()] * 2, of_words, of_words, np.repeat(of_characters, 3)])
    wrong = right.copy()
    wrong[1] = 0
    wrong[_WORDS][2 : 2 + WORD_ORDERS] = 0
    wrong[_CHARACTERS][2::3] = 0
    return right, wrong


def corpus_bleu(sums: Floats) -> Floats:
    """Returns BLEU (Papineni et al. 2002) with the smoothing of NIST's mteval (Chen & Cherry 2014, method 3).

    With c words written and r expected, and p_n the share of the n-grams written that match:
    100 · min(1, e^(1 − r/c)) · (p_1 p_2 p_3 p_4)^(1/4). An order without a match counts as if it had ½, the next such
    one as if it had ¼, and so on. Without any match, or if no text has an n-gram of some order, it is 0.

    Args:
        sums: float64 [..., 10], of `TextAnswers.word_ngrams`.

    Returns:
        float64 [...], in [0, 100].
    """
    written, expected = sums[..., 0], sums[..., 1]
    matches, ngrams = sums[..., 2 : 2 + WORD_ORDERS], sums[..., 2 + WORD_ORDERS :]
    missed = matches == 0
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), matches)
    mean = np.log(_quotient(smoothed, ngrams, otherwise=1.0)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - _quotient(expected, written, otherwise=0.0))
    defined = ~missed.all(axis=-1) & (ngrams > 0).all(axis=-1)
    return np.where(defined, 100 * np.exp(brevity + mean), 0.0)


def corpus_chrf(sums: Floats) -> Floats:
    """Returns chrF2 (Popović 2015; β = 2 and no words: Popović 2016), an F-score of character n-grams.

    With P the mean over orders 1 … 6 of the share of n-grams written that match, and R that of n-grams expected:
    100 · (1 + β²) P R / (β² P + R). Orders that nothing written or nothing expected has are left out.

    Args:
        sums: float64 [..., 18], of `TextAnswers.character_ngrams`.

    Returns:
        float64 [...], in [0, 100].
    """
    orders = sums.reshape(*sums.shape[:-1], CHARACTER_ORDERS, 3)
    written, expected, matches = orders[..., 0], orders[..., 1], orders[..., 2]
    both = (written > 0) & (expected > 0)
    count = np.maximum(both.sum(axis=-1), 1)
    precision = np.where(both, _quotient(matches, written, otherwise=0.0), 0.0).sum(axis=-1) / count
    recall = np.where(both, _quotient(matches, expected, otherwise=0.0), 0.0).sum(axis=-1) / count
    weighted = (1 + RECALL_WEIGHT) * precision * recall
    return 100 * _quotient(weighted, RECALL_WEIGHT * precision + recall, otherwise=0.0)


def share_right(sums: Floats) -> Floats:
    """Returns the share of rows whose text is the expected one.

    Args:
        sums: float64 [..., 2], rows and how many of them are right.
    """
    return sums[..., 1] / sums[..., 0]


def _counts(answers: TextAnswers, name: str) -> Counts:
    if name == "exact_match":
        return np.column_stack([np.ones(len(answers), np.int64), answers.right])
    return answers.word_ngrams if name == "bleu" else answers.character_ngrams


def _quotient(numerator: Floats, denominator: Floats, otherwise: float) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, otherwise), where=denominator > 0)


_WORDS = slice(2, 4 + 2 * WORD_ORDERS)
_CHARACTERS = slice(_WORDS.stop, _WORDS.stop + 3 * CHARACTER_ORDERS)
# The columns of `text_features` that a metric needs, in their order, and its formula.
_FORMULAS: dict[str, tuple[slice, Callable[[Floats], Floats]]] = {
    "exact_match": (slice(0, 2), share_right),
    "bleu": (_WORDS, corpus_bleu),
    "chrf": (_CHARACTERS, corpus_chrf),
}
