"""What every kind of answer does with a network: see `classes`, `tags` and `texts` for those there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import tensorflow as tf

from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.methods import Cache
from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.objectives import Objective
from progressive_tf.training.fitting.unknown_scores import UnknownScore
from progressive_tf.training.prefix.outputs import PrefixOutputs

if TYPE_CHECKING:
    from progressive_tf.training.answers.features import Features

KEYS = ("part", "slice", "source")
FIRST_FIELDS = [(name, pa.string()) for name in KEYS] + [(name, pa.int64()) for name in ("index", "row")]
# Signatures of versions, and outputs: a text was written to its end, and a row is not answered.
DEFAULT, GENERATE, TOKENS, IS_WHOLE, ABSTAINED = "serving_default", "generate", "tokens", "is_whole", "abstained"


class Served(tf.Module):
    """A network as a version serves it.

    Args:
        network: any.

    Attributes:
        serve: the function of the default signature.
        alternatives: those of further signatures, by name.
    """

    serve: Any
    alternatives: Mapping[str, Any]

    def __init__(self, network: BlockModel) -> None:
        super().__init__()
        # The variables alone are tracked: saving the Keras layers too would trace every one of them.
        self.stored = [weight.variable for weight in network.named_weights()]
        self.resources = list(network.preprocess.resources)


class ServedNetwork(Served):
    """Raw inputs, in every form that a network takes → its answer, and how much was read.

    Args:
        network: any.
        answer: the first state of a batch → outputs by name, [batch, …] each.
    """

    def __init__(self, network: BlockModel, answer: Callable[[State], dict[str, tf.Tensor]]) -> None:
        super().__init__(network)
        own = tf.function(answer, autograph=False)  # so that all signatures share one graph of the network

        def serving(form: str, spec: Any) -> Any:
            def outputs(raw: Any) -> dict[str, tf.Tensor]:
                state, read = network.preprocess.read(raw, form)
                return own(state) | read

            return tf.function(outputs, input_signature=[spec], autograph=False)

        self.serve = serving(DEFAULT, network.preprocess.raw)
        self.alternatives = {form: serving(form, spec) for form, (spec, _) in network.preprocess.alternatives.items()}


@dataclass(frozen=True)
class Chunk:
    """Some rows of a slice, about to be written.

    Attributes:
        part: `gate`, `test` or `validation`.
        source: where the rows stand.
        all_rows: int64 [rows of the slice], indices into it.
        all_answers: to all rows of the slice.
        positions: int64 [n], which of them.
    """

    part: str
    source: Source
    all_rows: np.ndarray
    all_answers: Any
    positions: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Their indices into the source, int64 [n]."""
        return self.all_rows[self.positions]

    @property
    def answers(self) -> Any:
        """The answers to them."""
        return self.all_answers.take(self.positions)


