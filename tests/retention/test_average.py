from __future__ import annotations

import numpy as np
import pytest

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.retention.average import choose, judged, quality


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
        assert (found.log_loss > 0) == has_one
        assert found.accuracy == quality(own)


def test_a_limit_on_drops_means_the_same_for_chrf() -> None:
    before = {"earlier": quality(translated(40))}
    slight, large = (
        judged(share, translated(50), {"earlier": translated(right)}, before) for share, right in ((0.5, 39), (1.0, 35))
    )
    assert 0 < slight.worst_drop < 0.03 < large.worst_drop < 0.2
    assert choose([slight, large], 0.03) is slight
    assert choose([slight, large], 0.5).accuracy == 1.0
