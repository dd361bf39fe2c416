from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.plan.methods import CrossEntropy, Focal, LabelSmoothing
from progressive_tf.training.fitting.objectives import make_loss

# Softmax of these logits is exactly 3/4, 1/4 and 1/5, 4/5.
LOGITS = tf.constant([[math.log(3.0), 0.0], [0.0, math.log(4.0)]])
TRUTH = tf.one_hot([0, 0], 2)  # the first row is right with 3/4, the second wrong with 1/5


def loss(settings: CrossEntropy | Focal | LabelSmoothing) -> float:
    return float(make_loss(settings)(TRUTH, LOGITS))


def test_cross_entropy() -> None:
    assert loss(CrossEntropy(name="cross-entropy")) == pytest.approx((-math.log(0.75) - math.log(0.2)) / 2, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_weighs_each_row_by_how_wrong_it_is(gamma: float) -> None:
    expected = -(0.25**gamma * math.log(0.75) + 0.8**gamma * math.log(0.2)) / 2
    assert loss(Focal(name="focal", gamma=gamma)) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    # amount 0.2 over two classes: 0.9 on the true one, 0.1 on the other
    expected = -(0.9 * math.log(0.75) + 0.1 * math.log(0.25) + 0.9 * math.log(0.2) + 0.1 * math.log(0.8)) / 2
    assert loss(LabelSmoothing(name="label-smoothing", amount=0.2)) == pytest.approx(expected, rel=1e-6)


def test_extreme_logits_stay_finite() -> None:
    logits = tf.constant([[200.0, -200.0], [-200.0, 200.0]])
    for settings in (CrossEntropy(name="cross-entropy"), Focal(name="focal"), LabelSmoothing(name="label-smoothing")):
        assert np.isfinite(float(make_loss(settings)(TRUTH, logits)))
