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
    assert Temperature.fit(logarithms(probabilities, truth), truth).value == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_fits_better_where_one_row_in_so_many_is_wrong() -> None:
    probabilities, truth = drawn(60, 1.5, seed=3)
    logits = logarithms(probabilities, truth)
    others = np.where(np.arange(5) == truth[:, np.newaxis], -np.inf, logits)
    second = others.argmax(axis=1)

    def loss(temperature: float) -> float:
        return (61 * log_loss(logits / temperature, truth) + log_loss(logits / temperature, second)) / 62

    least = loss(Temperature.fit(logits, truth).value)
    assert all(least <= loss(other) for other in np.geomspace(0.05, 20, 200))


def test_log_loss_by_hand() -> None:
    assert log_loss(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 0])) == pytest.approx(-np.log([0.75, 0.5]).mean())


def test_classes_that_are_not_possible_stay_so() -> None:
    probabilities, truth = drawn(500, 2.0)
    wide = np.hstack([probabilities, np.zeros((500, 3))])
    found, expected = (Temperature.fit(logarithms(each, truth), truth).value for each in (wide, probabilities))
    assert found == pytest.approx(expected, rel=1e-6)


def test_few_rows_that_are_all_right_make_nothing_certain() -> None:
    """With two classes and one confidence, six in seven rows are taken to be right."""
    logits = np.log([[0.9, 0.1]] * 5)
    found = Temperature.fit(logits, np.zeros(5, int))
    assert softmax(logits / found.value, axis=1)[0, 0] == pytest.approx(6 / 7, abs=1e-4)
    assert found.rows == 5


def test_where_one_class_alone_is_possible_nothing_is_to_be_found() -> None:
    logits = np.array([[0.0, -1e9], [0.0, -1e9], [1.0, 0.0], [0.0, 0.0]])
    found = Temperature.fit(logits, np.zeros(4, int))
    assert 1 / LARGEST < found.value < LARGEST
    assert Temperature.fit(logits[:0], np.zeros(0, int)) == Temperature(1.0, 0, 0.0, 0.0)
