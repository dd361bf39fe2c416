"""Elastic weight consolidation: weights that mattered to earlier stages stay near their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, NamedWeight, State

MOST_NUMBERS = 100_000_000  # gradients of single examples that are held at once

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Consolidated:
    """Quadratic terms ½ F (θ − θ*)² of one or more stages, added up.

    The sum over stages is again quadratic: its importance is Σ F, its centre Σ F θ* / Σ F.

    Attributes:
        importance: float32 by name of the weight.
        weighted: importance · centre, by name.
    """

    importance: Arrays = field(default_factory=dict)
    weighted: Arrays = field(default_factory=dict)

    def plus(self, importance: Arrays, values: Arrays) -> Consolidated:
        """Returns the terms with the Fisher information of another stage, measured at these values of its weights
        (Kirkpatrick et al. 2017, section 2).

        Where a weight has grown, such as the head's kernel with its classes, its earlier part is as it was.
        """
        total, weighted = dict(self.importance), dict(self.weighted)
        for name, fisher in importance.items():
            before = grown(total.get(name, np.zeros_like(fisher)), fisher.shape)
            total[name] = before + fisher
            weighted[name] = grown(weighted.get(name, np.zeros_like(fisher)), fisher.shape) + fisher * values[name]
        return Consolidated(total, weighted)

    def online(self, importance: Arrays, values: Arrays, decay: float) -> Consolidated:
        """Returns one term around the newest weights, importance decay · F before + F (Schwarz et al. 2018, eq. 9)."""
        total = {
            name: decay * grown(self.importance.get(name, np.zeros_like(fisher)), fisher.shape) + fisher
            for name, fisher in importance.items()
        }
        return Consolidated(total, {name: total[name] * values[name] for name in total})


def grown(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Returns values with zeros behind them along every axis, up to a shape that is at least as large."""
    return np.pad(values, [(0, after - before) for before, after in zip(values.shape, shape, strict=True)])


class EwcPenalty:
    """strength / 2 · Σ F (θ − θ*)² over the weights of earlier stages that the network still has.

    Args:
        network: with the classes and additions of the stage.
        consolidated: what the earlier stages leave.
        strength: > 0.
    """

    def __init__(self, network: BlockModel, consolidated: Consolidated, strength: float) -> None:
        self._strength = strength
        self._terms: list[tuple[tf.Variable, tf.Tensor, tf.Tensor]] = []
        for weight in network.named_weights():
            if weight.name not in consolidated.importance:
                continue
            importance = consolidated.importance[weight.name]
            safe = np.where(importance > 0, importance, 1)
            centre = consolidated.weighted[weight.name] / safe
            shape = tuple(weight.variable.shape)
            constants = (tf.constant(grown(values, shape), tf.float32) for values in (importance, centre))
            self._terms.append((weight.variable, *constants))

    def __call__(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns a scalar; only the network's weights matter."""
        distances = [
            tf.reduce_sum(importance * tf.square(variable - centre)) for variable, importance, centre in self._terms
        ]
        return 0.5 * self._strength * tf.add_n(distances)


@dataclass(frozen=True)
class Measured:
    """The examples that the Fisher information is of.

    Attributes:
        batches: (state [batch, …], labels int32 [batch]).
        state_spec: the signature of a state.
        first_block: the block that the states are the input of.
        log_likelihood: state → that of what is true of each example, float32 [batch], where this is not one class; for
            kind `empirical` alone.
    """

    batches: Iterable[tuple[dict[str, np.ndarray], np.ndarray]]
    state_spec: dict[str, tf.TensorSpec]
    first_block: int
    log_likelihood: Callable[[State], tf.Tensor] | None = None


def fisher_information(
    network: BlockModel, weights: Sequence[NamedWeight], measured: Measured, kind: str, seed: int
) -> Arrays:
    """Returns the diagonal Fisher information of weights, float32 by name.

    It is the mean over examples x of Σ_c p(c|x) (∂ log p(c|x) / ∂θ)² for kind `exact`, of (∂ log p(c|x) / ∂θ)² with c
    drawn from p(·|x) for `sampled`, and with c the label for `empirical`. Each square is of one example's gradient:
    the square of a batch's mean gradient is something else (van de Ven 2025 compares these).

    Args:
        network: at the weights to measure at.
        weights: what to measure; of `network`.
        measured: the examples.
        kind: as above.
        seed: draws classes.
    """
    log_likelihood = measured.log_likelihood
    variables = [weight.variable for weight in weights]
    sums = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    classes = len(network.labels)
    at_once = max(1, MOST_NUMBERS // sum(int(np.prod(variable.shape)) for variable in variables))

    def log_probabilities(state: State) -> tf.Tensor:
        return tf.nn.log_softmax(network.possible(network(state, first_block=measured.first_block), state))

    def squares(one: tuple[State, tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
        state, label, share = one
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            alone = {name: values[tf.newaxis] for name, values in state.items()}
            if log_likelihood is None:
                score = tf.reduce_sum(log_probabilities(alone)[0] * tf.one_hot(label, classes))
            else:
                score = log_likelihood(alone)[0]
        gradients = tape.gradient(score, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [share * tf.square(tf.convert_to_tensor(gradient)) for gradient in gradients]

    @tf.function(
        input_signature=[measured.state_spec, tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32)],
        autograph=False,
    )
    def add(state: State, labels: tf.Tensor, shares: tf.Tensor) -> None:
        examples = (state, labels, shares)
        if log_likelihood is None:
            squared = tf.vectorized_map(squares, examples)
        else:  # a CRF has loops, which cannot be vectorized
            squared = tf.map_fn(squares, examples, fn_output_signature=[tf.float32] * len(variables))
        for total, values in zip(sums, squared, strict=True):
            total.assign_add(tf.reduce_sum(values, axis=0))

    probabilities = tf.function(
        lambda state: tf.exp(log_probabilities(state)), input_signature=[measured.state_spec], autograph=False
    )
    generator = np.random.default_rng(seed)
    count = 0
    for whole_state, whole_labels in measured.batches:
        for begin in range(0, len(whole_labels), at_once):
            part = slice(begin, begin + at_once)
            state, labels = {name: values[part] for name, values in whole_state.items()}, whole_labels[part]
            count += len(labels)
            shares = np.ones(len(labels), np.float32)
            if kind == "empirical":
                add(state, labels, shares)
                continue
            chances = probabilities(state).numpy()
            if kind == "sampled":
                add(state, _drawn(chances, generator), shares)
                continue
            for label in range(classes):
                add(state, np.full(len(labels), label, np.int32), chances[:, label])
    return {weight.name: total.numpy() / count for weight, total in zip(weights, sums, strict=True)}


def _drawn(chances: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns a class for each row, int32 [rows], drawn with the probabilities of the row."""
    edges = np.cumsum(chances, axis=1)
    levels = generator.random((len(chances), 1)) * edges[:, -1:]
    return np.minimum((edges < levels).sum(axis=1), chances.shape[1] - 1).astype(np.int32)
