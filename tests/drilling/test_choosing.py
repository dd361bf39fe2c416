"""Saboteurs that there cannot be of a version are left out, and a line says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from made_up import subject
from tiny import LABELS

from progressive_tf.drilling.choosing import Asks, choose
from progressive_tf.drilling.saboteurs import SABOTEURS, UNKNOWN_WORD
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers


class Reader:
    """Answers by how many letters a text has that it knows; it lower-cases all, or only knows small ones."""

    has_tasks = False

    def __init__(self, lower_cases: bool) -> None:
        self.lower_cases = lower_cases
        self.seen: list[str] = []

    labels = LABELS

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        texts = [given["text"] for given in inputs]
        self.seen += texts
        known = [(text.lower() if self.lower_cases else text).count("i") % 2 for text in texts]
        return [{"probabilities": [0.1, 0.9] if one else [0.9, 0.1]} for one in known]


class WithTasks(Reader):
    has_tasks = True


def surely(answers: Answers) -> Answers:
    assert isinstance(answers, ClassAnswers)
    return replace(answers, probabilities=np.round(answers.probabilities))


def nobody() -> Asks:
    raise AssertionError("nothing of it needs the version")


def test_all_twelve_are_played_of_a_version_that_lower_cases() -> None:
    reader = Reader(lower_cases=True)
    chosen, left_out = choose(subject(), 0, lambda: reader)
    assert [each.saboteur for each in chosen] == list(SABOTEURS)
    assert left_out == []
    assert UNKNOWN_WORD in reader.seen[-1]


def test_a_version_that_tells_capitals_apart_gets_capitals() -> None:
    reader = Reader(lower_cases=False)
    chosen, _ = choose(subject(), 0, lambda: reader)
    assert chosen[0].read is not None
    assert reader.seen[-1].isupper()


def test_rows_without_texts_and_versions_with_tasks_cannot_lose_lower_casing() -> None:
    of = subject()
    without = replace(of, callers=replace(of.callers, inputs=[None] * len(of.callers)))
    cells = replace(of, callers=replace(of.callers, inputs=[{"a": "1", "b": "red"}] * len(of.callers)))
    named = [{"text": text, "task": "tone"} for text in of.callers.texts or []]
    tasks = replace(of, callers=replace(of.callers, inputs=named))
    assert tasks.callers.texts == of.callers.texts
    for case, load, why in (
        (without, nobody, "no texts"),
        (cells, nobody, "no texts"),
        (tasks, lambda: WithTasks(lower_cases=True), "needs a task"),
    ):
        chosen, left_out = choose(case, 0, load)
        assert len(chosen) == 11
        (line,) = left_out
        assert line.startswith("lost lower-casing: left out")
        assert why in line


def test_what_changes_nothing_is_left_out() -> None:
    of = subject()
    certain = [rows.answered(surely(rows.answers)) for rows in (of.gate, of.callers)]
    chosen, left_out = choose(replace(of, gate=certain[0], callers=certain[1]), 0, lambda: Reader(lower_cases=True))
    assert "overconfident: left out, it changes nothing on these rows" in left_out
    assert "overconfident" not in {each.saboteur.name for each in chosen}
