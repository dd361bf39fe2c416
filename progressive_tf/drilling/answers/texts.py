"""Texts that are written, under drill: right where they are the expected ones, character by character."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from progressive_tf.drilling.answers.base import DrilledAnswers
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.serving.answers.base import CONFIDENCE
from progressive_tf.serving.answers.texts import TEXT, fingerprint

if TYPE_CHECKING:
    import pandas as pd


class DrilledTexts(DrilledAnswers):
    """A text for each row, and how sure the version is of it."""

    columns = ("target", "predicted", CONFIDENCE)

    def of_record(self, rows: pd.DataFrame, notes: Mapping[bytes, bytes]) -> TextAnswers:
        """Returns the answers."""
        return _of_texts(rows["target"], rows["predicted"], rows[CONFIDENCE])

    def of_outputs(
        self, outputs: Sequence[Mapping[str, Any]], truth: Sequence[Any], labels: Sequence[str], like: Answers
    ) -> TextAnswers:
        """Returns the answers."""
        return _of_texts(truth, [given[TEXT] for given in outputs], [given[CONFIDENCE] for given in outputs])

    def said(self, answers: Answers) -> list[Any]:
        """Returns the texts."""
        return _texts(answers).predicted.tolist()

    def truth(self, answers: Answers) -> list[Any]:
        """Returns the expected texts."""
        return _texts(answers).truth.tolist()

    def kept(self, answer: Any) -> Any:
        """Returns the fingerprint of a text."""
        return fingerprint(answer)

    def beside_input(self, answer: Any) -> dict[str, Any]:
        """Returns the text."""
        return {TEXT: answer}

    def stated(self, answers: Answers) -> list[Any]:
        """Returns how sure the version is of each text."""
        return [[float(sure)] for sure in _texts(answers).confidence]

    def of_store(
        self, label: Any, truth: Any, stated: Any, labels: Sequence[str], like: Answers
    ) -> tuple[dict[str, Any], Any] | None:
        """Returns the outputs where both texts were kept, and no fingerprint of one alone."""
        if not isinstance(label, str) or not isinstance(truth, str) or not stated:
            return None
        return {TEXT: label, CONFIDENCE: stated[0]}, truth

    def made_wrong(self, answers: Answers, rows: np.ndarray) -> Answers:
        """Returns the answers with texts that have lost their last word, or say their only one twice."""
        harmed = _texts(answers).predicted.copy()
        for row in rows:
            words = harmed[row].split()
            harmed[row] = " ".join(words[:-1]) or f"{harmed[row]} {harmed[row]}"
        return replace(_texts(answers), predicted=harmed)


def _of_texts(truth: Iterable[str], said: Iterable[str], confidence: Iterable[float]) -> TextAnswers:
    expected, written = (np.array(list(side), dtype=object) for side in (truth, said))
    return TextAnswers(expected, written, np.array(list(confidence), np.float32))


def _texts(answers: Answers) -> TextAnswers:
    assert isinstance(answers, TextAnswers)
    return answers
