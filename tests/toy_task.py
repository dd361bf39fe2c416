"""A task that the package does not have, a number for each row of a table: all that it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.answers import TRUTHS
from progressive_tf.data.answers.base import Truth
from progressive_tf.evaluation.answers.base import Answers, Summed, indices
from progressive_tf.models import mlp
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.request import Request
from progressive_tf.plan.metric_names import ANSWERS, AnswerKind, MetricName
from progressive_tf.plan.networks import Mlp
from progressive_tf.plan.tasks import OWN_TAG, TASKS, Task
from progressive_tf.training.answers import ANSWERING
from progressive_tf.training.answers.base import FIRST_FIELDS, Answering, ServedNetwork, ask_in_batches
from progressive_tf.training.fitting.objectives import Objective

ERROR = MetricName("mean_absolute_error", maximize=False, highest=math.inf)
NUMBERS = AnswerKind("numbers", {ERROR.name: ERROR}, of_matrices=(ERROR.name,))
TASK = Task("tabular-regression", "columns", NUMBERS, input_key="features", answer_key="label", builders=(OWN_TAG,))
SCHEMA = pa.schema([*FIRST_FIELDS, ("target", pa.float32()), ("predicted", pa.float32())])


@dataclass(frozen=True, eq=False)
class NumberAnswers(Answers):
    """A number for each row beside the true one, float32 [rows]."""

    kind = NUMBERS
    truth: np.ndarray
    predicted: np.ndarray
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> np.ndarray:
        return np.abs(self.truth - self.predicted) < 1

    def take(self, rows: Any) -> NumberAnswers:
        return NumberAnswers(self.truth[indices(rows)], self.predicted[indices(rows)])

    def join(self, others: Any) -> NumberAnswers:
        parts = [self, *others]
        return NumberAnswers(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("truth", "predicted"))
        )

    def summed(self, names: Any) -> list[Summed]:
        errors = np.abs(self.truth - self.predicted).astype(np.float64)[:, np.newaxis]
        features = lambda keys: np.hstack([keys, np.ones_like(keys)])  # noqa: E731
        return [
            Summed("errors", tuple(names), errors, features, lambda sums, *_: sums[:, 0] / sums[:, 1], smoothed=False)
        ]

    def _value(self, name: str) -> float:
        return float(np.abs(self.truth - self.predicted).mean())


class SquaredError(Objective):
    measures_accuracy = False

    def outputs(self, network: BlockModel, state: Any, first_block: int, training: bool) -> tf.Tensor:
        return network(state, training=training, first_block=first_block)

    def judged(self, network: BlockModel, state: Any, outputs: tf.Tensor) -> tf.Tensor:
        return (outputs[:, 0] - state["number"]) ** 2

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(outputs)


class NumberAnswering(Answering):
    kind = NUMBERS
    learns_from_states = True

    def _truth(self, source: str, rows: np.ndarray) -> np.ndarray:
        table = self.features.sources[source]
        return np.array([float(value) for value in table.expected(rows)], np.float32)

    def examples(self, source: str, inputs: Any, rows: np.ndarray, prefix: Any) -> Any:
        return super().examples(source, inputs, rows, prefix).with_extra("number", self._truth(source, rows))

    def objective(self, stage: Any, frozen_depth: int) -> SquaredError:
        return SquaredError()

    def answer(self, source: str, rows: np.ndarray, examples: Any) -> NumberAnswers:
        return NumberAnswers(self._truth(source, rows), self.features.logits(examples)[:, 0])

    def schema(self, answers: Any, sources: Any) -> pa.Schema:
        return SCHEMA

    def columns(self, chunk: Any) -> dict[str, pa.Array]:
        return {"target": pa.array(chunk.answers.truth), "predicted": pa.array(chunk.answers.predicted)}

    @staticmethod
    def read(path: Path, data: Any) -> NumberAnswers:
        table = pq.read_table(path, columns=["target", "predicted"])
        return NumberAnswers(*(table.column(name).to_numpy() for name in ("target", "predicted")))

    @staticmethod
    def exported(network: BlockModel, others: Any, rule: Any, unknown: Any = None) -> ServedNetwork:
        return ServedNetwork(network, lambda state: {"number": network(state)[:, 0]})

    def ask(self, folder: Path, source: str, rows: np.ndarray) -> NumberAnswers:
        raw = self.features.sources[source].inputs(rows)
        given = lambda inputs, batch: {name: tf.constant([raw[at] for at in batch]) for name in inputs}  # noqa: E731
        order, found = ask_in_batches(folder, "serving_default", raw, 64, given)
        return NumberAnswers(
            self._truth(source, rows), np.concatenate([each["number"] for each in found])[np.argsort(order)]
        )


def build(request: Request) -> BlockModel:
    network = mlp.build(replace(request, model=Mlp(builder="mlp", units=8, layers=1, dropout=0.0)))
    network.answers = NUMBERS.name
    return network


def register() -> None:
    """Adds the task to the package's tables."""
    TASKS[TASK.name], ANSWERS[NUMBERS.name] = TASK, NUMBERS
    TRUTHS[NUMBERS.name], ANSWERING[NUMBERS.name] = Truth, NumberAnswering
