"""The block contract: in-graph preprocessing, ordered blocks, a head."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.heads import INITIAL_SPREAD, ClassificationHead
from progressive_tf.models.preprocessing.base import Preprocessing
from progressive_tf.models.projection import AddedBlock, Addition, Block, Projection
from progressive_tf.plan.metric_names import CLASSES
from progressive_tf.seeds import derive_seed

State = dict[str, tf.Tensor]
IMPOSSIBLE = -1e9  # a logit whose softmax is zero


@dataclass(frozen=True, eq=False)
class NamedWeight:
    """A variable under a name that does not depend on when or where the network was built."""

    name: str
    variable: tf.Variable

    def __eq__(self, other: object) -> bool:
        # Of two variables, `==` compares the values.
        return isinstance(other, NamedWeight) and self.name == other.name and self.variable is other.variable

    def __hash__(self) -> int:
        return hash((self.name, id(self.variable)))


class BlockModel(tf.keras.Model):
    """A network that can be cut between any two of its blocks.

    A state is a dict of tensors with the batch first. `preprocess` turns raw inputs into the first state, every block
    turns a state into the next, the head turns the last into logits. Entries have a length axis after the batch, padded
    where `mask` (float32 [batch, length]) is 0; between blocks the state is `hidden` and `mask`. Positions that a block
    adds stand in front; the head does not see them. What else stands in the first state, such as each example's `task`,
    blocks leave out.

    All of it is traced without AutoGraph: what depends on the values of tensors is decided by `tf.cond`.

    Args:
        preprocess: raw inputs [batch] → state; runs inside an exported graph.
        blocks: first to last; their names must differ.
        head: layer with `call(state, training) -> logits float32 [batch, classes]`; a tagger's gives logits of tags at
            every position, [batch, length, tags].
        labels: class names, or tags, in the order of the logits.
        settings: what the blocks compute beside their weights (activation, number of heads, …), as JSON text.

    Attributes:
        answers: the kind of answer that it gives, as in `AnswerKind.name`.
        grows: whether `set_classes` can give it other classes.
        target_spec: what stands in a state beside the input where there is something to learn.
    """

    answers = CLASSES.name
    grows = True
    target_spec: Mapping[str, tf.TensorSpec] = MappingProxyType({})

    def __init__(
        self,
        preprocess: Preprocessing,
        blocks: Sequence[Block],
        head: tf.keras.layers.Layer,
        labels: Sequence[str],
        settings: str = "{}",
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.own_blocks = list(blocks)
        self.blocks = list(blocks)
        self.head = head
        self.labels = tuple(labels)
        self.label_tasks: tuple[str, ...] = ()
        self.settings = settings

    def run_blocks(self, state: State, first: int, last: int, training: bool = False) -> State:
        """Returns the state after blocks `first` … `last - 1`, given the state before block `first`."""
        for block in self.blocks[first:last]:
            state = block(state, training=training)
        return state

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that its classes belong to; empty where all classes are one task's."""
        return tuple(dict.fromkeys(self.label_tasks))

    def call(self, state: State, training: bool = False, first_block: int = 0) -> tf.Tensor:
        """Returns logits of every class, float32 [batch, classes].

        Args:
            state: the state before block `first_block`.
            training: whether dropout is on; blocks that are frozen run before, without it.
            first_block: the block to start from.
        """
        return self.run_head(self.run_blocks(state, first_block, len(self.blocks), training), training)

    def run_head(self, state: State, training: bool = False) -> tf.Tensor:
        """Returns logits, float32 [batch, classes], given the state after the last block."""
        return self.head(self.without_added_positions(state), training=training)

    @property
    def has_linear_head(self) -> bool:
        """Whether the logits are one dense layer of what `read_by_head` gives."""
        return isinstance(self.head, ClassificationHead) and type(self.head).call is ClassificationHead.call

    def read_by_head(self, state: State) -> tf.Tensor:
        """Returns what the dense layer of a linear head reads, float32 [batch, width], after the last block."""
        return self.head.pooled(self.without_added_positions(state))

    def possible(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        """Returns logits [batch, classes] that leave classes of other tasks than an example's own no probability.

        The state has `task` int32 [batch], indices into `tasks`, where the network has tasks.
        """
        if not self.label_tasks:
            return logits
        tasks = self.tasks
        of_task = tf.constant([[own == task for own in self.label_tasks] for task in tasks])
        return tf.where(tf.gather(of_task, state["task"]), logits, IMPOSSIBLE)

    def logits_shape(self, state: State) -> tuple[int, ...]:
        """Returns the shape that the logits of a first state have."""
        return int(state["mask"].shape[0]), len(self.labels)

    def sample_targets(self, rows: Sequence[int]) -> State:
        """Returns made-up entries of `target_spec` for rows of the `Preprocessing.sample`, by their index."""
        return {}

    def sample_loss(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        """Returns a loss of made-up answers that depends on every weight, a scalar; for the contract's check."""
        classes = tf.range(tf.shape(logits)[0]) % len(self.labels)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))

    def probabilities(self, state: State) -> tf.Tensor:
        """Returns how sure it is of its answers to a first state, float32 [batch, …]."""
        return tf.nn.softmax(self(state))

    def without_added_positions(self, state: State) -> State:
        """Returns the state after the last block without the positions that blocks have put in front."""
        added = self.added_positions(len(self.blocks))
        return {key: value[:, added:] for key, value in state.items()} if added else state

    @property
    def size(self) -> int:
        """How many numbers all of its weights have."""
        return sum(math.prod(weight.variable.shape) for weight in self.named_weights())

    @property
    def choices(self) -> int:
        """How many classes, or tags, there are to choose from; a network that knows nothing has log choices as loss."""
        return len(self.labels)

    @property
    def head_shares_embeddings(self) -> bool:
        """Whether the head's matrix belongs to a block."""
        return False

    @property
    def deepest_cut(self) -> int:
        """How many leading blocks depend on the input alone, so that their outputs can be kept."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Numbers per position in the state after the last block."""
        return self.blocks[-1].width

    def positions(self, depth: int, length: int) -> int:
        """Returns the positions after the first `depth` blocks of an example that has `length` to begin with."""
        for block in self.blocks[:depth]:
            length = block.positions(length)
        return length

    def added_positions(self, depth: int) -> int:
        """Returns how many positions the first `depth` blocks put in front of an example's own."""
        return sum(block.added_positions for block in self.blocks[:depth])

    def weights_of_blocks(self, depth: int) -> list[NamedWeight]:
        """Returns the weights of the first `depth` blocks."""
        return [weight for block in self.blocks[:depth] for weight in named_weights(block)]

    def named_weights(self) -> list[NamedWeight]:
        """Returns every weight, blocks first, then the head."""
        return [*self.weights_of_blocks(len(self.blocks)), *named_weights(self.head)]

    def additions(self, depth: int | None = None) -> list[dict[str, Any]]:
        """Returns what methods have added to the first `depth` blocks, all by default.

        Each is JSON-like: `kind`, `settings`, and `block` with `projection`, or the `index` of an added block.
        """
        described: list[dict[str, Any]] = []
        for index, block in enumerate(self.blocks[:depth]):
            if isinstance(block, AddedBlock):
                described.append({"kind": block.kind, "index": index, "settings": block.settings})
            for projection in block.projections:
                place = {"block": block.name, "projection": projection.name}
                described += [{"kind": one.kind, **place, "settings": one.settings} for one in projection.additions]
        return described

    def placed_additions(self) -> Iterator[tuple[Projection, Addition]]:
        """Yields every addition with the projection it belongs to."""
        for block in self.blocks:
            for projection in block.projections:
                for addition in projection.additions:
                    yield projection, addition

    def depth_below(self, own_blocks: int) -> int:
        """Returns how many leading blocks stand below the last `own_blocks` that the network was built with."""
        return self.blocks.index(self.own_blocks[-own_blocks]) if own_blocks else len(self.blocks)

    def insert_block(self, index: int, block: AddedBlock) -> None:
        """Puts a block before the one that has this index."""
        self.blocks = [*self.blocks[:index], block, *self.blocks[index:]]

    def remove_additions(self) -> None:
        """Takes everything away that methods have added."""
        self.blocks = list(self.own_blocks)
        for block in self.blocks:
            for projection in block.projections:
                projection.additions = []


