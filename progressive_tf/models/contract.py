"""What every builder promises, checked on small made-up inputs and said in words where it is broken."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.errors import ProgressiveError, listed
from progressive_tf.models.block_model import BlockModel, State, read_weights, set_classes
from progressive_tf.models.request import Request

LABELS = ("first", "second", "third")
# Float32 arithmetic in another order, as in another batch, gives other last digits.
TOLERANCE = 1e-4
LINES_SHOWN = 2  # of an error; Keras says in the first which layer it met it in


@dataclass(frozen=True)
class Check:
    """One promise, in words, and what is wrong, empty where nothing is."""

    promise: str
    broken: str


class BrokenError(Exception):
    """A promise is not kept; the message says how."""


def check_builder(build: Callable[[Request], BlockModel], request: Request) -> list[Check]:
    """Returns what a builder's network keeps and breaks of the block contract.

    The labels of the request are those of `LABELS`, or as many tags.
    """
    tf.keras.backend.experimental.enable_tf_random_generator()  # as in training: dropout draws from it
    network = build(request)
    subject = _Subject(build, request, network, network.preprocess.sample(np.random.default_rng(0)))
    checks = []
    for promise, check in _PROMISES:
        try:
            check(subject)
            broken = ""
        except (BrokenError, ProgressiveError) as error:
            broken = str(error)
        except Exception as error:  # of the builder's own code
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            broken = f"it failed with {type(error).__name__}: {' '.join(lines[:LINES_SHOWN])}"
        checks.append(Check(promise, broken))
    return checks


@dataclass(frozen=True)
class _Subject:
    build: Callable[[Request], BlockModel]
    request: Request
    network: BlockModel
    raw: Any

    def state(self, positions: Sequence[int] | None = None) -> State:
        """Returns the first state of some of the inputs, of all by default."""
        chosen = list(range(len(self.raw)) if positions is None else positions)
        state = dict(self.network.preprocess(self.network.preprocess.tensor([self.raw[index] for index in chosen])))
        return state | self.network.sample_targets(chosen)


def _structure(subject: _Subject) -> None:
    network = subject.network
    names = [layer.name for layer in [*network.blocks, network.head]]
    if not network.blocks:
        raise BrokenError("it has no block; put everything below the classes into blocks")
    if len(set(names)) < len(names):
        raise BrokenError(f"two of its blocks, or a block and the head, share a name: {listed(names)}")
    if network.labels != tuple(subject.request.labels):
        raise BrokenError(f"its labels are {list(network.labels)}; give it request.labels")
    held = {id(weight.variable) for weight in network.named_weights()}
    loose = [weight.name for weight in network.weights if id(weight) not in held]
    if loose:
        raise BrokenError(f"{loose[0]} belongs to no block and not to the head, so no stage can train or save it")


def _preprocessing(subject: _Subject) -> None:
    preprocess = subject.network.preprocess
    state = subject.state()
    encoded = preprocess.encode(subject.raw)
    for row, positions in enumerate(encoded):
        if positions.shape[1:] != tuple(preprocess.position_shape):
            raise BrokenError(
                f"encode gives {positions.shape[1:]} a position; position_shape says {preprocess.position_shape}"
            )
        same = np.array_equal(state["inputs"][row][: len(positions)].numpy(), positions.astype(preprocess.input_type))
        if not same or state["mask"][row].numpy().sum() != len(positions):
            raise BrokenError("encode and call give different inputs for the same raw input, so serving would differ")


def _states(subject: _Subject) -> None:
    network, state = subject.network, subject.state()
    length = int(state["mask"].shape[1])
    for depth, block in enumerate(network.blocks[: network.deepest_cut], start=1):
        state = block(state)
        if set(state) - set(network.target_spec) != {"hidden", "mask"}:
            raise BrokenError(f"after block {block.name} the state has {sorted(state)}; expected hidden and mask")
        expected = (len(subject.raw), network.positions(depth, length), block.width)
        if tuple(state["hidden"].shape) != expected:
            raise BrokenError(
                f"block {block.name} gives hidden {tuple(state['hidden'].shape)}; its positions() and width say "
                f"{expected}"
            )
        if tuple(state["mask"].shape) != expected[:2]:
            raise BrokenError(f"block {block.name} gives a mask {tuple(state['mask'].shape)}; expected {expected[:2]}")
    logits, shape = network(state, first_block=network.deepest_cut), network.logits_shape(subject.state())
    if tuple(logits.shape) != shape:
        raise BrokenError(f"the head gives {tuple(logits.shape)}; expected {shape}")


def _cutting(subject: _Subject) -> None:
    network, state = subject.network, subject.state()
    whole = network(state)
    for depth in range(1, network.deepest_cut + 1):
        kept = network.run_blocks(state, 0, depth)
        kept = {name: tf.constant(value.numpy()) for name, value in kept.items()}
        if not np.allclose(network(kept, first_block=depth), whole, atol=TOLERANCE):
            raise BrokenError(
                f"going on from the kept output of block {network.blocks[depth - 1].name} gives other logits"
            )


def _independence(subject: _Subject) -> None:
    together = subject.network(subject.state()).numpy()
    for index in range(len(subject.raw)):
        alone = subject.network(subject.state([index])).numpy()[0]
        if not np.allclose(alone, together[index, : len(alone)], atol=TOLERANCE):
            raise BrokenError(
                "in inference an example's logits depend on the other examples of its batch, or on how far it is "
                "padded; use `training` for what only training does, and the mask"
            )


def _graph(subject: _Subject) -> None:
    network = subject.network
    spec = network.preprocess.state_spec() | dict(network.target_spec)
    traced = tf.function(lambda state: network(state), autograph=False, input_signature=[spec])
    if not np.allclose(traced(subject.state()), network(subject.state()), atol=TOLERANCE):
        raise BrokenError("in a graph it gives other logits than without one")


def _seeds(subject: _Subject) -> None:
    def weights(request: Request) -> dict[str, np.ndarray]:
        return read_weights(subject.build(request).named_weights())

    first, again = weights(subject.request), weights(subject.request)
    if list(first) != list(again) or any(not np.array_equal(first[name], again[name]) for name in first):
        raise BrokenError(
            "built twice with the same seed it has other weights; derive every initial value from request.seed"
        )
    other = weights(replace(subject.request, seed=subject.request.seed + 1))
    if all(np.array_equal(first[name], other[name]) for name in first):
        raise BrokenError("another seed gives the same weights; derive initial values from request.seed")


def _gradients(subject: _Subject) -> None:
    network, state = subject.network, subject.state()
    trained = [weight for weight in network.named_weights() if weight.variable.trainable]
    with tf.GradientTape() as tape:
        loss = network.sample_loss(network(state, training=True), state)
    gradients = tape.gradient(loss, [weight.variable for weight in trained])
    missing = [weight.name for weight, gradient in zip(trained, gradients, strict=True) if gradient is None]
    if missing:
        raise BrokenError(f"no gradient reaches {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}")


def _frozen(subject: _Subject) -> None:
    network = subject.network
    before = read_weights(network.named_weights())
    network(subject.state(), training=False)
    after = read_weights(network.named_weights())
    changed = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    if changed:
        raise BrokenError(f"inference changes {changed[0]}; frozen blocks must stay as they are")


def _growth(subject: _Subject) -> None:
    network = subject.build(subject.request)
    if not network.grows:
        return
    before = network(subject.state()).numpy()
    set_classes(network, [*LABELS, "fourth"], [], subject.request.seed)
    after = network(subject.state()).numpy()
    if after.shape[1] != len(LABELS) + 1 or not np.array_equal(after[:, : len(LABELS)], before):
        raise BrokenError("with a class more, the logits of the others change; use ClassificationHead")


def _export(subject: _Subject) -> None:
    network, preprocess = subject.network, subject.network.preprocess
    served = tf.Module()
    served.stored = [weight.variable for weight in network.named_weights()]
    served.resources = list(preprocess.resources)

    def answer(raw: tf.Tensor) -> tf.Tensor:
        return network.probabilities(preprocess(raw))

    served.serve = tf.function(answer, input_signature=[preprocess.raw], autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(served, folder)
        loaded: Any = tf.saved_model.load(folder)
        raw = preprocess.tensor(subject.raw)
        if not np.allclose(loaded.serve(raw), answer(raw), atol=TOLERANCE):
            raise BrokenError("exported and loaded again it gives other probabilities")


_PROMISES: Sequence[tuple[str, Callable[[_Subject], None]]] = (
    ("every weight belongs to one named block or to the head", _structure),
    ("raw inputs become the same states in Python and in the graph", _preprocessing),
    ("every block gives the positions and the width that it says", _states),
    ("the network can be cut after any block", _cutting),
    ("in inference examples do not depend on one another", _independence),
    ("inference changes no weight", _frozen),
    ("it can be traced without AutoGraph", _graph),
    ("the same seed gives the same weights, another one others", _seeds),
    ("gradients reach every trainable weight", _gradients),
    ("new classes leave the old ones as they are", _growth),
    ("it can be exported and loaded", _export),
)
