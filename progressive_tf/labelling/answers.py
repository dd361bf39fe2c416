"""What people said about questions → one label for each, and what does not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from progressive_tf.errors import InputError, listed
from progressive_tf.labelling.agreement import Agreement, agreement
from progressive_tf.labelling.candidates import Candidate
from progressive_tf.labelling.choosing import RANDOM
from progressive_tf.labelling.questions import WHYS, Given, id_of

# With fewer labelled rows nothing is known of how often labels of a class look wrong.
FEWEST_LOOKED_AT = 20


@dataclass(frozen=True)
class Answer:
    """A question with the label that holds.

    Attributes:
        question: its id.
        why: it was asked.
        input: what it was about, by column.
        label: what is right.
    """

    question: str
    why: str
    input: Mapping[str, Any]
    label: str


@dataclass(frozen=True)
class Doubt:
    """A label to look at again.

    Attributes:
        question: the id.
        problem: what is doubtful, in words.
        input: what it is about.
        label: what was said; several where people do not agree.
        better: the label that fits better; empty where that is not known.
        probability: of that, as the version has it; None where people do not agree.
    """

    question: str
    problem: str
    input: Mapping[str, Any]
    label: str
    better: str = ""
    probability: float | None = None


@dataclass(frozen=True)
class Settled:
    """What came of people's answers.

    Attributes:
        answers: questions with a label.
        put_aside: why others have none → how many.
        doubts: questions on which people do not agree.
        agreement: of those who answered the same questions; None where no two did.
    """

    answers: list[Answer]
    put_aside: Counter[str]
    doubts: list[Doubt]
    agreement: Agreement | None


def settle(files: Sequence[Sequence[Given]], spelt: Callable[[str], str] = str) -> Settled:
    """Returns one label for each question: what most people said; of two answers of one person the later.

    Args:
        files: what each file says. Who is not named is another person in each of them.
        spelt: a label as somebody wrote it → the class that is meant; who writes a label in another way agrees.

    Raises:
        InputError: a question came back with another reason than it can have been asked for.
    """
    asked: dict[str, Given] = {}
    said: dict[str, dict[str, str]] = {}
    edited: set[str] = set()
    for number, of_file in enumerate(files):
        for given in of_file:
            if given.why not in WHYS:
                raise InputError(
                    f"--import: question {given.question} has the reason {given.why!r}; one of {listed(WHYS)} "
                    f"expected, as it was asked"
                )
            if id_of(given.input) != given.question:
                edited.add(given.question)
                continue
            asked.setdefault(given.question, given)
            people = said.setdefault(given.question, {})
            if given.label is not None:
                people[given.by or f"file {number + 1}"] = spelt(given.label)
    answers, doubts, put_aside = list[Answer](), list[Doubt](), Counter[str]()
    if edited - set(asked):
        put_aside["came back with another text than was asked"] += len(edited - set(asked))
    for question, given in asked.items():
        common = Counter(said[question].values()).most_common()
        if not common:
            put_aside["have no label"] += 1
            continue
        if len(common) > 1:
            doubts.append(Doubt(question, "people do not agree", given.input, " | ".join(label for label, _ in common)))
        if len(common) > 1 and common[0][1] == common[1][1]:
            put_aside["were given as many different labels"] += 1
            continue
        answers.append(Answer(question, given.why, given.input, common[0][0]))
    return Settled(answers, put_aside, doubts, agreement(list(said.values())))


def suspects(answers: Sequence[Answer], labels: Sequence[str], probabilities: np.ndarray) -> list[Doubt]:
    """Returns labels that look wrong to a version, the most suspicious first (Northcutt et al. 2021).

    It has not learnt these rows. Where it is wrong itself, and it is asked about what it is unsure of, a right label
    may look so too: they are to be read, and nothing is done about them. Gate rows are left alone: who corrects only
    those that contradict the version in use makes the gate agree with it.

    Args:
        answers: with labels that the version has.
        labels: its classes.
        probabilities: what it says of each answer's input, float64 [answers, classes].
    """
    places = [place for place, answer in enumerate(answers) if answer.why != RANDOM]
    answers, probabilities = [answers[place] for place in places], probabilities[places]
    if len(answers) < FEWEST_LOOKED_AT or len(labels) < 2:
        return []
    from cleanlab.filter import find_label_issues

    classes = {label: place for place, label in enumerate(labels)}
    codes = np.array([classes[answer.label] for answer in answers], np.int64)
    present = np.unique(codes)
    if len(present) < 2:
        return []
    # Only classes that somebody named: of the others there is no threshold to be had.
    among = probabilities[:, present]
    among = among / np.maximum(among.sum(axis=1, keepdims=True), 1e-12)
    found = find_label_issues(
        np.searchsorted(present, codes), among, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    best = probabilities.argmax(axis=1)
    return [
        Doubt(
            answers[place].question,
            "looks wrong to the version",
            answers[place].input,
            answers[place].label,
            labels[best[place]],
            round(float(probabilities[place, best[place]]), 4),
        )
        for place in np.asarray(found, np.int64).tolist()
        if best[place] != codes[place]
    ]


def as_candidates(answers: Sequence[Answer], is_table: bool) -> list[Candidate]:
    """Returns the inputs of answers as a version reads them."""
    return [
        Candidate(answer.input, answer.input if is_table else next(iter(answer.input.values())), 0)
        for answer in answers
    ]