def named_weights(layer: tf.keras.layers.Layer) -> list[NamedWeight]:
    """Returns a block's or head's weights.

    Its own are named `<layer>/<what follows their common prefix>`, those of additions
    `<layer>/<projection>/<kind>/<weight>`.
    """
    projections = layer.projections if isinstance(layer, Block) else []
    placed = [(projection, addition) for projection in projections for addition in projection.additions]
    added = [
        NamedWeight(f"{layer.name}/{projection.name}/{addition.kind}/{_path(variable).rpartition('/')[2]}", variable)
        for projection, addition in placed
        for variable in addition.weights
    ]
    others = {id(weight.variable) for weight in added}
    own = [variable for variable in layer.weights if id(variable) not in others]
    folder = os.path.commonpath([os.path.dirname(_path(variable)) for variable in own])
    named = [NamedWeight(f"{layer.name}/{_path(variable)[len(folder) :].lstrip('/')}", variable) for variable in own]
    names = [weight.name for weight in [*named, *added]]
    if len(set(names)) < len(names):
        raise ValueError(f"layer {layer.name}: two weights share a name among {names}")
    return [*named, *added]


def _path(variable: tf.Variable) -> str:
    return variable.name.split(":")[0]


def read_weights(weights: Sequence[NamedWeight]) -> dict[str, np.ndarray]:
    """Returns the values of weights by name."""
    return {weight.name: weight.variable.numpy() for weight in weights}


