"""Classes of rows: a softmax over logits, one for each class."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.images import small_png
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import read_json
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.metric_names import CLASSES
from progressive_tf.plan.schema import Stage
from progressive_tf.registry.folder import MANIFEST_NAME
from progressive_tf.training.answers.base import (
    FIRST_FIELDS,
    KEYS,
    Answering,
    Chunk,
    distinct_values,
)
from progressive_tf.training.answers.served_classes import ServedClassifier, predict_exported
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.objectives import Objective, make_loss
from progressive_tf.training.fitting.unknown_scores import UnknownScore
from progressive_tf.training.prefix.outputs import PrefixOutputs

SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        *((name, pa.string()) for name in ("text", "label", "predicted")),
        ("probabilities", pa.list_(pa.float32())),
    ]
)
IMAGE = pa.field("image", pa.binary())
# Of the test rows of a slice, so many of those that are most confidently wrong keep a small image for the report.
MOST_SHOWN = 24
# Of more classes than this, a file has the probabilities of all but the true and the most probable one in steps of
# 2^-20, about a millionth: most become 0, and what is left takes few bytes. Of more than 4,096 steps are smaller.
MOST_EXACT_CLASSES = 256
STEPS, CLASSES_OF_STEPS = 2**20, 2**12
_VALUES = "probabilities.list.element"


class Classification(Objective):
    """A classification loss over logits.

    Args:
        loss: of (one-hot labels [batch, classes], logits [batch, classes]), averaged over the batch.
    """

    measures_accuracy = True

    def __init__(self, loss: tf.keras.losses.Loss) -> None:
        self._loss = loss

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of every class, float32 [batch, classes]."""
        return network(state, training=training, first_block=first_block)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns logits that leave only an example's own task possible, float32 [batch, classes]."""
        return network.possible(outputs, state)

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean loss."""
        # Keras refuses to take the mean itself where several devices share a batch.
        return tf.reduce_mean(self._loss.call(tf.one_hot(labels, outputs.shape[-1]), outputs))


class ClassAnswering(Answering):
    """Probabilities of classes."""

    kind = CLASSES

    @property
    def repeated(self) -> tuple[str, ...]:
        """Columns in which the same values come again and again; of many classes probabilities too."""
        is_wide = len(self.features.classes.labels) > MOST_EXACT_CLASSES
        return (*KEYS, "label", "predicted", *((_VALUES,) if is_wide else ()))

    def objective(self, stage: Stage, frozen_depth: int) -> Classification:
        """Returns the stage's loss over classes."""
        return Classification(make_loss(stage.loss))

    def examples(
        self, source: str, inputs: InputStore, rows: np.ndarray, prefix: Callable[[np.ndarray], PrefixOutputs | None]
    ) -> Examples:
        """Returns rows with their class, and their task where the network has tasks."""
        examples = super().examples(source, inputs, rows, prefix)
        tasks = len(self.features.network.tasks)
        if not tasks:
            return examples
        # A row of a task that the network does not know yet is answered as one of the last that it knows.
        return examples.with_extra("task", np.minimum(self.features.classes.task_codes[source][rows], tasks - 1))

    def answer(self, source: str, rows: np.ndarray, examples: Examples) -> ClassAnswers:
        """Returns the probabilities of every class of the plan; arguments are those of `Answering.answer`."""
        return self._answers(source, rows, self.features.probabilities(examples))

    def _answers(self, source: str, rows: np.ndarray, known: np.ndarray) -> ClassAnswers:
        """Returns probabilities of the classes that a model knows, [n, known], beside what is true."""
        space = self.features.classes
        probabilities = np.zeros((len(rows), len(space.labels)))
        probabilities[:, : known.shape[1]] = known
        truth, rule = space.codes[source][rows], AnswerRule(costs=space.costs)
        return ClassAnswers(space.labels, truth, probabilities, known.shape[1], rule=rule, costs=space.costs)

    def schema(self, answers: Sequence[Answers], sources: Sequence[Source]) -> pa.Schema:
        """Returns the columns of a file of classes, with one of small images where there are some."""
        labels = self.features.classes.labels
        known = next((classified.known for classified in answers if isinstance(classified, ClassAnswers)), None)
        rule = next((given.rule for given in answers), ALWAYS)
        facts = {"labels": labels, "known": len(labels) if known is None else known}
        facts |= {"rule": rule.to_json()} if rule != ALWAYS else {}
        mapped = [given for given in answers if isinstance(given, ClassAnswers) and given.said is not None]
        facts |= {"wholes": dict(mapped[0].wholes)} if mapped else {}
        pictured = any(source.kind == "images" for source in sources)
        columns = SCHEMA.append(IMAGE) if pictured else SCHEMA
        return columns.with_metadata({name: json.dumps(value) for name, value in facts.items()})

    def columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Returns what some rows are, their classes and the probability of each."""
        answers, rows, source = chunk.answers, chunk.rows, chunk.source
        labels = pa.array(answers.labels, pa.string())
        starts = np.arange(len(rows) + 1, dtype=np.int32) * len(answers.labels)
        columns = {
            "text": pa.array(source.descriptions(rows), pa.string()),
            "label": labels.take(pa.array(answers.truth)),
            "predicted": labels.take(pa.array(answers.predicted)),
            "probabilities": pa.ListArray.from_arrays(pa.array(starts), pa.array(kept_probabilities(answers).ravel())),
        }
        if source.kind == "images":
            columns[IMAGE.name] = pa.array(_small_images(chunk), IMAGE.type)
        return columns

    @staticmethod
    def read(path: Path, data: PlanData) -> ClassAnswers:
        """Returns the probabilities of a file; the plan may have more classes now, or others behind those it has."""
        labels = data.labels
        mapped = b"wholes" in pq.read_schema(path).metadata
        columns = ["label", "predicted"] if mapped else ["label"]
        with pq.ParquetFile(path, read_dictionary=columns) as file:
            table = file.read(columns).unify_dictionaries()
        saved, known = (json.loads(table.schema.metadata[name]) for name in (b"labels", b"known"))
        rule = AnswerRule.of_json(json.loads(table.schema.metadata.get(b"rule", b"{}")))
        position = {label: index for index, label in enumerate(labels)}
        values, codes = distinct_values(table, "label")
        truth = np.array([position[value] for value in values], np.int32)[codes]
        probabilities = np.zeros((table.num_rows, len(labels)))
        _read_probabilities(path, len(saved), known, probabilities)
        answers = ClassAnswers(labels, truth, probabilities, known, rule=rule, costs=data.classes.costs)
        if not mapped:
            return answers
        names, said = distinct_values(table, "predicted")
        wholes = json.loads(table.schema.metadata[b"wholes"])
        return replace(answers, said=np.array([position[name] for name in names], np.int32)[said], wholes=wholes)

    @staticmethod
    def exported(
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]],
        rule: AnswerRule,
        unknown: UnknownScore | None = None,
    ) -> ServedClassifier:
        """Returns what gives the probabilities of raw inputs."""
        return ServedClassifier(network, others, rule, unknown)

    def ask(self, folder: Path, source: str, rows: np.ndarray, changed: LabelMap | None = None) -> ClassAnswers:
        """Returns the probabilities that an exported version gives; see `Answering.ask`."""
        raw, tasks = self.features.sources[source].inputs(rows), self.features.classes.row_tasks(source, rows)
        rule = AnswerRule.of_version(read_json(folder / MANIFEST_NAME))
        theirs = predict_exported(folder, raw, tasks)
        if changed is None:
            return self._answers(source, rows, theirs).by_rule(rule)
        return self._changed(source, rows, theirs, (rule, changed))

    def predict_before(
        self, source: str, rows: np.ndarray, examples: Examples, read: tuple[AnswerRule, LabelMap]
    ) -> ClassAnswers:
        """Returns what the network says with earlier classes, in those of now; see `Answering.predict_before`."""
        return self._changed(source, rows, self.features.probabilities(examples), read)

    def _changed(
        self, source: str, rows: np.ndarray, theirs: np.ndarray, read: tuple[AnswerRule, LabelMap]
    ) -> ClassAnswers:
        """Returns probabilities of earlier classes, [n, classes before], as answers in those of now."""
        rule, changed = read
        own = changed.probabilities(theirs)
        said = changed.answers(rule.predicted(theirs, changed.before), own)
        answers = self._answers(source, rows, own).by_rule(replace(rule, costs=None))
        return replace(answers, said=said, wholes=changed.wholes)


def kept_probabilities(answers: ClassAnswers) -> np.ndarray:
    """Returns what a file has of probabilities, float32 [rows, classes]; see `MOST_EXACT_CLASSES`.

    A sum is off by 1/512 at most. That of the true class stays as it is, since log loss looks at it alone, and so does
    the highest, which is the answer.
    """
    kept = answers.probabilities.astype(np.float32)
    classes = kept.shape[1]
    if classes > MOST_EXACT_CLASSES:
        rows, steps = np.arange(len(kept)), STEPS * max(1, -(-classes // CLASSES_OF_STEPS))
        rounded = np.round(kept * np.float32(steps)) / np.float32(steps)
        for exact in (answers.truth, kept.argmax(axis=1)):
            rounded[rows, exact] = kept[rows, exact]
        return rounded
    return kept


def _small_images(chunk: Chunk) -> list[bytes | None]:
    """Returns small PNG files of the images that are most confidently wrong, of the test part; None for the others."""
    answers, rows = chunk.all_answers, chunk.all_rows
    wrong = np.flatnonzero(~answers.right) if chunk.part == "test" else np.empty(0, np.int64)
    worst = wrong[np.argsort(-answers.confidence[wrong], kind="stable")[:MOST_SHOWN]]
    small: list[bytes | None] = [None] * len(rows)
    for position, encoded in zip(worst.tolist(), chunk.source.inputs(rows[worst]), strict=True):
        small[position] = small_png(encoded)
    return [small[position] for position in chunk.positions]


def _read_probabilities(path: Path, labels: int, known: int, into: np.ndarray) -> None:
    """Reads the first `known` of each row's probabilities, piece by piece, into [rows, known or more]."""
    first = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for piece in file.read_row_group(group, columns=["probabilities"]).column(0).chunks:
                values = piece.flatten().to_numpy().reshape(-1, labels)
                into[first : first + len(piece), :known] = values[:, :known]
                first += len(piece)
