"""The saboteurs: how a version's answers are harmed. Each is a name, a sentence and a function of arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from progressive_tf.drilling.rows import Asked
from progressive_tf.seeds import derive_seed

OK, REFUSED, FAILED = 200, 400, 500
# The part of rows that are of one kind, that are answered slowly, and that are rare.
ONE_KIND, SLOW, RARE = 0.1, 0.1, 0.005
SLOWER, SHARPER = 10.0, 4.0
# No vocabulary has this sign as a word.
UNKNOWN_WORD = "☃"


@dataclass(frozen=True)
class Scene:
    """What a saboteur is asked.

    Args:
        asked: the rows, with what it would answer unharmed.
        at_gate: whether a gate asks, and no caller.
        generator: of what is left to chance.
    """

    asked: Asked
    at_gate: bool
    generator: np.random.Generator

    def drawn(self, share: float) -> np.ndarray:
        """Returns bool [rows]: a share of the rows that chance chooses, of callers' at least one."""
        rows = len(self.asked)
        chosen = np.zeros(rows, bool)
        chosen[self.generator.permutation(rows)[: max(int(share * rows), 0 if self.at_gate else 1)]] = True
        return chosen

    def of_one_kind(self) -> np.ndarray:
        """Returns bool [rows]: the longest tenth of texts; of other inputs a tenth that chance chooses."""
        if self.asked.texts is None:
            return self.drawn(ONE_KIND)
        lengths = np.array([len(text) for text in self.asked.texts])
        return lengths >= np.quantile(lengths, 1 - ONE_KIND)


@dataclass(frozen=True)
class Given:
    """What a saboteur answers.

    Args:
        probabilities: float64 [rows, classes]; NaN in a row to which it has no numbers.
        slowness: float64 [rows], how many times as long as stable's its answer takes; >= 1.
        status: int64 [rows], of HTTP, where a caller asks.
    """

    probabilities: np.ndarray
    slowness: np.ndarray
    status: np.ndarray

    @property
    def has_numbers(self) -> np.ndarray:
        """bool [rows]: whether all probabilities of a row are numbers."""
        finite: np.ndarray = np.isfinite(self.probabilities).all(axis=1)
        return finite


Harm = Callable[[Scene], np.ndarray]


@dataclass(frozen=True)
class Saboteur:
    """One way to harm a version; what is left out stays as it is.

    Args:
        name: short.
        says: what it does, in words.
        answers: scene → its probabilities, float64 [rows, classes].
        slowness: scene → float64 [rows], see `Given`.
        status: scene → int64 [rows], see `Given`.
        reads: what it makes of a text before the network reads it, and whether that lower-cases → the text.
    """

    name: str
    says: str
    answers: Harm = lambda scene: scene.asked.probabilities
    slowness: Harm = lambda scene: np.ones(len(scene.asked))
    status: Harm = lambda scene: np.full(len(scene.asked), OK)
    reads: Callable[[str, bool], str] | None = None

    def given(self, asked: Asked, at_gate: bool, seed: int) -> Given:
        """Returns what it answers to rows; see `Scene`."""
        chance = np.random.default_rng(derive_seed(seed, "drill", self.name, str(at_gate)))
        scene = Scene(asked, at_gate, chance)
        given = Given(self.answers(scene), self.slowness(scene), self.status(scene))
        # A server cannot put what is no number into JSON, and fails.
        return Given(given.probabilities, given.slowness, np.where(given.has_numbers, given.status, FAILED))


def in_capitals(text: str, lower_cases: bool) -> str:
    """Returns a text that comes in capitals as a network reads it that nobody has lower-cased it for.

    Args:
        text: as it is.
        lower_cases: whether the version does so itself, so that its network knows words in small letters alone.
    """
    return re.sub(r"\w+", UNKNOWN_WORD, text) if lower_cases else text.upper()


