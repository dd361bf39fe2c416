"""What became of labels, and answers of a version compared in classes that both tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import told_apart_by_both
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.costs import Costs
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.evaluation.label_map import LabelMap, not_told_apart
from progressive_tf.plan.gate_rule import GateRule

BEFORE = ("fax", "pin", "refund", "chargeback", "transfer")
AFTER = ("security", "refund", "in", "out", "card")
MARCH = LabelMap(
    BEFORE,
    AFTER,
    {
        "fax": (),
        "pin": ("security",),
        "refund": ("refund",),
        "chargeback": ("refund",),
        "transfer": ("in", "out"),
    },
)


def test_probabilities_are_summed_divided_and_those_of_a_retired_class_given_to_the_others() -> None:
    old = np.array([[0.2, 0.1, 0.3, 0.2, 0.2], [1.0, 0.0, 0.0, 0.0, 0.0]])
    found = MARCH.probabilities(old)
    assert MARCH.known == 4
    assert found[0] == pytest.approx(np.array([0.1, 0.5, 0.1, 0.1]) / 0.8, abs=1e-12)
    assert found[1] == pytest.approx(0.25), "nothing is left to go by"


def test_a_renamed_class_keeps_its_probability_to_the_bit() -> None:
    old = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    renamed = LabelMap(("a", "b", "c"), ("a", "x", "c"), {"a": ("a",), "b": ("x",), "c": ("c",)})
    assert np.array_equal(renamed.probabilities(old), old)


def test_answers_are_those_that_callers_got() -> None:
    old = np.array([[0.0, 0.4, 0.3, 0.3, 0.0], [0.6, 0.0, 0.1, 0.1, 0.2]])
    own = MARCH.probabilities(old)
    said = MARCH.answers(np.array([1, 0], np.int32), own)
    assert AFTER[said[0]] == "security", "the version said pin, though refund and chargeback together are likelier"
    assert AFTER[said[1]] != "fax"


def test_maps_compose_over_two_changes() -> None:
    april = LabelMap(
        AFTER, ("secret", "money", "out", "card"), {
            "security": ("secret",), "refund": ("money",), "in": ("money",), "out": ("out",), "card": ("card",)
        }
    )  # fmt: skip
    both = MARCH.then(april)
    assert both.of == {
        "fax": (), "pin": ("secret",), "refund": ("money",), "chargeback": ("money",), "transfer": ("money", "out")
    }  # fmt: skip
    whole = both.wholes["out"]
    assert both.wholes == {"money": whole, "out": whole}, "what was merged with a part cannot be told from the whole"
    assert both.words == {"pin": "secret", "refund": "money", "chargeback": "money"}
    unchanged = LabelMap.unchanged(("a",), ("a", "b"))
    assert not unchanged.changes
    assert unchanged.then(LabelMap(("a", "b"), ("c", "b"), {"a": ("c",), "b": ("b",)})).of == {"a": ("c",)}


def released(truth: list[int], old: np.ndarray) -> ClassAnswers:
    own = MARCH.probabilities(old)
    padded = np.zeros((len(truth), len(AFTER)))
    padded[:, : own.shape[1]] = own
    said = MARCH.answers(old.argmax(axis=1).astype(np.int32), own)
    codes = np.array(truth, np.int32)
    return ClassAnswers(AFTER, codes, padded, MARCH.known, said=said, wholes=MARCH.wholes)


def test_a_part_that_the_candidate_answers_counts_as_the_whole_on_both_sides() -> None:
    rows = 40
    old = np.tile([0.0, 0.0, 0.0, 0.0, 1.0], (rows, 1))
    truth = [2, 3] * (rows // 2)  # in, out
    swapped = np.eye(len(AFTER))[[3, 2] * (rows // 2)]
    candidate = ClassAnswers(AFTER, np.array(truth, np.int32), swapped)
    compared = Compared({"current": candidate}, {"current": released(truth, old)})
    drop = GateRule(metric="accuracy", drop_at_most=0.0)
    decision = judge([drop, GateRule(metric="accuracy", at_least=0.5)], compared, seed=1, resamples=50)
    assert decision.rules[0].estimate == pytest.approx(0.0), "both say transfer, and that is right"
    assert decision.rules[1].estimate == pytest.approx(0.0), "alone, the candidate is judged by its own classes"


def test_an_added_class_counts_the_version_as_wrong() -> None:
    old = np.tile([0.0, 1.0, 0.0, 0.0, 0.0], (40, 1))
    truth = [4] * 20 + [0] * 20
    answers = released(truth, old)
    assert answers.knowable.tolist() == [False] * 20 + [True] * 20
    in_wholes = answers.told_apart_by(answers)
    assert in_wholes.labels == ("security", "refund", "transfer", "card")
    assert in_wholes.known == 3
    assert in_wholes.as_answered().measure("accuracy") == pytest.approx(0.5)


def test_a_whole_is_not_taken_for_a_class_that_is_called_so_now() -> None:
    changed = LabelMap(("t", "u"), ("in", "out", "u", "t"), {"t": ("in", "out"), "u": ("u",)})
    assert changed.wholes == {"in": "t, before", "out": "t, before"}


def test_two_versions_are_compared_in_classes_that_both_tell_apart() -> None:
    labels, codes = ("in", "out", "x", "y"), np.array([0, 1, 2, 3], np.int32)
    own = ClassAnswers(labels, codes, np.eye(4), wholes={"in": "t", "out": "t"})
    older = ClassAnswers(labels, codes, np.eye(4), wholes={"out": "s", "x": "s"})
    first, second = told_apart_by_both(own, older)
    assert first.same_rows(second)
    assert len(first.labels) == 2, "in and out are one to the one, out and x to the other"
    assert "y" in first.labels
    assert not told_apart_by_both(own, own)[0].wholes


def test_wholes_stay_with_rows_that_are_taken_and_joined() -> None:
    old = np.random.default_rng(1).dirichlet(np.ones(5), 12)
    whole = released([0, 1, 2, 3] * 3, old)
    again = whole.take(range(5)).join([whole.take(range(5, 12))])
    assert np.array_equal(again.predicted, whole.predicted)
    assert again.wholes == whole.wholes
    assert whole.told_apart_by(whole).told_apart_by(whole).labels == whole.told_apart_by(whole).labels


def test_costs_of_parts_become_those_of_the_whole() -> None:
    costs = Costs.of_json({"in": {"refund": 5.0, "out": 3.0}, "out": {"refund": 2.0}})
    assert costs.of_wholes({"in": "transfer", "out": "transfer"}).to_json() == {"transfer": {"refund": 5.0}}
    old = np.tile([0.0, 0.3, 0.4, 0.3, 0.0], (3, 1))
    answers = released([0, 1, 2], old)
    assert AnswerRule().predicted(answers.probabilities, AFTER).tolist() == [1, 1, 1]


def test_it_is_said_in_one_line() -> None:
    assert MARCH.in_words() == ("pin → security; chargeback → refund; transfer → in, out; fax is retired; card is new")
    assert MARCH.compared_in_words() == (
        "pin counts as security; chargeback counts as refund; in, out count as transfer on both sides; fax is retired, "
        "and the next best answer counts; rows of card, which it does not know, count as wrong"
    )


def test_what_both_tell_apart() -> None:
    changed = LabelMap(
        ("a", "t", "b", "r"), ("m", "t1", "t2", "n"), {"a": ("m",), "t": ("t1", "t2"), "b": ("m",), "r": ()}
    )
    assert changed.told_apart == [([1], [1, 2]), ([0, 2], [0])]
    assert changed.of_first(2).of == {"a": ("m",), "t": ("t1", "t2")}
    assert (changed.of_first(1).known, changed.known) == (1, 3)
    assert changed.of_known().after == ("m", "t1", "t2")
    assert "n" in changed.compared_in_words().split("rows of ")[1]
    assert "rows of" not in changed.of_known().compared_in_words()


def test_what_some_of_several_lists_do_not_tell_apart() -> None:
    first = LabelMap(("t", "u"), ("x", "y", "u", "c1", "c2"), {"t": ("x", "y"), "u": ("u",)})
    second = LabelMap(("x", "z", "u", "c"), first.after, {"x": ("x",), "z": ("y",), "u": ("u",), "c": ("c1", "c2")})
    assert not_told_apart([first]) == {"x": "t", "y": "t"}
    wholes = not_told_apart([first, second])
    assert wholes["x"] == wholes["y"]
    assert wholes["c1"] == wholes["c2"] != wholes["x"]
    assert "u" not in wholes
    assert not_told_apart([]) == {}
