"""Classes of rows: a softmax over logits, one for each class."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    ABSTAINED,
    DEFAULT,
    FIRST_FIELDS,
    KEYS,
    Answering,
    Chunk,
    Served,
    ask_in_batches,
    distinct_values,
)
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
ROWS_READ = 20_000  # at once
# Of more classes than this, a file has the probabilities of all but the true one in steps of 2^-20, about a millionth:
# most become 0, and what is left takes few bytes.
MOST_EXACT_CLASSES = 256
STEPS = 2**20
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
        values = (_VALUES,) if len(self.features.classes.labels) > MOST_EXACT_CLASSES else ()
        return (*KEYS, "label", "predicted", *values)

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
        with pq.ParquetFile(path, read_dictionary=["label", "predicted"]) as file:
            mapped = b"wholes" in (file.schema_arrow.metadata or {})
            table = file.read(["label", "predicted"] if mapped else ["label"]).unify_dictionaries()
        saved, known = (json.loads(table.schema.metadata[name]) for name in (b"labels", b"known"))
        rule = AnswerRule.of_json(json.loads(table.schema.metadata.get(b"rule", b"{}")))
        position = {label: index for index, label in enumerate(labels)}
        values, codes = distinct_values(table, "label")
        truth = np.array([position[value] for value in values], np.int32)[codes]
        probabilities = np.zeros((table.num_rows, len(labels)))
        probabilities[:, :known] = _read_probabilities(path, table.num_rows, len(saved))[:, :known]
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
        own = changed.probabilities(theirs)
        said = changed.answers(rule.predicted(theirs, changed.before), own)
        answers = self._answers(source, rows, own).by_rule(replace(rule, costs=None))
        return replace(answers, said=said, wholes=changed.wholes)


def kept_probabilities(answers: ClassAnswers) -> np.ndarray:
    """Returns what a file has of probabilities, float32 [rows, classes]; see `MOST_EXACT_CLASSES`.

    A sum over n classes is off by n / 2^21 at most. That of the true class stays as it is: log loss looks at it alone.
    """
    kept = answers.probabilities.astype(np.float32)
    if kept.shape[1] > MOST_EXACT_CLASSES:
        rows = np.arange(len(kept))
        of_true_class = kept[rows, answers.truth]
        kept = np.round(kept * STEPS) / np.float32(STEPS)
        kept[rows, answers.truth] = of_true_class
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


def _read_probabilities(path: Path, rows: int, labels: int) -> np.ndarray:
    """Returns float32 [rows, labels], read piece by piece."""
    probabilities = np.empty((rows, labels), np.float32)
    first = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_READ, columns=["probabilities"]):
            values = batch.column(0).flatten().to_numpy()
            probabilities[first : first + len(batch)] = values.reshape(-1, labels)
            first += len(batch)
    return probabilities


class ServedClassifier(Served):
    """Raw inputs → class probabilities and the most probable label, and how much of the input was read.

    Args:
        network: the one that training goes on from.
        others: earlier ones whose probabilities are added, each with its share; the rest is the network's.
        rule: which answers are given.
        unknown: scores inputs by what the head's dense layer reads; not with others, nor where the network has tasks.

    Attributes:
        serve: raw inputs [batch], and where the network has tasks each one's `task`, string [batch] → `probabilities`
            float32 [batch, classes], `label` string [batch], how much was read, where the network may abstain
            `abstained` bool [batch], and with `unknown` also `unknown_score` float32 and `unknown` bool [batch].
        alternatives: the same for other forms of raw inputs, by signature; none where the network has tasks.
    """

    def __init__(
        self,
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]] = (),
        rule: AnswerRule = ALWAYS,
        unknown: UnknownScore | None = None,
    ) -> None:
        super().__init__(network)
        self.unknown = unknown
        self.others = [weight.variable for other, _ in others for weight in other.named_weights()]
        every = [network, *(other for other, _ in others)]
        self.resources = [resource for model in every for resource in model.preprocess.resources]
        labels, spec = tf.constant(_served_labels(network)), network.preprocess.raw
        costs = None if rule.costs is None else tf.constant(rule.costs.matrix(network.labels), tf.float32)

        def decided(probabilities: tf.Tensor) -> tf.Tensor:
            """Returns the number of the most probable class, or of the one with the least expected cost."""
            if costs is None:
                return tf.argmax(probabilities, axis=1)
            return tf.argmin(tf.matmul(probabilities, costs), axis=1)

        # A function of its own, so that all signatures share one graph of the network.
        own = tf.function(lambda state: _answered(network, state, unknown), autograph=False)

        def answer(raw: Any, form: str = DEFAULT, further: State | None = None) -> dict[str, tf.Tensor]:
            state, read = network.preprocess.read(raw, form)
            probabilities, beside = own(state | (further or {}))
            if others:
                probabilities *= 1 - sum(share for _, share in others)
            for other, share in others:
                same = other.preprocess.settings == network.preprocess.settings
                new = len(network.labels) - len(other.labels)
                theirs = _probabilities(other, state if same else other.preprocess.read(raw, form)[0])
                probabilities += share * tf.pad(theirs, [[0, 0], [0, new]])
            said = decided(probabilities)
            beside |= _abstained(probabilities, said, rule)
            return {"probabilities": probabilities, "label": tf.gather(labels, said), **beside, **read}

        @tf.function(input_signature=[spec], autograph=False)
        def serve(raw: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(raw)

        @tf.function(input_signature=[spec, tf.TensorSpec([None], tf.string, name="task")], autograph=False)
        def serve_task(raw: tf.Tensor, task: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(raw, further={"task": _task_index(network.tasks, task)})

        def serving(form: str, spec: Any) -> Any:
            return tf.function(lambda raw: answer(raw, form), input_signature=[spec], autograph=False)

        self.serve = serve_task if network.tasks else serve
        alternatives = {} if network.tasks else network.preprocess.alternatives
        self.alternatives = {form: serving(form, spec) for form, (spec, _) in alternatives.items()}


def _abstained(probabilities: tf.Tensor, said: tf.Tensor, rule: AnswerRule) -> dict[str, tf.Tensor]:
    """Returns which rows are not answered, bool [batch], as an output; none where all are."""
    if rule.abstain_below is None:
        return {}
    return {ABSTAINED: tf.gather(probabilities, said, axis=1, batch_dims=1) < rule.abstain_below}


def _answered(
    network: BlockModel, state: State, unknown: UnknownScore | None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the probabilities of inputs, and what is said beside them."""
    if unknown is None:
        return _probabilities(network, state), {}
    last = network.run_blocks(state, 0, len(network.blocks))
    probabilities = tf.nn.softmax(network.run_head(last))
    return probabilities, unknown.outputs(network.read_by_head(last), probabilities)


