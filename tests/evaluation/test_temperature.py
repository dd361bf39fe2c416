from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from progressive_tf.evaluation.temperature import LARGEST, Temperature, log_loss, logarithms


def drawn(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities that are right as often as they would say at a temperature, and what is true."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, 5))
    true = softmax(logits / temperature, axis=1)
    truth = (true.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1).clip(max=4)
    return softmax(logits, axis=1), truth.astype(np.int32)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_used_is_found(temperature: float) -> None:
    probabilities, truth = drawn(20_000, temperature)
    assert Temperature.fit(probabilities, truth).value == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_less_log_loss() -> None:
    probabilities, truth = drawn(60, 1.5, seed=3)
    logits = logarithms(probabilities, truth)
    found = Temperature.fit(probabilities, truth).value
    least = log_loss(logits / found, truth)
    assert all(least <= log_loss(logits / other, truth) for other in np.geomspace(0.05, 20, 200))


def test_log_loss_by_hand() -> None:
    assert log_loss(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0])) == pytest.approx(-np.log([0.75, 0.5]).mean())


def test_classes_that_are_not_possible_stay_so() -> None:
    probabilities, truth = drawn(500, 2.0)
    wide = np.hstack([probabilities, np.zeros((500, 3))])
    assert Temperature.fit(wide, truth).value == pytest.approx(Temperature.fit(probabilities, truth).value, rel=1e-6)


def test_answers_that_are_all_right_have_a_temperature_too() -> None:
    probabilities = np.array([[0.9, 0.1]] * 5)
    assert 1 / LARGEST <= Temperature.fit(probabilities, np.zeros(5, np.int32)).value < 0.1
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert Temperature.fit(sure, np.array([0, 1])).value == pytest.approx(LARGEST, rel=0.01)
