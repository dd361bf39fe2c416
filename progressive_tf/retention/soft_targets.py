"""A loss against the outputs of a teacher (distillation) or of the network before the stage (Li & Hoiem 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.retention_methods import Distill, Lwf

DISTILL = "distill"
LEAST_PROBABILITY = 1e-8


Together = Sequence[tuple[Sequence[int], Sequence[int]]]


def distill(
    settings: Distill, network: BlockModel, teacher_labels: Sequence[str], changed: LabelMap | None = None
) -> SoftTargets:
    """Returns the penalty; the state has the teacher's logits, in the order of its classes, under `DISTILL`.

    Args:
        settings: the plan's section.
        network: with the classes of the stage.
        teacher_labels: the teacher's classes.
        changed: what became of these; None where they are called alike.

    Raises:
        InputError: the network has not a class of the teacher's.
    """
    if changed is not None:
        return SoftTargets(DISTILL, (), (), settings.strength, settings.temperature, changed.told_apart)
    for label in teacher_labels:
        if label not in network.labels:
            raise InputError(
                f"retention.distill.teacher: {settings.teacher} predicts {unknown_name('label', label, network.labels)}"
            )
    columns = [network.labels.index(label) for label in teacher_labels]
    return SoftTargets(DISTILL, columns, [range(len(columns))], settings.strength, settings.temperature)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Returns logits whose softmax gives the probabilities, float32 [n, classes]; those below 1e-8 count as 1e-8."""
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)


class SoftTargets:
    """The penalty strength · T² · KL(softmax(teacher / T) ‖ softmax(outputs / T)), a mean over the batch.

    T² keeps the gradients' size independent of the temperature T (Hinton et al. 2015, section 2).

    Args:
        key: where the teacher's logits, float32 [batch, columns], stand in the state.
        columns: the class of each of them, as an index into the network's labels.
        groups: sets of columns that are one classifier each, such as those of a task; their losses add up.
        strength: > 0.
        temperature: > 0.
        together: where the two do not have the same classes, those that both tell apart: for each of them the teacher's
            columns, and the network's labels, whose probabilities add up to it. Columns and groups are then not read.
    """

    def __init__(
        self,
        key: str,
        columns: Sequence[int],
        groups: Sequence[Sequence[int]],
        strength: float,
        temperature: float,
        together: Together = (),
    ) -> None:
        self.key = key
        self._columns = np.array(columns, np.int32)
        self._groups = [np.array(group, np.int32) for group in groups]
        self._strength = strength
        self._temperature = temperature
        self._together = together

    def __call__(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns a scalar, given a state with the teacher's logits and the network's logits, float32 [batch,
        classes].
        """
        if self._together:
            teacher, student = (
                _joined(logits, columns)
                for logits, columns in zip((state[self.key], outputs), zip(*self._together, strict=True), strict=True)
            )
            return self._strength * soft_target_loss(teacher, student, self._temperature)
        student = tf.gather(outputs, self._columns, axis=1)
        losses = [
            soft_target_loss(
                tf.gather(state[self.key], group, axis=1), tf.gather(student, group, axis=1), self._temperature
            )
            for group in self._groups
        ]
        return self._strength * tf.add_n(losses)


def _joined(logits: tf.Tensor, columns: Sequence[Sequence[int]]) -> tf.Tensor:
    """Returns logits of classes each of which has the probabilities of some columns together, [batch, classes]."""
    return tf.stack([tf.reduce_logsumexp(tf.gather(logits, of, axis=1), axis=1) for of in columns], axis=1)


def soft_target_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns T² · KL(softmax(teacher / T) ‖ softmax(student / T)), its mean over a batch; logits [batch, classes]."""
    softened = tf.nn.log_softmax(teacher / temperature)
    difference = softened - tf.nn.log_softmax(student / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(softened) * difference, axis=1))


LWF = "lwf"


def lwf(settings: Lwf, network: BlockModel, known: int, changed: LabelMap | None = None) -> SoftTargets:
    """Returns the penalty; the state has the logits of the network before the stage, of the first `known` classes,
    under `LWF`.

    The paper's loss is a cross-entropy, which differs from the divergence here by a constant. Where classes belong to
    tasks, each task's are compared among themselves. Where the labels have changed since that network, by `changed`,
    parts that it did not tell apart are compared together.
    """
    if changed is not None and changed.wholes:
        # The parts of a class that was split begin as the same: outputs near that would not tell them apart.
        together = [(now, now) for _, now in changed.told_apart]
        return SoftTargets(LWF, (), (), settings.strength, settings.temperature, together)
    tasks = network.label_tasks[:known] or ("",) * known
    groups = [[index for index in range(known) if tasks[index] == task] for task in dict.fromkeys(tasks)]
    return SoftTargets(LWF, range(known), groups, settings.strength, settings.temperature)
