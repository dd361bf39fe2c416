"""Which inputs to ask about: some by chance, the others where a version is unsure, each unlike the others asked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from progressive_tf.errors import InputError

RANDOM, UNCERTAIN = "random", "uncertain"
"""Why a question is asked."""
# For each question so many of the least certain inputs are looked at; decision 0021 says how the number was chosen.
FOR_EACH = 20
# Callers for each question by chance, below which callers cannot be kept apart.
CALLERS_FOR_EACH = 3


@dataclass(frozen=True, eq=False)
class Pool:
    """Inputs that may be asked about.

    Attributes:
        probabilities: of the classes, float64 [inputs, classes].
        vectors: float [inputs, width], near to one another where inputs are alike; `unit` has lengths taken out.
        callers: int64 [inputs], who asked each; each its own number where that is not known.
        judged: bool [inputs], which have feedback; None for none.
    """

    probabilities: np.ndarray
    vectors: np.ndarray
    callers: np.ndarray
    judged: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is asked about.

    Attributes:
        rows: int64 [questions], places in the pool, in the order in which they are asked.
        why: of each, `RANDOM` or `UNCERTAIN`.
        callers_apart: whether those by chance are of callers of their own, of whom nothing else is asked about.
    """

    rows: np.ndarray
    why: tuple[str, ...]
    callers_apart: bool


def choose(pool: Pool, count: int, share: float, seed: int) -> Chosen:
    """Returns which inputs of a pool to ask about; the same for the same pool and seed.

    Those by chance are drawn first, from all of the pool, judged or not: who judges has reasons to, so that a draw from
    the rest would be easier than what callers ask. Where there are enough callers, each of them is another caller's,
    and the others are of callers that these leave. The others are not judged yet.

    Args:
        pool: at least as many inputs.
        count: of questions, >= 1.
        share: of them by chance, in [0, 1].
        seed: of all draws.

    Raises:
        InputError: there are fewer inputs.
    """
    judged = np.zeros(len(pool), bool) if pool.judged is None else pool.judged
    if len(pool) < count:
        raise InputError(f"--n: {count} questions asked for, and {len(pool):,} inputs are left to ask about; lower it")
    generator = np.random.default_rng(seed)
    order, wanted = generator.permutation(len(pool)), round(share * count)
    _, first = np.unique(pool.callers[order], return_index=True)
    apart = len(first) < len(pool) and len(first) >= max(CALLERS_FOR_EACH * wanted, 1)
    drawn = order[np.sort(first)][:wanted] if apart else order[:wanted]
    taken = np.isin(pool.callers, pool.callers[drawn]) if apart else np.isin(np.arange(len(pool)), drawn)
    if apart and int((~taken & ~judged).sum()) < count - wanted:  # one caller asks nearly everything
        apart, drawn = False, order[:wanted]
        taken = np.isin(np.arange(len(pool)), drawn)
    left = np.flatnonzero(~taken & ~judged)
    if len(left) < count - wanted:
        raise InputError(
            f"--n: {count - wanted} questions about what the version is unsure of asked for, and {len(left):,} inputs "
            f"without feedback are left; lower it, or raise --random"
        )
    unsure = left[spread(margins(pool.probabilities[left]), pool.vectors[left], count - wanted, seed)]
    rows = np.concatenate([drawn, unsure])
    why = [RANDOM] * len(drawn) + [UNCERTAIN] * len(unsure)
    mixed = generator.permutation(len(rows))
    return Chosen(rows[mixed], tuple(why[place] for place in mixed), apart)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Returns how unsure each answer is, float64 [rows] in [0, 1]: one less what the best class has over the second.

    Source: Scheffer, Decomain & Wrobel 2001, "Active hidden Markov models for information extraction".

    Args:
        probabilities: float64 [rows, classes], at least two classes.
    """
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1 - np.abs(best[:, 1] - best[:, 0])


def spread(unsure: np.ndarray, vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns rows that are unsure and unlike one another, int64 [count], the surest last.

    Of the least certain rows, `FOR_EACH` for each that is wanted, k-means makes as many groups, in which a row weighs
    the more the less certain it is; of each group it is the row nearest to the middle. Source: Zhdanov 2019, "Diverse
    mini-batch active learning".

    Args:
        unsure: float64 [rows], in [0, 1].
        vectors: float [rows, width].
        count: at most as many as there are rows.
        seed: of the first middles.
    """
    if not count:
        return np.empty(0, np.int64)
    # These take a second to import, and what is wrong with a command is said before.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    top = np.argsort(-unsure, kind="stable")[: FOR_EACH * count]
    weights = np.maximum(unsure[top], 1e-6)
    with warnings.catch_warnings(), threadpool_limits(1):  # sums of several threads come in no fixed order
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than groups
        groups = KMeans(count, n_init=1, max_iter=20, random_state=seed % 2**32).fit(
            vectors[top].astype(np.float64), sample_weight=weights
        )
    away = ((vectors[top] - groups.cluster_centers_[groups.labels_]) ** 2).sum(axis=1)
    nearest = np.lexsort((away, groups.labels_))
    _, first = np.unique(groups.labels_[nearest], return_index=True)
    chosen = np.sort(nearest[first])
    others = np.setdiff1d(np.arange(len(top)), chosen)[: count - len(chosen)]
    return top[np.sort(np.concatenate([chosen, others]))]