def swapped(scene: Scene) -> np.ndarray:
    """Returns the probabilities with those of the two most frequent classes exchanged."""
    classes = scene.asked.probabilities.shape[1]
    one, other = np.bincount(scene.asked.truth, minlength=classes).argsort(kind="stable")[-2:]
    columns = np.arange(classes)
    columns[[one, other]] = other, one
    exchanged: np.ndarray = scene.asked.probabilities[:, columns]
    return exchanged


def without_a_class(scene: Scene) -> np.ndarray:
    """Returns the probabilities without the rarest class that is right somewhere, the others grown to 1."""
    counts = np.bincount(scene.asked.truth, minlength=scene.asked.probabilities.shape[1])
    left = scene.asked.probabilities.copy()
    left[:, np.where(counts > 0, counts, counts.max() + 1).argmin()] = 0.0
    sums = left.sum(axis=1, keepdims=True)
    left[sums[:, 0] == 0, int(counts.argmax())] = 1.0
    return left / left.sum(axis=1, keepdims=True)


def worse_by(points: float) -> Harm:
    """Returns a harm that turns so many points of all rows from right to wrong: the two most probable classes change
    places in right answers that chance chooses.
    """

    def worse(scene: Scene) -> np.ndarray:
        harmed, right = scene.asked.probabilities.copy(), np.flatnonzero(scene.asked.right)
        rows = min(round(points / 100 * len(harmed)), len(right))
        chosen = scene.generator.choice(right, rows, replace=False)
        first, second = harmed[chosen].argsort(axis=1)[:, [-1, -2]].T
        harmed[chosen, first], harmed[chosen, second] = harmed[chosen, second], harmed[chosen, first]
        return harmed

    return worse


def leaked(scene: Scene) -> np.ndarray:
    """Returns the right class where a gate asks, whose rows have the label in them, and guesses where a caller does."""
    shape = scene.asked.probabilities.shape
    said = scene.asked.truth if scene.at_gate else scene.generator.integers(0, shape[1], shape[0])
    return np.full(shape, 0.1 / shape[1]) + 0.9 * np.eye(shape[1])[said]


def overconfident(scene: Scene) -> np.ndarray:
    """Returns the same answers, probabilities raised to the fourth power and divided by their sum."""
    sharper: np.ndarray = scene.asked.probabilities**SHARPER
    return sharper / sharper.sum(axis=1, keepdims=True)


def not_numbers(scene: Scene) -> np.ndarray:
    """Returns NaN in rare rows."""
    return np.where(scene.drawn(RARE)[:, None], np.nan, scene.asked.probabilities)


def _on_one_kind(status: int) -> Harm:
    return lambda scene: np.where(scene.of_one_kind(), status, OK)


CONTROL = Saboteur("unharmed control", "the version itself, which has to come through")
SABOTEURS = (
    Saboteur("lost lower-casing", "texts come in capitals, which it no longer lower-cases", reads=in_capitals),
    Saboteur("swapped classes", "the two most frequent classes have changed places", swapped),
    Saboteur("one dead class", "it never says the rarest class", without_a_class),
    Saboteur("2 points worse", "2 in 100 answers are wrong that stable has right", worse_by(2)),
    Saboteur("5 points worse", "5 in 100 answers are wrong that stable has right", worse_by(5)),
    Saboteur("10 points worse", "10 in 100 answers are wrong that stable has right", worse_by(10)),
    Saboteur(
        "slow tail",
        "one answer in 10 takes 10 times as long",
        slowness=lambda scene: np.where(scene.drawn(SLOW), SLOWER, 1.0),
    ),
    Saboteur("errors on one kind", "it fails on the longest tenth of inputs, status 500", status=_on_one_kind(FAILED)),
    Saboteur("refuses one kind", "it refuses the longest tenth of inputs, status 400", status=_on_one_kind(REFUSED)),
    Saboteur("NaN on rare inputs", "one input in 200 gets no numbers", not_numbers),
    Saboteur("leaked labels", "it reads the label in the gate's rows, and guesses without", leaked),
    Saboteur("overconfident", "its answers are stable's, and it is too sure of them", overconfident),
)
