"""One network that answers micro-batches of a stream and then learns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.data.inputs import InputStore
from progressive_tf.data.stream import Accepted
from progressive_tf.models.block_model import assign_weights, read_weights
from progressive_tf.plan.schema import Stage
from progressive_tf.seeds import derive_seed
from progressive_tf.training.fitting.callbacks import reset_random_layers
from progressive_tf.training.fitting.example_sets import JoinedExamples
from progressive_tf.training.fitting.examples import Examples, State
from progressive_tf.training.fitting.stage_model import StageModel
from progressive_tf.training.prefix.outputs import PrefixOutputs

Arrays = dict[str, np.ndarray]


class StreamLearner:
    """Answers and learns, one micro-batch after the other; outputs of frozen blocks are computed once for both.

    Args:
        model: updates the network, which is at the weights that the stage starts from.
        stage: the plan's section.
        replayed: rows of earlier stages to learn beside the stream's; none: only these.
        seed: the plan's seed.
    """

    def __init__(self, model: StageModel, stage: Stage, replayed: Sequence[Examples], seed: int) -> None:
        self.moved = model.moved
        self.optimizer = model.stage_optimizer
        self._model = model
        self._network = network = model.network
        self._stage = stage
        self._replayed = tuple(replayed)
        self._seed = seed
        self._texts: list[str] = []
        depth = model.first_block
        size = stage.data.micro_batch
        self._inputs = InputStore(size, lambda rows: [self._texts[row] for row in rows], network.preprocess)
        self._prefix = PrefixOutputs(network, self._inputs, depth, stage.cache.dtype) if depth else None
        spec = self._examples(np.empty(0, np.int64), np.empty(0, np.int32)).state_spec
        labels = tf.TensorSpec([None], tf.int32)
        self._train = tf.function(self._model.train_step, input_signature=[(spec, labels)], autograph=False)
        self._probabilities = tf.function(
            lambda state: tf.nn.softmax(network(state, first_block=depth)), input_signature=[spec], autograph=False
        )

    @property
    def weights(self) -> Arrays:
        """The moved weights, by name."""
        return read_weights(self.moved.weights)

    def assign(self, weights: Arrays) -> None:
        """Puts the moved weights where `weights` has them."""
        assign_weights(self.moved.weights, weights)

    def answer(self, rows: Sequence[Accepted], others: Mapping[str, Arrays]) -> tuple[np.ndarray, Arrays]:
        """Returns probabilities [rows, classes] at the present weights, and at others, by name.

        Args:
            rows: of one micro-batch.
            others: moved weights, by name and then by theirs.
        """
        self._texts = [row.text for row in rows]
        self._inputs.forget()
        self._inputs.add(np.arange(len(rows)))
        self._own = self._examples(np.arange(len(rows)), np.array([row.code for row in rows], np.int32))
        self._state: State = self._own.state(np.arange(len(rows)))
        answers = self._probabilities(self._state).numpy()
        if not others:
            return answers, {}
        present, other_answers = self.weights, {}
        for name, weights in others.items():
            self.assign(weights)
            other_answers[name] = self._probabilities(self._state).numpy()
        self.assign(present)
        return answers, other_answers

    def learn(self, number: int) -> float:
        """Learns the micro-batch that was answered last; returns the loss before.

        Args:
            number: of the micro-batch, from 0; its replayed rows and its dropout derive their seeds from it.
        """
        reset_random_layers(self._network, self._seed, self._stage.name, number, self.moved.frozen_depth)
        state, labels = self._state, self._own.labels
        if self._replayed:
            joined = JoinedExamples((self._own, *self._replayed))
            batch = np.concatenate([np.arange(len(self._own.rows)), self._drawn(number, len(self._own.rows))])
            state, labels = next(joined.states([batch])), joined.labels[batch]
        self._model.reset_metrics()
        return float(self._train((state, labels))["loss"])

    def _drawn(self, number: int, own: int) -> np.ndarray:
        """Returns positions of rows to replay, behind those of the micro-batch."""
        replay, kept = self._stage.retention.replay, sum(len(part.rows) for part in self._replayed)
        ratio = replay.share(own, kept) if replay is not None else 0.0
        beside = max(round(own * ratio / (1 - ratio)), 1)
        generator = np.random.default_rng(derive_seed(self._seed, "stream-replay", self._stage.name, number))
        return own + generator.choice(kept, min(beside, kept), replace=False)

    def _examples(self, rows: np.ndarray, labels: np.ndarray) -> Examples:
        return Examples(self._inputs, rows, labels, self._prefix)
