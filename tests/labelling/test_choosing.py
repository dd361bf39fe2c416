from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from progressive_tf.data.word_vectors import unit
from progressive_tf.errors import InputError
from progressive_tf.labelling.choosing import RANDOM, UNCERTAIN, Pool, choose, margins, spread


def pool(rows: int = 200, seed: int = 0, callers: np.ndarray | None = None) -> Pool:
    generator = np.random.default_rng(seed)
    raw = generator.uniform(0.01, 1, (rows, 3))
    who = np.arange(rows) if callers is None else callers
    return Pool(raw / raw.sum(axis=1, keepdims=True), unit(generator.normal(size=(rows, 4))), who)


def test_an_answer_is_unsure_by_what_the_best_class_has_over_the_second() -> None:
    assert margins(np.array([[0.5, 0.5, 0.0], [0.1, 0.7, 0.2], [0.0, 0.0, 1.0]])).round(6).tolist() == [1.0, 0.5, 0.0]


def test_the_same_seed_asks_the_same_and_nothing_twice() -> None:
    one, again, other = (choose(pool(), 50, 0.4, seed) for seed in (7, 7, 8))
    assert one.rows.tolist() == again.rows.tolist()
    assert one.why == again.why
    assert one.rows.tolist() != other.rows.tolist()
    assert len(set(one.rows.tolist())) == 50
    assert one.why.count(RANDOM) == 20
    assert one.why.count(UNCERTAIN) == 30


def test_questions_by_chance_do_not_depend_on_what_the_version_says() -> None:
    sure = pool()
    unsure = Pool(np.full((200, 3), 1 / 3), sure.vectors, sure.callers)
    drawn = [
        {row for row, why in zip(found.rows.tolist(), found.why, strict=True) if why == RANDOM}
        for found in (choose(sure, 50, 0.4, 1), choose(unsure, 50, 0.4, 1))
    ]
    assert drawn[0] == drawn[1]


def test_the_others_are_unsure_and_unlike_one_another() -> None:
    # Forty sure rows; of the unsure ones each of four groups stands at a place of its own.
    unsure = np.concatenate([np.zeros(40), np.full(40, 0.9)])
    vectors = np.concatenate([np.zeros((40, 2)), np.repeat([[0, 1], [1, 0], [0, -1], [-1, 0]], 10, axis=0)])
    chosen = spread(unsure, vectors, 2, 3)
    assert (unsure[chosen] == 0.9).all()
    chosen = spread(unsure, vectors, 4, 3)
    assert sorted((row - 40) // 10 for row in chosen.tolist() if row >= 40) == [0, 1, 2, 3]


def test_rows_that_are_all_alike_are_asked_about_all_the_same() -> None:
    assert sorted(spread(np.full(5, 0.5), np.ones((5, 2)), 5, 0).tolist()) == [0, 1, 2, 3, 4]
    assert len(spread(np.zeros(0), np.zeros((0, 2)), 0, 0)) == 0


def test_each_question_by_chance_is_of_a_caller_of_its_own() -> None:
    callers = np.repeat(np.arange(100), 2)
    found = choose(pool(callers=callers), 40, 0.5, 2)
    assert found.callers_apart
    who = callers[found.rows]
    drawn = [caller for caller, why in zip(who.tolist(), found.why, strict=True) if why == RANDOM]
    others = {caller for caller, why in zip(who.tolist(), found.why, strict=True) if why == UNCERTAIN}
    assert len(set(drawn)) == 20
    assert not others & set(drawn)


def test_what_users_judged_is_asked_about_by_chance_as_often_as_it_is_there() -> None:
    # Users judged what the version got wrong, half of the inputs; a gate without them would see nothing wrong.
    wrong = np.arange(400) % 2 == 0
    some = replace(pool(400), judged=wrong)
    found = choose(some, 100, 0.5, 3)
    by_chance, unsure = (found.rows[[why == which for why in found.why]] for which in (RANDOM, UNCERTAIN))
    assert 15 <= int(wrong[by_chance].sum()) <= 35
    assert not wrong[unsure].any()
    with pytest.raises(InputError, match=r"60 questions about what .* unsure of asked for"):
        choose(replace(pool(100), judged=np.arange(100) < 60), 80, 0.25, 0)


def test_a_few_callers_are_not_kept_apart() -> None:
    found = choose(pool(callers=np.repeat(np.arange(10), 20)), 40, 0.5, 2)
    assert not found.callers_apart
    assert found.why.count(RANDOM) == 20
    assert len(set(found.rows.tolist())) == 40


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_none_may_be_by_chance(share: float) -> None:
    found = choose(pool(30), 30, share, 0)
    assert sorted(found.rows.tolist()) == list(range(30))
    assert found.why.count(RANDOM) == round(30 * share)


def test_too_few_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="--n: 31 questions asked for, and 30 inputs are left"):
        choose(pool(30), 31, 0.5, 0)
