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
from progressive_tf.models.preprocessing.images import ImagePreprocessing
from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.models.preprocessing.words import SentencePreprocessing
from progressive_tf.models.preprocessing.written import TextToTextPreprocessing
from progressive_tf.models.request import Request
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.models.t5.translator import Translator

LABELS = ("first", "second", "third")
# Float32 arithmetic in another order, as in another batch, gives other last digits.
TOLERANCE = 1e-4
LINES_SHOWN = 2  # of an error; Keras says in the first which layer it met it in
TEXTS = ("good", "bad and long and bad again", "so so", "nothing here is good at all", "a", "fine")


@dataclass(frozen=True)
class Check:
    """One promise.

    Attributes:
        promise: in words.
        broken: what is wrong, empty where nothing is.
    """

    promise: str
    broken: str


class BrokenError(Exception):
    """A promise is not kept; the message says how."""


def check_builder(build: Callable[[Request], BlockModel], request: Request) -> list[Check]:
    """Returns what a builder's network keeps and breaks of the block contract.

    Args:
        build: the builder.
        request: what it is asked for; its labels are those of `LABELS`, or as many tags.
    """
    tf.keras.backend.experimental.enable_tf_random_generator()  # as in training: dropout draws from it
    network = build(request)
    raw = raw_inputs(network)
    checks = []
    for promise, check in _PROMISES:
        try:
            check(_Subject(build, request, network, raw))
            broken = ""
        except BrokenError as error:
            broken = str(error)
        except ProgressiveError as error:
            broken = str(error)
        except Exception as error:  # of the builder's own code
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            broken = f"it failed with {type(error).__name__}: {' '.join(lines[:LINES_SHOWN])}"
        checks.append(Check(promise, broken))
    return checks


def raw_inputs(network: BlockModel) -> Any:
    """Returns six inputs as a source gives them: texts, images of different sizes, rows of a table or of numbers."""
    generator = np.random.default_rng(0)
    if isinstance(network.preprocess, TextPreprocessing | TextToTextPreprocessing):
        return list(TEXTS)
    if isinstance(network.preprocess, SentencePreprocessing):
        return [text.split() for text in TEXTS]
    if isinstance(network.preprocess, ImagePreprocessing):
        sides = generator.integers(9, 60, [len(TEXTS), 2])
        pixels = [generator.integers(0, 256, [*side, 3]).astype(np.uint8) for side in sides]
        return [tf.io.encode_png(each).numpy() for each in pixels]
    if network.preprocess.columns:
        cells = ["0.5", "", "unseen", "-3e2", *(word for words in _vocabularies(network) for word in words[:2])]
        return generator.choice(cells, [len(TEXTS), len(network.preprocess.columns)]).tolist()
    return generator.normal(size=[len(TEXTS), network.preprocess.raw.shape[1]]).astype(np.float32)


def _vocabularies(network: BlockModel) -> Sequence[Sequence[str]]:
    statistics = network.preprocess.statistics
    return statistics.vocabularies if statistics is not None else ()


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
        if self.writes:
            state[TARGET] = tf.constant(np.array([[3 + index, 4, 5, 1] for index in chosen], np.int32))
        return state

    @property
    def writes(self) -> bool:
        """Whether the network writes texts; what is expected then stands in the states."""
        return isinstance(self.network, Translator)


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
    beside = {TARGET} & set(state)
    for depth, block in enumerate(network.blocks[: network.deepest_cut], start=1):
        state = block(state)
        if set(state) - beside != {"hidden", "mask"}:
            raise BrokenError(f"after block {block.name} the state has {sorted(state)}; expected hidden and mask")
        expected = (len(subject.raw), network.positions(depth, length), block.width)
        if tuple(state["hidden"].shape) != expected:
            raise BrokenError(
                f"block {block.name} gives hidden {tuple(state['hidden'].shape)}; its positions() and width say "
                f"{expected}"
            )
        if tuple(state["mask"].shape) != expected[:2]:
            raise BrokenError(f"block {block.name} gives a mask {tuple(state['mask'].shape)}; expected {expected[:2]}")
    logits = network(state, first_block=network.deepest_cut)
    positions = (length,) if network.tags_words else ()
    if subject.writes:
        expected = (len(subject.raw), state[TARGET].shape[1], network.preprocess.tokens.count)
    else:
        expected = (len(subject.raw), *positions, len(LABELS))
    if tuple(logits.shape) != expected:
        raise BrokenError(f"the head gives {tuple(logits.shape)}; expected {expected}")


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
        same = together[index, : len(alone)] if subject.network.tags_words else together[index]
        if not np.allclose(alone, same, atol=TOLERANCE):
            raise BrokenError(
                "in inference an example's logits depend on the other examples of its batch, or on how far it is "
                "padded; use `training` for what only training does, and the mask"
            )


def _graph(subject: _Subject) -> None:
    network = subject.network
    spec = network.preprocess.state_spec()
    if subject.writes:
        spec[TARGET] = tf.TensorSpec([None, None], tf.int32)
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
        logits = network(state, training=True)
        if network.tags_words:
            lengths = tf.cast(tf.reduce_sum(state["mask"], axis=1), tf.int32)
            tags = tf.zeros(tf.shape(logits)[:2], tf.int32)
            loss = -tf.reduce_mean(network.head.crf.log_likelihood(logits, tags, lengths))
        elif subject.writes:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(state[TARGET], logits))
        else:
            classes = np.arange(len(subject.raw)) % len(LABELS)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))
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
    if network.tags_words or subject.writes:
        return  # the tags of a plan are the same in every stage, and so are the tokens of texts
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
        state = preprocess(raw)
        return network.write(state)["confidence"] if subject.writes else tf.nn.softmax(network(state))

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