def weights_sha256(weights: Sequence[NamedWeight]) -> str:
    """Returns the hex SHA-256 of names, shapes and values."""
    digest = hashlib.sha256()
    for weight in weights:
        value = np.ascontiguousarray(weight.variable.numpy())
        digest.update(f"{weight.name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def assign_weights(weights: Sequence[NamedWeight], values: dict[str, np.ndarray]) -> None:
    """Assigns values by name to those of the weights that `values` has; raises ValueError for a name that is not among
    the weights, or another shape.
    """
    variables = {weight.name: weight.variable for weight in weights}
    for name, value in values.items():
        if name not in variables:
            raise ValueError(f"weight {name} is not in this network")
        if tuple(variables[name].shape) != value.shape:
            raise ValueError(f"weight {name} has shape {tuple(variables[name].shape)} here, {value.shape} there")
        variables[name].assign(value)


def set_classes(network: BlockModel, labels: Sequence[str], label_tasks: Sequence[str], seed: int) -> None:
    """Gives a network exactly these classes; those it had before keep the values of their outputs, bit for bit.

    Args:
        network: changed in place; its classes are the first of `labels`, or the other way round.
        labels: class names in the order of the logits.
        label_tasks: the task of each, or none.
        seed: the plan's seed; each new class starts from weights of its own, whatever other classes come with it.

    Raises:
        ValueError: classes that are not the network's with others behind them, or some of the network's first.
    """
    shared = min(len(labels), len(network.labels))
    if tuple(labels[:shared]) != network.labels[:shared]:
        raise ValueError(f"classes {list(labels)} asked; the network has {list(network.labels)}, in this order")
    network.label_tasks = tuple(label_tasks)
    if len(labels) == len(network.labels):
        return
    kernel, bias = (weight.numpy() for weight in network.head.dense.weights)
    columns = [kernel[:, :shared], *(_initial_column(len(kernel), label, seed) for label in labels[shared:])]
    values = [np.concatenate(columns, axis=1), np.pad(bias[:shared], (0, len(labels) - shared))]
    replace_classes(network, labels, *values)


def replace_classes(network: BlockModel, labels: Sequence[str], kernel: np.ndarray, bias: np.ndarray) -> None:
    """Gives a network whose head is one dense layer these classes in place of those it has.

    Args:
        network: changed in place.
        labels: class names in the order of the logits.
        kernel: float32 [width, classes].
        bias: float32 [classes].
    """
    network.head.resize(len(labels))
    network.head.dense.set_weights([kernel, bias])
    network.labels = tuple(labels)


def _initial_column(width: int, label: str, seed: int) -> np.ndarray:
    initializer = tf.keras.initializers.TruncatedNormal(
        stddev=INITIAL_SPREAD, seed=derive_seed(seed, "initialisation", "head", label)
    )
    return initializer([width, 1]).numpy()
