from __future__ import annotations

import math

from progressive_tf.reporting.figures.curves import learning_curves

HISTORY = {
    "epoch": (1.0, 2.0, 3.0),
    "loss": (0.7, 0.6, math.nan),
    "val_loss": (0.7, 0.65, 0.66),
    "accuracy": (0.5, 0.6, 0.7),
    "val_accuracy": (0.5, 0.55, 0.56),
    "learning_rate": (1e-3, 1e-3, 5e-4),
}


def test_curves_are_named_and_the_best_epoch_is_marked() -> None:
    source = learning_curves("c", "pilot", HISTORY, best_epoch=2)
    for words in (">train<", ">validation<", ">best, epoch 2<", ">Learning rate<", ">0.001<", "3 epochs"):
        assert words in source


def test_an_epoch_that_is_not_there_is_not_marked() -> None:
    assert "best, epoch" not in learning_curves("c", "pilot", HISTORY, best_epoch=9)


def test_missing_columns_are_left_out() -> None:
    source = learning_curves("c", "pilot", {"epoch": (1.0,), "loss": (0.5,)}, best_epoch=None)
    assert ">train<" in source
    assert ">validation<" not in source
