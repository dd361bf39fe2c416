"""The saboteurs: how a version's answers are harmed. Each is a name, a sentence and a function of arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from progressive_tf.drilling.answers import KINDS
from progressive_tf.drilling.answers.classes import leaked, overconfident, swapped, without_a_class
from progressive_tf.drilling.rows import Asked
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.plan.metric_names import CLASSES
from progressive_tf.seeds import derive_seed

OK, REFUSED, FAILED = 200, 400, 500
# The part of rows that are of one kind, that are answered slowly, and that are rare.
ONE_KIND, SLOW, RARE = 0.1, 0.1, 0.005
SLOWER = 10.0
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
        answers: to every row; what stands in one to which it has no numbers says nothing.
        has_numbers: bool [rows], whether all of its numbers are finite.
        slowness: float64 [rows], how many times as long as stable's its answer takes; >= 1.
        status: int64 [rows], of HTTP, where a caller asks.
    """

    answers: Answers
    slowness: np.ndarray
    status: np.ndarray
    has_numbers: np.ndarray


Harm = Callable[[Scene], Answers]
OfRows = Callable[[Scene], np.ndarray]


@dataclass(frozen=True)
class Saboteur:
    """One way to harm a version; what is left out stays as it is.

    Args:
        name: short.
        says: what it does, in words.
        answers: scene → its answers.
        no_numbers: scene → bool [rows], where its numbers are not finite.
        slowness: scene → float64 [rows], see `Given`.
        status: scene → int64 [rows], see `Given`.
        reads: what it makes of a text before the network reads it, and whether that lower-cases → the text.
        of: the name of the one kind of answers that it harms; None for any.
    """

    name: str
    says: str
    answers: Harm = lambda scene: scene.asked.answers
    no_numbers: OfRows = lambda scene: np.zeros(len(scene.asked), bool)
    slowness: OfRows = lambda scene: np.ones(len(scene.asked))
    status: OfRows = lambda scene: np.full(len(scene.asked), OK)
    reads: Callable[[str, bool], str] | None = None
    of: str | None = None

    def given(self, asked: Asked, at_gate: bool, seed: int) -> Given:
        """Returns what it answers to rows; see `Scene`."""
        chance = np.random.default_rng(derive_seed(seed, "drill", self.name, str(at_gate)))
        scene = Scene(asked, at_gate, chance)
        answers, has_numbers = self.answers(scene), ~self.no_numbers(scene)
        # A server cannot put what is no number into JSON, and fails.
        status = np.where(has_numbers, self.status(scene), FAILED)
        return Given(answers, self.slowness(scene), status, has_numbers)


def in_capitals(text: str, lower_cases: bool) -> str:
    """Returns a text that comes in capitals as a network reads it that nobody has lower-cased it for.

    Args:
        text: as it is.
        lower_cases: whether the version does so itself, so that its network knows words in small letters alone.
    """
    return re.sub(r"\w+", UNKNOWN_WORD, text) if lower_cases else text.upper()


def worse_by(points: float) -> Harm:
    """Returns a harm that turns so many points of all rows from right to wrong, of right ones that chance chooses."""

    def worse(scene: Scene) -> Answers:
        answers, right = scene.asked.answers, np.flatnonzero(scene.asked.right)
        rows = min(round(points / 100 * len(answers)), len(right))
        return KINDS[answers.kind.name].made_wrong(answers, scene.generator.choice(right, rows, replace=False))

    return worse


def _on_one_kind(status: int) -> OfRows:
    return lambda scene: np.where(scene.of_one_kind(), status, OK)


CONTROL = Saboteur("unharmed control", "the version itself, which has to come through")
SABOTEURS = (
    Saboteur("lost lower-casing", "texts come in capitals, which it no longer lower-cases", reads=in_capitals),
    Saboteur("swapped classes", "the two most frequent classes have changed places", swapped, of=CLASSES.name),
    Saboteur("one dead class", "it never says the rarest class", without_a_class, of=CLASSES.name),
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
    Saboteur("NaN on rare inputs", "one input in 200 gets no numbers", no_numbers=lambda scene: scene.drawn(RARE)),
    Saboteur("leaked labels", "it reads the label in the gate's rows, and guesses without", leaked, of=CLASSES.name),
    Saboteur("overconfident", "its answers are stable's, and it is too sure of them", overconfident, of=CLASSES.name),
)
