"""How far apart known and unknown rows are, and the threshold that is read from validation rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from progressive_tf.evaluation.unknown_inputs import ScoredRows, histogram, quantile_above, separation

SIDES = [
    ([0.1, 0.2, 0.2, 0.3, 0.9], [0.2, 0.5, 0.8, 1.0]),
    ([1.0], [2.0, 3.0]),
    ([5.0, 5.0], [5.0, 5.0, 5.0]),
]


@pytest.mark.parametrize(("known", "unknown"), SIDES)
def test_both_measures_are_those_of_scikit_learn(known: list[float], unknown: list[float]) -> None:
    found = separation(ScoredRows(np.array(known)), ScoredRows(np.array(unknown)), seed=1)
    is_known = np.repeat([1, 0], [len(known), len(unknown)])
    # There a higher score speaks for the positive rows, which are the known ones here.
    scores = -np.array([*known, *unknown])
    assert found.auroc.value == pytest.approx(roc_auc_score(is_known, scores))
    false, true, _ = roc_curve(is_known, scores, drop_intermediate=False)
    assert found.passing.value == pytest.approx(false[np.argmax(true >= 0.95 - 1e-9)])
    assert found.auroc.n == len(known) + len(unknown)


def test_the_interval_of_auroc_holds_as_often_as_it_says_and_is_not_certain_where_all_rows_are_apart() -> None:
    generator, held = np.random.default_rng(0), []
    truth = 0.7602  # P(N(1, 1) > N(0, 1)) = Φ(1/√2)
    for _ in range(100):
        sides = ScoredRows(generator.normal(0, 1, 60)), ScoredRows(generator.normal(1, 1, 50))
        found = separation(*sides, seed=int(generator.integers(9)))
        held.append(found.auroc.low <= truth <= found.auroc.high)  # type: ignore[operator]
    assert np.mean(held) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 100)
    apart = separation(ScoredRows(np.zeros(20)), ScoredRows(np.ones(20)), seed=3)
    assert (apart.auroc.value, apart.passing.value) == (1.0, 0.0)
    assert 0.7 < (apart.auroc.low or 0) < 0.99
    assert (apart.passing.high or 0) > 0.01


def test_rows_that_are_alike_make_the_interval_as_wide_as_their_groups() -> None:
    generator = np.random.default_rng(1)
    known, unknown = generator.normal(0, 1, 30), generator.normal(1, 1, 30)
    alone = separation(ScoredRows(known), ScoredRows(unknown), seed=1)
    same = [np.repeat(side, 10) for side in (known, unknown)]
    groups = np.repeat(np.arange(30), 10)
    grouped, rowwise = (separation(*(ScoredRows(side, of_rows) for side in same), seed=1) for of_rows in (groups, None))
    widths = [found.auroc.high - found.auroc.low for found in (alone, grouped, rowwise)]  # type: ignore[operator]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)
    assert widths[2] < 0.5 * widths[0]


def test_a_further_row_exceeds_the_threshold_no_more_often_than_asked() -> None:
    assert quantile_above(np.arange(1.0, 101.0), 0.05) == 96.0  # ⌈101 · 0.95⌉
    assert quantile_above(np.arange(1.0, 20.0), 0.05) == 19.0  # 20 · 0.95 = 19
    assert quantile_above(np.array([3.0, 1.0, 2.0]), 0.05) == 3.0
    generator = np.random.default_rng(0)
    exceeds = [generator.normal() > quantile_above(generator.normal(size=39), 0.1) for _ in range(4_000)]
    assert np.mean(exceeds) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / 4_000))


def test_a_histogram_counts_every_row_and_what_lies_far_away_in_its_last_bin() -> None:
    known, unknown = np.linspace(0, 1, 400), np.array([0.5, 1e30])
    found = histogram(known, unknown)
    assert (sum(found.known), sum(found.unknown)) == (400, 2)
    assert found.unknown[-1] == 1
    assert found.edges[0] == 0.0
    assert 0.9 < found.edges[-1] <= 1.0
    assert len(found.edges) == len(found.known) + 1
    assert histogram(np.ones(3), np.empty(0)).unknown == ()
