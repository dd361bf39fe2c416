"""Tags of words under drill: a sentence is a row, and is right where all of its tags are."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from progressive_tf.data.tags import OUTSIDE
from progressive_tf.drilling.answers.base import DrilledAnswers
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.tags import TagAnswers

if TYPE_CHECKING:
    import pandas as pd

TAGS = "tags"


class DrilledTags(DrilledAnswers):
    """A tag for each word."""

    columns = (TAGS, "predicted")

    def of_record(self, rows: pd.DataFrame, notes: Mapping[bytes, bytes]) -> TagAnswers:
        """Returns the answers; raises KeyError or ValueError where it is not noted which tags there are."""
        return _of_tags(tuple(json.loads(notes[b"tags"])), rows[TAGS], rows["predicted"])

    def of_outputs(
        self, outputs: Sequence[Mapping[str, Any]], truth: Sequence[Any], labels: Sequence[str], like: Answers
    ) -> TagAnswers:
        """Returns the answers; a word that is not tagged is outside any entity."""
        said = [
            [*given[TAGS], *[OUTSIDE] * len(right)][: len(right)] for given, right in zip(outputs, truth, strict=True)
        ]
        return _of_tags(like.labels, truth, said)

    def said(self, answers: Answers) -> list[Any]:
        """Returns the tags of each sentence."""
        return _tags(answers).sentences(_tags(answers).predicted)

    def truth(self, answers: Answers) -> list[Any]:
        """Returns the right tags of each sentence."""
        return _tags(answers).sentences(_tags(answers).truth)

    def unknown(self, truth: Sequence[Any], labels: Collection[str]) -> list[str]:
        """Returns right tags that the version does not have."""
        return sorted({tag for sentence in truth for tag in sentence if tag not in labels})

    def of_store(
        self, label: Any, truth: Any, stated: Any, labels: Sequence[str], like: Answers
    ) -> tuple[dict[str, Any], Any] | None:
        """Returns the outputs where there are tags, and the right ones are the version's."""
        if not isinstance(label, list) or not isinstance(truth, list) or len(label) != len(truth):
            return None
        return None if self.unknown([label, truth], like.labels) else ({TAGS: label}, truth)

    def made_wrong(self, answers: Answers, rows: np.ndarray) -> Answers:
        """Returns the answers with the first entity of a sentence missed, or one of a word invented where there is
        none.
        """
        answers = _tags(answers)
        outside, begin = (
            answers.labels.index(OUTSIDE),
            next(code for code, tag in enumerate(answers.labels) if tag.startswith("B-")),
        )
        harmed, starts = answers.predicted.copy(), np.cumsum(answers.lengths) - answers.lengths
        for row in rows:
            words = harmed[starts[row] : starts[row] + answers.lengths[row]]  # a view
            inside = np.flatnonzero(words != outside)
            if not len(inside):
                words[:1] = begin
                continue
            first = int(inside[0])
            begins = [
                place for place in range(first + 1, len(words)) if not answers.labels[words[place]].startswith("I-")
            ]
            words[first : begins[0] if begins else len(words)] = outside
        return replace(answers, predicted=harmed)


def _of_tags(labels: tuple[str, ...], truth: Iterable[Sequence[str]], said: Iterable[Sequence[str]]) -> TagAnswers:
    code = {label: place for place, label in enumerate(labels)}
    sentences = list(truth)
    codes = [
        np.array([code[tag] for sentence in side for tag in sentence], np.int32) for side in (sentences, list(said))
    ]
    lengths = np.array([len(sentence) for sentence in sentences], np.int32)
    return TagAnswers(labels, lengths, codes[0], codes[1], np.ones(len(codes[0]), np.float32))


def _tags(answers: Answers) -> TagAnswers:
    assert isinstance(answers, TagAnswers)
    return answers