class Answering(ABC):
    """How a network learns and gives one kind of answer, for all rows of a run.

    Args:
        features: of the run's network.

    Attributes:
        kind: of the answers.
        learns_from_states: whether what is to be learnt stands in the states of examples instead of their labels.
    """

    kind: ClassVar[AnswerKind]
    learns_from_states: ClassVar[bool] = False

    def __init__(self, features: Features) -> None:
        self.features = features

    # How it is learnt.

    def inputs(self, source: Source) -> InputStore:
        """Returns where encoded rows of a source are kept, with none in it yet."""
        return InputStore(len(source.rows), source.inputs, self.features.network.preprocess)

    def examples(
        self, source: str, inputs: InputStore, rows: np.ndarray, prefix: Callable[[np.ndarray], PrefixOutputs | None]
    ) -> Examples:
        """Returns rows with what is to be learnt of them.

        Args:
            source: its name.
            inputs: its encoded rows; every row of `rows` has been added.
            rows: int64 [n] indices into it.
            prefix: numbers of encoded rows → the outputs of frozen blocks for them, None where no block is frozen.
        """
        return Examples(inputs, rows, self.features.classes.codes[source][rows], prefix(rows))

    @abstractmethod
    def objective(self, stage: Stage, frozen_depth: int) -> Objective:
        """Returns what training minimises.

        Args:
            stage: the plan's section.
            frozen_depth: how many leading blocks do not move.
        """

    def log_likelihood(self, first_block: int) -> Callable[[State], tf.Tensor] | None:
        """Returns what gives the log likelihood of all that is true of an example; None where that is its class."""
        return None

    def check(self, plan: Plan, data: PlanData) -> None:  # noqa: B027 (most kinds have nothing to check)
        """Raises InputError where a network cannot learn what is true of some row that a plan uses."""

    @staticmethod
    def target_positions(network: BlockModel, source: Source, rows: np.ndarray) -> int:
        """Returns the mean positions of what is expected for rows; 0 where that has none."""
        return 0

    # How it is given.

    def predict(
        self,
        source: str,
        rows: np.ndarray,
        depth: int,
        cache: Cache,
        before: tuple[AnswerRule, LabelMap] | None = None,
    ) -> Answers:
        """Returns the answers to rows at the network's present weights, beside what is true.

        Args:
            source: its name.
            rows: int64 [n] indices into it.
            depth: how many leading blocks are frozen.
            cache: how their outputs are kept.
            before: see `predict_before`, where the network has earlier labels; None where it has those of now.
        """
        examples = self.features.examples(source, rows, depth, cache)
        if before is None:
            answers = self.answer(source, rows, examples)
        else:
            answers = self.predict_before(source, rows, examples, before)
        return in_groups_of(answers, self.features.sources[source], rows)

    @abstractmethod
    def answer(self, source: str, rows: np.ndarray, examples: Examples) -> Answers:
        """Returns the answers to rows at the network's present weights, beside what is true.

        Args:
            source: its name.
            rows: int64 [n] indices into it.
            examples: of these rows.
        """

    def predict_before(
        self, source: str, rows: np.ndarray, examples: Examples, read: tuple[AnswerRule, LabelMap]
    ) -> Answers:
        """Returns the answers at the weights of a stage whose labels were others, in those that there are now.

        Args:
            source: its name.
            rows: int64 [n] indices into it.
            examples: of these rows.
            read: which answers the stage gives, and what became of its labels.
        """
        raise NotImplementedError(f"labels of {self.kind.name} do not change")

    # How it is saved.

    @property
    def repeated(self) -> tuple[str, ...]:
        """Columns of a file of predictions in which the same values come again and again."""
        return KEYS

    @abstractmethod
    def schema(self, answers: Sequence[Answers], sources: Sequence[Source]) -> pa.Schema:
        """Returns the columns of a file of predictions, `FIRST_FIELDS` first, with its metadata.

        Args:
            answers: of each slice that is written.
            sources: of each.
        """

    @abstractmethod
    def columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Returns the columns of some rows behind `FIRST_FIELDS`."""

    @staticmethod
    @abstractmethod
    def read(path: Path, data: PlanData) -> Answers:
        """Returns the answers to all rows of a file of predictions, in its order."""

    # How it is exported.

    @staticmethod
    @abstractmethod
    def exported(
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]],
        rule: AnswerRule,
        unknown: UnknownScore | None = None,
    ) -> Served:
        """Returns the network as what a version serves.

        Args:
            network: the one that training goes on from.
            others: earlier networks of an ensemble, each with its share; none where answers cannot be averaged.
            rule: which answers are given; always all of them but for classes.
            unknown: says which inputs are unknown; None where that is not asked, or answers are no classes.
        """

    @abstractmethod
    def ask(self, folder: Path, source: str, rows: np.ndarray, changed: LabelMap | None = None) -> Answers:
        """Returns the answers that an exported version gives to rows, beside what is true.

        Args:
            folder: the version's, which answers as this network does.
            source: its name.
            rows: int64 [n] indices into it.
            changed: from its labels to those of the run, where classes are called otherwise; None where they are not.
        """


def in_groups_of(answers: Answers, source: Source, rows: np.ndarray) -> Answers:
    """Returns answers to rows of a source with the group of each row; as they are where the source has no groups."""
    return answers if source.groups is None else answers.in_groups(source.groups[rows])


def distinct_values(table: pa.Table, name: str) -> tuple[list[str], np.ndarray]:
    """Returns a column's distinct values, and for each row the position of its own among them.

    Args:
        table: read with a dictionary for the column, the same for all of its chunks.
        name: of the column.
    """
    chunks = table.column(name).chunks
    values = chunks[0].dictionary.to_pylist() if chunks else []
    return values, np.concatenate([np.zeros(0, np.int32), *(chunk.indices.to_numpy() for chunk in chunks)])


def load_exported(folder: Path) -> Any:
    """Returns a version's SavedModel on one device, wherever the caller divides batches over several.

    In the scope of a strategy TensorFlow would load its tables as distributed ones, which answer inside replicas
    alone. A thread of its own is in no scope.

    Args:
        folder: the version's.
    """
    with ThreadPoolExecutor(1) as outside:
        return outside.submit(tf.saved_model.load, str(folder)).result()


def ask_in_batches(
    folder: Path, signature: str, raw: Sequence[Any] | np.ndarray, batch_size: int, given: Callable[..., Any]
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """Asks an exported version, inputs of about the same length together.

    Args:
        folder: the version's.
        signature: its name.
        raw: inputs, each with a length.
        batch_size: how many at once.
        given: (the signature's inputs by name, positions of a batch) → what it is called with.

    Returns:
        The positions of all inputs in the order in which they were asked, and the outputs of each batch.
    """
    function = load_exported(folder).signatures[signature]
    order = np.array(sorted(range(len(raw)), key=lambda index: len(raw[index])), np.int64)
    answers = []
    for begin in range(0, len(order), batch_size):
        inputs = given(function.structured_input_signature[1], order[begin : begin + batch_size].tolist())
        answers.append({name: value.numpy() for name, value in function(**inputs).items()})
    return order, answers


class TokenAnswering(Answering):
    """Answers of which an example has many: the tags of its words, the tokens of its text."""

    learns_from_states = True

    @property
    @abstractmethod
    def likelihood(self) -> Objective:
        """What is minimised where the likelihood of what is true is maximised, whatever a plan's loss is."""

    def log_likelihood(self, first_block: int) -> Callable[[State], tf.Tensor]:
        """Returns what gives the log likelihood of all tags, or tokens, of an example."""
        network, objective = self.features.network, self.likelihood
        return lambda state: (
            -objective.judged(network, state, objective.outputs(network, state, first_block, training=False))[:, 0]
        )
