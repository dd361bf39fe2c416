"""What every kind of answer promises; a new kind adds a row to `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.bootstrap import each_resampled, intervals, resample_drop

from .test_tags import tagged
from .test_texts import translated


def classified(rows: int, seed: int) -> ClassAnswers:
    truth = np.random.default_rng(rows).integers(0, 3, rows)
    return ClassAnswers(("a", "b", "c"), truth, np.random.default_rng(seed).dirichlet(np.ones(3), rows))


# Returns so many rows, the same for every seed, that a seed's model answered.
KINDS: dict[str, Callable[[int, int], Answers]] = {"classes": classified, "tags": tagged, "texts": translated}

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


def measured(answers: Answers) -> dict[str, float | None]:
    return {name: answers.measure(name) for name in answers.names}


@every_kind
def test_parts_that_are_taken_and_joined_are_the_whole(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    mask = np.arange(40) < 15
    joined = answers.take(mask).join([answers.take([]), answers.take(np.flatnonzero(~mask))])
    assert joined.same_rows(answers)
    assert joined.right.tolist() == answers.right.tolist()
    assert measured(joined) == measured(answers)
    assert answers.take([3, 3]).right.tolist() == [answers.right[3]] * 2


@every_kind
def test_groups_go_with_their_rows(make: Callable[[int, int], Answers]) -> None:
    answers, groups = make(40, 1), np.arange(40) // 4 - 2**62
    grouped = answers.in_groups(groups)
    assert answers.groups is None
    assert measured(grouped) == measured(answers)
    chosen = grouped.take([30, 2, 1])
    assert chosen.groups.tolist() == groups[[30, 2, 1]].tolist()
    assert grouped.as_answered().groups.tolist() == groups.tolist()
    halves = grouped.take(np.arange(18)), grouped.take(np.arange(18, 40))
    joined = halves[0].join([halves[1]])
    # What groups are called may change; rows 16 to 19 are of one.
    assert [len(set(joined.groups[rows])) for rows in (range(16, 20), range(40))] == [1, 10]
    with pytest.raises(ValueError, match="one for each of 40 rows"):
        answers.in_groups(groups[:39])


@every_kind
def test_rows_without_groups_stay_their_own_beside_others(make: Callable[[int, int], Answers]) -> None:
    answers = make(10, 1)
    grouped, own = answers.take(np.arange(6)).in_groups(np.array([0, 0, 1, 1, 2, 7])), answers.take([6, 7, 8, 9])
    for joined in (own.join([grouped]), grouped.join([own]), own.join([own, grouped])):
        assert joined.groups is not None
        assert len(np.unique(joined.groups)) == len(joined) - 2
    assert own.join([own]).groups is None


@every_kind
def test_answers_in_other_groups_are_to_other_rows(make: Callable[[int, int], Answers]) -> None:
    answers, groups = make(40, 1), np.arange(40) // 4
    assert answers.in_groups(groups).same_rows(make(40, 2).in_groups(groups))
    for other in (None, groups[::-1]):
        assert not answers.in_groups(groups).same_rows(answers.in_groups(other))
        assert not answers.in_groups(other).same_rows(answers.in_groups(groups))


@every_kind
def test_a_metric_rests_on_groups(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    assert {answers.group_count(name) for name in answers.names} == {None}
    grouped = answers.in_groups(np.arange(40) // 4)
    for name in answers.names:
        rows = grouped.rests_on(name)
        assert grouped.support(name) == rows.sum()
        assert grouped.group_count(name) == len(set((np.arange(40) // 4)[rows]))
    assert grouped.group_count(answers.kind.matrix_metric) in range(1, 11)


@every_kind
def test_groups_are_drawn_whatever_they_are_called_and_wherever_their_rows_stand(
    make: Callable[[int, int], Answers],
) -> None:
    groups = np.random.default_rng(3).integers(0, 12, 40)
    new, old = (make(40, seed).in_groups(groups) for seed in (1, 2))
    order = np.random.default_rng(5).permutation(40)
    for name in [name for name, value in measured(new).items() if value is not None and old.measure(name) is not None]:
        straight = resample_drop(new, old, name, 60, seed=5)
        moved = [model.take(order).in_groups(-7 * groups[order]) for model in (new, old)]
        assert np.allclose(resample_drop(*moved, name, 60, seed=5).samples, straight.samples, equal_nan=True), name
        ((_, alone),) = each_resampled(new, [name], 60, seed=3)
        ((_, again),) = each_resampled(moved[0], [name], 60, seed=3)
        assert np.allclose(alone.samples, again.samples, equal_nan=True), name


@every_kind
def test_groups_of_a_single_row_are_no_groups(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    own = answers.in_groups(np.arange(40)[::-1])
    assert intervals(own, resamples=40) == intervals(answers, resamples=40)


@every_kind
def test_the_same_rows_are_those_in_the_same_order(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    assert answers.same_rows(make(40, 2))
    assert not answers.same_rows(answers.take(np.arange(39)))
    assert not answers.same_rows(answers.take(np.arange(40)[::-1]))
    with pytest.raises(ValueError, match="same rows"):
        resample_drop(answers, answers.take(np.arange(40)[::-1]), answers.kind.matrix_metric, 10)


@every_kind
def test_metrics_rest_on_rows_and_are_undefined_without_any(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    assert answers.kind.matrix_metric in answers.kind.metrics
    assert len(set(answers.names)) == len(answers.names)
    assert all(0 <= answers.support(name) <= 40 for name in answers.names)
    assert set(measured(answers.take([])).values()) == {None}
    label = "no such label"
    for name in [f"{metric}/{label}" for metric in answers.kind.per_label]:
        assert not answers.has_label(name)
        assert (answers.measure(name), answers.support(name)) == (None, 0)


@every_kind
def test_what_is_not_known_is_as_long_as_the_rows(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    assert answers.knowable.shape == answers.right.shape == (40,)
    assert answers.as_answered().same_rows(answers)
    assert answers.in_words.startswith("40 rows of ")


@every_kind
def test_every_metric_is_resampled_as_if_alone_and_in_the_order_asked_for(make: Callable[[int, int], Answers]) -> None:
    answers = make(40, 1)
    names = [name for name, value in measured(answers).items() if value is not None]
    together = dict(each_resampled(answers, names[::-1], 60, seed=3))
    assert list(together) == names[::-1]
    for name in names:
        ((_, alone),) = each_resampled(answers, [name], 60, seed=3)
        assert alone.value == answers.measure(name)
        assert np.array_equal(alone.samples, together[name].samples, equal_nan=True), name
    table = intervals(answers, resamples=60)
    assert list(table) == answers.names
    assert {name for name, entry in table.items() if entry["low"] is not None} == set(names)


@pytest.mark.parametrize(("kind", "other"), list(permutations(KINDS, 2)))
def test_metrics_of_other_kinds_are_refused_with_those_there_are(kind: str, other: str) -> None:
    answers = KINDS[kind](5, 1)
    foreign = next(name for name in KINDS[other](5, 1).names if name not in answers.names)
    with pytest.raises(ValueError, match=rf"unknown metric '{foreign}'.*{answers.names[0]}"):
        answers.measure(foreign)


@every_kind
def test_only_what_has_probabilities_is_averaged(make: Callable[[int, int], Answers]) -> None:
    own, other = make(40, 1), make(40, 2)
    if "log_loss" not in own.kind.metrics:
        with pytest.raises(TypeError, match="only probabilities of classes"):
            own.mix(other, 0.5)
        return
    for share, same in ((1.0, own), (0.0, other)):
        assert measured(own.mix(other, share)) == measured(same)
    loss = own.mix(other, 0.5).measure("log_loss")
    assert loss is not None
    assert loss < max(float(own.measure("log_loss") or 0), float(other.measure("log_loss") or 0))


def test_of_the_newest_classes_only_rows_that_can_be_known_are_counted() -> None:
    probabilities = np.eye(3)[[0, 1, 1, 0]]
    answers = ClassAnswers(("a", "b", "c"), np.array([1, 1, 0, 2]), probabilities, known=2)
    answered, true = answers.of_classes_from(1)
    assert (answered.tolist(), true.tolist()) == ([False, True, True], [True, True, False])
    assert tagged(5, 1).of_classes_from(1)[0].size == 0
