from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from progressive_tf.errors import InputError
from progressive_tf.labelling.agreement import agreement, alpha
from progressive_tf.labelling.answers import Answer, settle, suspects
from progressive_tf.labelling.questions import Given, id_of


def given(text: str, label: str | None, by: str = "", why: str = "random") -> Given:
    return Given(id_of({"text": text}), why, {"text": text}, label, by)


def test_alpha_is_that_of_the_source() -> None:
    # Krippendorff 2011, C: four observers, twelve units, of which the last has one label and pairs with none.
    units = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11"]
    assert alpha([list(unit) for unit in units]) == pytest.approx(0.743, abs=0.0005)


def test_alpha_by_hand() -> None:
    # Two questions, ab and aa: o_ab = 2 of n = 4 with 3 a and 1 b; 1 − 3 · 2 / (2 · 3 · 1) = 0.
    assert alpha(["ab", "aa"]) == pytest.approx(0.0)
    assert alpha(["aa", "bb"]) == pytest.approx(1.0)


def test_two_people_who_answer_the_same_questions_have_a_kappa_too() -> None:
    ours, theirs = list("aabbab"), list("aabbba")
    found = agreement([{"x": one, "y": other} for one, other in zip(ours, theirs, strict=True)])
    assert found is not None
    assert (found.questions, found.same) == (6, 4)
    assert found.kappa == pytest.approx(cohen_kappa_score(ours, theirs))
    assert "6 questions were answered by two people or more, 4 of them alike" in found.words
    three = agreement([{"x": "a", "y": "b"}, {"x": "a", "z": "a"}, {"y": "b"}])
    assert three is not None
    assert three.kappa is None
    assert agreement([{"x": "a"}, {}]) is None
    alike = agreement([{"x": "a", "y": "a"}])
    assert alike is not None
    assert alike.alpha is None
    assert alike.words == "1 question was answered by two people or more, 1 of them alike"


def test_what_most_people_say_holds_and_a_tie_is_put_aside() -> None:
    first = [given("one", "a"), given("two", "a"), given("three", None), given("four", "a"), given("five", "b")]
    second = [given("one", "b"), given("two", "b"), given("four", "a")]
    third = [given("two", "b")]
    found = settle([first, second, third])
    assert {answer.input["text"]: answer.label for answer in found.answers} == {"two": "b", "four": "a", "five": "b"}
    assert found.put_aside == {"were given as many different labels": 1, "have no label": 1}
    assert [(doubt.input["text"], doubt.label) for doubt in found.doubts] == [("one", "a | b"), ("two", "b | a")]
    assert found.agreement is not None
    assert (found.agreement.questions, found.agreement.same) == (3, 1)


def test_who_writes_a_label_in_another_way_agrees() -> None:
    first, second = [given("one", "Card Lost"), given("two", "a")], [given("one", "card_lost"), given("two", "A")]
    found = settle([first, second], lambda label: label.lower().replace("_", " "))
    assert [answer.label for answer in found.answers] == ["card lost", "a"]
    assert found.doubts == []
    assert found.agreement is not None
    assert found.agreement.same == 2


def test_of_two_answers_of_one_person_the_later_holds() -> None:
    found = settle([[given("one", "a", "ann"), given("one", "b", "ann")], [given("one", "b", "bob")]])
    assert [answer.label for answer in found.answers] == ["b"]
    assert found.doubts == []


def test_a_text_that_was_changed_is_put_aside_and_another_reason_refused() -> None:
    changed = Given(id_of({"text": "one"}), "random", {"text": "another"}, "a")
    found = settle([[changed, given("two", "a")]])
    assert [answer.input["text"] for answer in found.answers] == ["two"]
    assert found.put_aside == {"came back with another text than was asked": 1}
    with pytest.raises(InputError, match="the reason 'whim'; one of random, uncertain expected"):
        settle([[given("one", "a", why="whim")]])


def test_a_label_against_a_sure_version_looks_wrong() -> None:
    labels = ["a", "b", "c"]  # nobody said c
    truth = ["a"] * 20 + ["b"] * 20
    said = ["b" if place == 3 else label for place, label in enumerate(truth)]
    probabilities = np.array([[0.9, 0.08, 0.02] if label == "a" else [0.1, 0.88, 0.02] for label in truth])
    answers = [Answer(f"{place:016x}", "uncertain", {"text": str(place)}, label) for place, label in enumerate(said)]
    found = suspects(answers, labels, probabilities)
    assert [(doubt.input["text"], doubt.label, doubt.better, doubt.probability) for doubt in found] == [
        ("3", "b", "a", 0.9)
    ]
    assert suspects(answers[:10], labels, probabilities[:10]) == []
    assert suspects([answer for answer in answers if answer.label == "b"], labels, probabilities[19:]) == []


def test_labels_of_gate_rows_do_not_look_wrong_to_the_version_that_they_judge() -> None:
    said = ["b" if place in (3, 30) else "a" if place % 2 else "b" for place in range(60)]
    probabilities = np.array([[0.9, 0.1] if place % 2 or place in (3, 30) else [0.1, 0.9] for place in range(60)])
    whys = ["uncertain" if place < 25 else "random" for place in range(60)]
    answers = [
        Answer(f"{place:016x}", why, {"text": str(place)}, label)
        for place, (why, label) in enumerate(zip(whys, said, strict=True))
    ]
    assert [doubt.input["text"] for doubt in suspects(answers, ["a", "b"], probabilities)] == ["3"]
