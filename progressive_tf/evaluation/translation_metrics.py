"""Metrics of translations, as functions of sums over rows; BLEU and chrF are sacrebleu's with its defaults (Post 2018).

Both are of the whole corpus: n-grams are counted text by text, and the quotients are those of the sums. A mean of the
texts' own scores is another number. Signatures: `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp` and
`nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`. Both go from 0 to 100, `exact_match` from 0 to 1.

Smoothing, as `bootstrap` has it for classes: a pseudo-observation is a row as large as the expected texts are in the
mean. In a right one everything that is written matches; in a wrong one as much is written, and nothing matches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.translations import CHARACTER_ORDERS, WORD_ORDERS, Counts, Translations

Floats = npt.NDArray[np.float64]
REFERENCE_LENGTH = 1  # where `word_ngrams` has the words of the expected text
RECALL_WEIGHT = 2**2  # β²; recall counts β times as much as precision


def translation_measure(predictions: Translations, name: str) -> float | None:
    """Returns a metric's value, or None where it is undefined.

    It is without rows, and so is BLEU where no expected text has as many words in a row as it counts: it would be 0
    whatever is written, and nothing would tell two models apart.

    Args:
        predictions: of any number of rows.
        name: any metric of translations.
    """
    if len(predictions) == 0:
        return None
    if name == "bleu" and predictions.word_ngrams[:, REFERENCE_LENGTH].max() < WORD_ORDERS:
        return None
    _, formula = _METRICS[name]
    return float(formula(_counts(predictions, name).sum(axis=0).astype(np.float64)))


def text_features(predictions: Translations) -> Floats:
    """Returns what all metrics need of each row.

    float64 [rows, 30]: 1 and whether it is right, `Translations.word_ngrams`, `Translations.character_ngrams`.
    """
    return np.hstack([_counts(predictions, name) for name in _METRICS]).astype(np.float64)


def translation_metric(sums: Floats, name: str) -> Floats:
    """Computes a metric from sums of `text_features`.

    Args:
        sums: float64 [..., 30].
        name: any metric of translations.

    Returns:
        float64 [...].
    """
    columns, formula = _METRICS[name]
    return formula(sums[..., columns])


def pseudo_texts(predictions: Translations) -> tuple[Floats, Floats]:
    """Returns the features of a right and of a wrong pseudo-observation, float64 [30] each; they suit every metric.

    Their sizes are those of the expected texts, so that they are the same for all models.

    Args:
        predictions: at least one row.
    """
    words = predictions.word_ngrams[:, 1]
    of_words = np.maximum(words[:, np.newaxis] - np.arange(WORD_ORDERS), 0).mean(axis=0)
    of_characters = predictions.character_ngrams[:, 1::3].mean(axis=0)
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
        sums: float64 [..., 10], of `Translations.word_ngrams`.

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
        sums: float64 [..., 18], of `Translations.character_ngrams`.

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


def _counts(predictions: Translations, name: str) -> Counts:
    if name == "exact_match":
        return np.column_stack([np.ones(len(predictions), np.int64), predictions.right])
    return predictions.word_ngrams if name == "bleu" else predictions.character_ngrams


def _quotient(numerator: Floats, denominator: Floats, otherwise: float) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, otherwise), where=denominator > 0)


_WORDS = slice(2, 4 + 2 * WORD_ORDERS)
_CHARACTERS = slice(_WORDS.stop, _WORDS.stop + 3 * CHARACTER_ORDERS)
# The columns of `text_features` that a metric needs, in their order, and its formula.
_METRICS: dict[str, tuple[slice, Callable[[Floats], Floats]]] = {
    "exact_match": (slice(0, 2), share_right),
    "bleu": (_WORDS, corpus_bleu),
    "chrf": (_CHARACTERS, corpus_chrf),
}
