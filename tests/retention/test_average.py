from __future__ import annotations

import numpy as np
import pytest

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.retention.average import Tried, between, candidates, choose, judged, mean, quality


def translated(right: int) -> TextAnswers:
    truth = np.array(["the cat sat on the mat"] * 50, dtype=object)
    predicted = np.where(np.arange(50) < right, truth, "zzz").astype(object)
    return TextAnswers(truth, predicted, np.ones(50, np.float32))


def classified(right: int) -> ClassAnswers:
    truth = np.zeros(50, int)
    return ClassAnswers(("no", "yes"), truth, np.eye(2)[(np.arange(50) >= right).astype(int)])


def tagged() -> TagAnswers:
    codes = np.array([1, 0, 1, 0], np.int32)
    return TagAnswers(("O", "B-x", "I-x"), np.array([2, 2], np.int32), codes, codes, np.ones(4, np.float32))


def test_quality_is_a_share_whatever_the_metric() -> None:
    assert quality(classified(40)) == 0.8
    assert quality(tagged()) == 1.0
    assert quality(translated(50)) == 1.0
    assert quality(translated(20)) == pytest.approx(float(translated(20).measure("chrf") or 0) / 100)
    assert 0.3 < quality(translated(20)) < 0.6
    assert quality(translated(20).take([])) == 0


def test_only_classes_have_a_log_loss() -> None:
    for own, has_one in ((classified(20), True), (tagged(), False), (translated(20), False)):
        found = judged(0.5, own, {}, {})
        assert found.log_loss > 0 if has_one else found.log_loss == 0
        assert found.accuracy == quality(own)


def test_a_limit_on_drops_means_the_same_for_chrf() -> None:
    before = {"earlier": quality(translated(40))}
    slight, large = (
        judged(share, translated(50), {"earlier": translated(right)}, before) for share, right in ((0.5, 39), (1.0, 35))
    )
    assert 0 < slight.worst_drop < 0.03 < large.worst_drop < 0.2
    assert choose([slight, large], 0.03) is slight
    assert choose([slight, large], 0.5).accuracy == 1.0


def tried(coefficient: float, accuracy: float, drop: float, log_loss: float = 1.0) -> Tried:
    return Tried(coefficient, accuracy, log_loss, {"one": drop, "two": 0.0})


def test_the_share_is_the_most_accurate_that_keeps_earlier_stages() -> None:
    rows = [tried(0.0, 0.5, 0.0), tried(0.4, 0.7, 0.02), tried(0.5, 0.7, 0.02, 0.9), tried(1.0, 0.9, 0.05)]
    assert choose(rows, 0.02).coefficient == 0.5
    assert choose(rows, 0.1).coefficient == 1.0
    assert choose([*rows[3:], tried(0.9, 0.1, 0.04)], 0.02).coefficient == 0.9
    # Where none keeps within the limit, of shares that lose as little, but for rounding, the most accurate.
    assert choose([tried(0.3, 0.6, 0.1), tried(0.4, 0.8, 0.1 + 1e-12)], 0.02).coefficient == 0.4


def test_shares_include_an_equal_one() -> None:
    assert candidates(2) == tuple(sorted([*(step / 10 for step in range(11)), 1 / 3]))
    assert candidates(1) == candidates(4) == tuple(step / 10 for step in range(11))


def test_weights_between_two_are_exact_at_both_ends() -> None:
    own, before = {"w": np.float32([0.1, 0.3])}, {"w": np.float32([0.7, -0.2])}
    for share, expected in ((0.0, before), (1.0, own)):
        np.testing.assert_array_equal(between(before, own, share)["w"], expected["w"])
    np.testing.assert_allclose(between(before, own, 0.25)["w"], [0.55, -0.075], rtol=1e-6)
    assert between(mean([own, before]), own, 0.5)["w"].dtype == np.float32
    np.testing.assert_allclose(mean([own, own, before])["w"], [0.3, 0.4 / 3], rtol=1e-6)