def _probabilities(network: BlockModel, state: State) -> tf.Tensor:
    return tf.nn.softmax(network.possible(network(state, training=False), state))


def _served_labels(network: BlockModel) -> list[str]:
    """Returns what callers get as `label`: a class without the name of its task, which they have given."""
    if not network.tasks:
        return list(network.labels)
    return [label.removeprefix(f"{task}/") for label, task in zip(network.labels, network.label_tasks, strict=True)]


def _task_index(tasks: Sequence[str], names: tf.Tensor) -> tf.Tensor:
    """Returns the index of each name, int32 [batch]; a name that no task has is an error of the request."""
    same = names[:, tf.newaxis] == tf.constant(tasks)
    known = tf.debugging.Assert(
        tf.reduce_all(tf.reduce_any(same, axis=1)), [f"task: one of {', '.join(tasks)} expected; got", names]
    )
    with tf.control_dependencies([known]):
        return tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32)


def predict_exported(
    folder: Path, raw: Sequence[Any] | np.ndarray, tasks: Sequence[str] | None = None, batch_size: int = 64
) -> np.ndarray:
    """Returns the probabilities that an exported version gives, float64 [rows, classes].

    Args:
        folder: the version's.
        raw: inputs as a source gives them.
        tasks: the task of each, where the version has tasks.
        batch_size: how many at once.
    """

    def given(inputs: dict[str, tf.TensorSpec], batch: list[int]) -> dict[str, tf.Tensor]:
        spec = next(spec for name, spec in inputs.items() if name != "task")
        called = {spec.name: tf.constant([raw[index] for index in batch], spec.dtype)}
        return called if tasks is None else called | {"task": tf.constant([tasks[index] for index in batch])}

    order, answers = ask_in_batches(folder, DEFAULT, raw, batch_size, given)
    probabilities = np.concatenate([answer["probabilities"] for answer in answers]).astype(np.float64)
    return probabilities[np.argsort(order)]
