"""Classes of rows under drill, and the harms that only classes can suffer."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from progressive_tf.drilling.answers.base import DrilledAnswers
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.serving.answers.base import PROBABILITIES

if TYPE_CHECKING:
    import pandas as pd

    from progressive_tf.data.source import Source
    from progressive_tf.drilling.saboteurs import Scene
    from progressive_tf.registry import Version

SHARPER = 4.0


class DrilledClasses(DrilledAnswers):
    """A class for each row, with the probability of every class."""

    columns = ("label", "probabilities")

    def check(self, version: Version) -> None:
        """Raises InputError where the version answers by costs."""
        if AnswerRule.of_version(version.manifest() or {}).costs is not None:
            raise InputError(
                f"{version.model}: version {version.number} answers by costs, and a drill plays what is most probable; "
                f"drill a version of a plan without costs"
            )

    def of_record(self, rows: pd.DataFrame, notes: Mapping[bytes, bytes]) -> ClassAnswers:
        """Returns the answers; raises KeyError or ValueError where it is not noted which classes there are."""
        labels, known = tuple(json.loads(notes[b"labels"])), int(json.loads(notes[b"known"]))
        code = {label: place for place, label in enumerate(labels)}
        probabilities = np.array(rows["probabilities"].tolist(), np.float64).reshape(len(rows), len(labels))
        return ClassAnswers(labels, np.array([code[label] for label in rows["label"]], int), probabilities, known)

    def of_outputs(
        self, outputs: Sequence[Mapping[str, Any]], truth: Sequence[Any], labels: Sequence[str], like: Answers
    ) -> ClassAnswers:
        """Returns the answers, of a version that may have fewer classes."""
        like = _classes(like)
        columns = [like.labels.index(label) for label in labels]
        probabilities = np.zeros((len(outputs), len(like.labels)))
        for row, given in enumerate(outputs):
            probabilities[row, columns] = given[PROBABILITIES]
        codes = np.array([like.labels.index(label) for label in truth], int)
        return ClassAnswers(like.labels, codes, probabilities, like.known)

    def said(self, answers: Answers) -> list[Any]:
        """Returns the classes."""
        return [answers.labels[code] for code in _classes(answers).predicted]

    def truth(self, answers: Answers) -> list[Any]:
        """Returns the right classes."""
        return [answers.labels[code] for code in answers.truth]

    def stated(self, answers: Answers) -> list[Any]:
        """Returns the probabilities of all classes."""
        return _classes(answers).probabilities.tolist()

    def expected(self, source: Source, rows: np.ndarray) -> list[Any]:
        """Returns the right classes."""
        return [source.labels[code] for code in source.label_codes[rows]]

    def unknown(self, truth: Sequence[Any], labels: Collection[str]) -> list[str]:
        """Returns right classes that the version does not have."""
        return sorted({label for label in truth if label not in labels})

    def of_store(
        self, label: Any, truth: Any, stated: Any, labels: Sequence[str], like: Answers
    ) -> tuple[dict[str, Any], Any] | None:
        """Returns the outputs where every class has its probability, and the right one is among them."""
        if truth not in like.labels or stated is None or len(stated) != len(labels):
            return None
        return {PROBABILITIES: stated}, truth

    def made_wrong(self, answers: Answers, rows: np.ndarray) -> Answers:
        """Returns the answers with the two most probable classes exchanged."""
        harmed = _classes(answers).probabilities.copy()
        first, second = harmed[rows].argsort(axis=1)[:, [-1, -2]].T
        harmed[rows, first], harmed[rows, second] = harmed[rows, second], harmed[rows, first]
        return replace(_classes(answers), probabilities=harmed)


def swapped(scene: Scene) -> Answers:
    """Returns the answers with the two most frequent classes exchanged."""
    answers = _classes(scene.asked.answers)
    classes = len(answers.labels)
    one, other = np.bincount(answers.truth, minlength=classes).argsort(kind="stable")[-2:]
    columns = np.arange(classes)
    columns[[one, other]] = other, one
    return replace(answers, probabilities=answers.probabilities[:, columns])


def without_a_class(scene: Scene) -> Answers:
    """Returns the answers without the rarest class that is right somewhere, the other probabilities grown to 1."""
    answers = _classes(scene.asked.answers)
    counts = np.bincount(answers.truth, minlength=len(answers.labels))
    left = answers.probabilities.copy()
    left[:, np.where(counts > 0, counts, counts.max() + 1).argmin()] = 0.0
    sums = left.sum(axis=1, keepdims=True)
    left[sums[:, 0] == 0, int(counts.argmax())] = 1.0
    return replace(answers, probabilities=left / left.sum(axis=1, keepdims=True))


def leaked(scene: Scene) -> Answers:
    """Returns the right class where a gate asks, whose rows have the label in them, and guesses where a caller does."""
    answers = _classes(scene.asked.answers)
    shape = answers.probabilities.shape
    said = answers.truth if scene.at_gate else scene.generator.integers(0, shape[1], shape[0])
    return replace(answers, probabilities=np.full(shape, 0.1 / shape[1]) + 0.9 * np.eye(shape[1])[said])


def overconfident(scene: Scene) -> Answers:
    """Returns the same answers, probabilities raised to the fourth power and divided by their sum."""
    answers = _classes(scene.asked.answers)
    sharper = answers.probabilities**SHARPER
    return replace(answers, probabilities=sharper / sharper.sum(axis=1, keepdims=True))


def _classes(answers: Answers) -> ClassAnswers:
    assert isinstance(answers, ClassAnswers)
    return answers
