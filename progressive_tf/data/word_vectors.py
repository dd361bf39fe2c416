"""Texts as numbers where there is no network yet: which words they have, brought to a few directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

WIDTH = 100


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors divided by their lengths, float64 [rows, width]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def word_vectors(texts: Sequence[str], seed: int, **terms: Any) -> np.ndarray:
    """Returns latent semantic analysis of texts (Deerwester et al. 1990): TF–IDF, cut to its first 100 directions.

    Args:
        texts: any.
        seed: of the decomposition.
        terms: what a term is, as scikit-learn's TfidfVectorizer takes it; one counts that stands in two texts or more.

    Returns:
        float64 [texts, width], each of length 1, or 0 where a text has no such term.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        weights = TfidfVectorizer(sublinear_tf=True, min_df=2, **terms).fit_transform(texts)
    except ValueError:  # no term stands in two of them
        return np.zeros((len(texts), 1))
    width = min(WIDTH, *(size - 1 for size in weights.shape))
    if width < 2:
        return unit(weights.toarray())
    return unit(TruncatedSVD(width, random_state=seed % 2**32).fit_transform(weights))
