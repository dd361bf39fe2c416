"""Each saboteur does what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import asked

from progressive_tf.drilling.rows import Asked
from progressive_tf.drilling.saboteurs import (
    CONTROL,
    FAILED,
    OK,
    REFUSED,
    SABOTEURS,
    SLOWER,
    UNKNOWN_WORD,
    Given,
    Saboteur,
    in_capitals,
)
from progressive_tf.evaluation.answers.classes import ClassAnswers

ROWS = asked(400, 5)
BY_NAME = {saboteur.name: saboteur for saboteur in SABOTEURS}


def given(name: str, at_gate: bool = False) -> Given:
    return BY_NAME[name].given(ROWS, at_gate, seed=3)


def accuracy(of: Given) -> float:
    return float(of.answers.right.mean())


def probabilities(of: Given | Asked) -> np.ndarray:
    assert isinstance(of.answers, ClassAnswers)
    return of.answers.probabilities


def test_there_are_twelve_with_names_of_their_own() -> None:
    assert len(BY_NAME) == len(SABOTEURS) == 12


@pytest.mark.parametrize("saboteur", [*SABOTEURS, CONTROL], ids=lambda saboteur: saboteur.name)
def test_answers_are_of_every_row_and_the_same_again(saboteur: Saboteur) -> None:
    first, again = (saboteur.given(ROWS, False, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.answers.truth, ROWS.answers.truth)
    np.testing.assert_array_equal(probabilities(first), probabilities(again))
    np.testing.assert_array_equal(first.has_numbers, again.has_numbers)
    np.testing.assert_array_equal(first.status, again.status)
    np.testing.assert_array_equal(first.slowness, again.slowness)


def test_the_control_is_the_version_itself() -> None:
    control = CONTROL.given(ROWS, False, seed=3)
    assert control.answers is ROWS.answers
    assert control.has_numbers.all()
    assert (control.status == OK).all()
    assert (control.slowness == 1).all()


@pytest.mark.parametrize("points", [2, 5, 10])
def test_so_many_points_are_lost_exactly(points: int) -> None:
    lost = ROWS.right.mean() - accuracy(given(f"{points} points worse"))
    assert lost == pytest.approx(points / 100)


def test_classes_are_swapped_and_one_is_dead() -> None:
    np.testing.assert_array_equal(probabilities(given("swapped classes")), probabilities(ROWS)[:, ::-1])
    dead = np.bincount(ROWS.answers.truth).argmin()
    assert (probabilities(given("one dead class")).argmax(axis=1) != dead).all()


def test_a_tenth_is_slow_fails_or_is_refused() -> None:
    assert (given("slow tail").slowness == SLOWER).mean() == pytest.approx(0.1)
    lengths = np.array([len(text) for text in ROWS.texts or []])
    for name, status in (("errors on one kind", FAILED), ("refuses one kind", REFUSED)):
        is_harmed = given(name).status == status
        assert 0.05 < is_harmed.mean() < 0.2
        assert lengths[is_harmed].min() > lengths[~is_harmed].max()


def test_what_is_no_number_fails() -> None:
    rare = given("NaN on rare inputs")
    assert (~rare.has_numbers).sum() == 2
    np.testing.assert_array_equal(rare.status == FAILED, ~rare.has_numbers)


def test_labels_leak_to_the_gate_alone() -> None:
    assert accuracy(given("leaked labels", at_gate=True)) == 1.0
    assert 0.4 < accuracy(given("leaked labels")) < 0.6


def test_the_overconfident_say_the_same_more_surely() -> None:
    sure, usual = probabilities(given("overconfident")), probabilities(ROWS)
    np.testing.assert_array_equal(sure.argmax(axis=1), usual.argmax(axis=1))
    assert (sure.max(axis=1) > usual.max(axis=1)).all()


def test_capitals_are_unknown_to_a_network_of_small_letters() -> None:
    assert in_capitals("A good thing.", lower_cases=True) == f"{UNKNOWN_WORD} {UNKNOWN_WORD} {UNKNOWN_WORD}."
    assert in_capitals("A good thing.", lower_cases=False) == "A GOOD THING."
