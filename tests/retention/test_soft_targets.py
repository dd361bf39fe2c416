from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.errors import InputError
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.retention_methods import Distill, Lwf
from progressive_tf.retention.soft_targets import SoftTargets, distill, logits_of, lwf, soft_target_loss

TEACHER = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
STUDENT = np.array([[1.0, 0.0], [3.0, 1.0]], np.float32)


class Network:
    def __init__(self, labels: tuple[str, ...], label_tasks: tuple[str, ...] = ()) -> None:
        self.labels, self.label_tasks = labels, label_tasks


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_loss_is_the_softened_divergence(temperature: float) -> None:
    p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    found = float(soft_target_loss(tf.constant(TEACHER), tf.constant(STUDENT), temperature))
    assert found == pytest.approx(expected, rel=1e-5)
    assert float(soft_target_loss(tf.constant(TEACHER), tf.constant(TEACHER + 3), temperature)) == pytest.approx(
        0, abs=1e-6
    )


def test_lwf_looks_at_the_classes_known_before() -> None:
    network: Any = Network(("a", "b", "c"))
    penalty = lwf(Lwf(strength=3.0), network, known=2)
    outputs = np.concatenate([STUDENT, np.full((2, 1), 50.0, np.float32)], axis=1)
    found = float(penalty(network, {"lwf": tf.constant(TEACHER)}, tf.constant(outputs)))
    assert found == pytest.approx(3 * float(soft_target_loss(tf.constant(TEACHER), tf.constant(STUDENT), 2.0)))


def test_lwf_compares_the_classes_of_each_task_among_themselves() -> None:
    network: Any = Network(("s/a", "s/b", "t/a", "t/b", "u/a"), ("s", "s", "t", "t", "u"))
    penalty = lwf(Lwf(), network, known=4)
    teacher, student = np.hstack([TEACHER, STUDENT]), np.hstack([STUDENT, TEACHER, TEACHER[:, :1]])
    found = float(penalty(network, {"lwf": tf.constant(teacher)}, tf.constant(student)))
    expected = sum(
        float(soft_target_loss(tf.constant(one), tf.constant(other), 2.0))
        for one, other in ((TEACHER, STUDENT), (STUDENT, TEACHER))
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_distillation_finds_the_teachers_classes_by_name() -> None:
    network: Any = Network(("c", "b", "a"))
    penalty = distill(Distill(strength=2.0, temperature=1.0), network, ("a", "b"))
    outputs = np.concatenate([np.full((2, 1), 9.0, np.float32), STUDENT[:, ::-1]], axis=1)
    found = float(penalty(network, {"distill": tf.constant(TEACHER)}, tf.constant(outputs)))
    assert found == pytest.approx(2 * float(soft_target_loss(tf.constant(TEACHER), tf.constant(STUDENT), 1.0)))
    with pytest.raises(InputError, match=r"distill.teacher: stable predicts unknown label 'z'"):
        distill(Distill(), network, ("a", "z"))


# t was split into t1 and t2, a and b are m now, and r is no more.
CHANGED = LabelMap(("a", "t", "b", "r"), ("m", "t1", "t2", "n"), {"a": ("m",), "t": ("t1", "t2"), "b": ("m",), "r": ()})


def test_a_teacher_with_other_labels_is_followed_in_what_both_tell_apart() -> None:
    network: Any = Network(("m", "t1", "t2", "n"))
    said = np.array([[0.2, 0.4, 0.1, 0.3], [0.5, 0.1, 0.3, 0.1]])
    penalty = distill(Distill(strength=2.0, temperature=1.0), network, CHANGED.before, CHANGED)
    whole = np.array([[0.3, 0.4], [0.8, 0.1]])
    apart = np.concatenate([whole[:, :1], whole[:, 1:] * (0.9, 0.1), np.ones((2, 1))], axis=1)
    teacher, outputs = tf.constant(logits_of(said)), np.log(apart).astype(np.float32)
    assert float(penalty(network, {"distill": teacher}, tf.constant(outputs))) == pytest.approx(0, abs=1e-6)
    p, q = whole / whole.sum(axis=1, keepdims=True), np.array([[0.5, 0.5], [0.5, 0.5]])
    even = np.log(np.array([[2, 1, 1, 9], [2, 1, 1, 9]])).astype(np.float32)
    found = float(penalty(network, {"distill": teacher}, tf.constant(even)))
    assert found == pytest.approx(2 * (p * np.log(p / q)).sum(axis=1).mean(), rel=1e-5)


def test_lwf_keeps_no_parts_of_a_split_class_from_being_told_apart() -> None:
    network: Any = Network(("m", "t1", "t2", "n"))
    penalty = lwf(Lwf(), network, 3, CHANGED)
    teacher = tf.constant(np.log([[0.6, 0.2, 0.2]]).astype(np.float32))
    outputs = tf.constant(np.log([[0.6, 0.39, 0.01, 5.0]]).astype(np.float32))
    assert float(penalty(network, {"lwf": teacher}, outputs)) == pytest.approx(0, abs=1e-6)
    assert float(lwf(Lwf(), network, 3)(network, {"lwf": teacher}, outputs)) > 0.1


def test_probabilities_become_logits_that_give_them_back() -> None:
    probabilities = np.array([[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_allclose(softmax(logits_of(probabilities)), probabilities, atol=1e-7)


def test_a_penalty_is_a_scalar_whose_gradient_reaches_the_outputs() -> None:
    penalty = SoftTargets("key", [0, 1], [[0, 1]], 1.0, 2.0)
    outputs = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        loss = penalty(None, {"key": tf.constant(TEACHER)}, outputs)  # type: ignore[arg-type]
    gradient = tape.gradient(loss, outputs).numpy()
    assert loss.shape == ()
    p, q = softmax(TEACHER / 2), softmax(STUDENT / 2)
    np.testing.assert_allclose(gradient, 2 * (q - p) / 2, rtol=1e-4)  # T² · (q − p) / T / batch
