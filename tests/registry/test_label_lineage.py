"""Words of one version beside those of another."""

from __future__ import annotations

from typing import Any

import pytest

from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage, spoken


def file(words: dict[str, str]) -> dict[str, Any]:
    """Returns what a manifest says of a labels file."""
    return {"labels_file": {"changes": [{"old": old, "new": new, "from": None} for old, new in words.items()]}}


CHANGES = {
    "pin": ["security"],
    "refund": ["refund"],
    "missing": ["refund"],
    "transfer": ["failed", "stopped"],
    "cheque": [],
    "age": ["age"],
}
NOW = ["security", "refund", "failed", "stopped", "age", "card"]
LINEAGE = LabelLineage(
    spoken(
        {
            1: {"labels": list(CHANGES), "parent": None},
            2: {"labels": NOW, "parent": 1, "labels_before": {"version": 1, "labels": CHANGES}},
            # A later stage of the same run, and then a run that renames once more.
            3: {"labels": NOW, "parent": 2, "labels_before": {"version": 1, "labels": CHANGES}},
            4: {
                "labels": ["secret", *NOW[1:]],
                "parent": 3,
                "labels_before": {"version": 3, "labels": {label: [label] for label in NOW} | {"security": ["secret"]}},
            },
            5: {"labels": ["other", "one"], "parent": None},
        }
    )
)


# Version 2 was taken back; 3 begins from 1 again, and calls the same classes otherwise. Files say what else they were.
FORK = LabelLineage(
    spoken(
        {
            1: {"labels": ["pin", "refund", "fee", "transfer", "age"]} | file({"pin code": "pin"}),
            2: {
                "labels": ["security", "refund", "in", "out", "age", "card"],
                "parent": 1,
                "labels_before": {
                    "version": 1,
                    "labels": {
                        "pin": ["security"],
                        "refund": ["refund"],
                        "fee": ["refund"],
                        "transfer": ["in", "out"],
                        "age": ["age"],
                    },
                },
            },
            3: {
                "labels": ["secret", "refund", "fee", "in", "sent", "age"],
                "parent": 1,
                "labels_before": {
                    "version": 1,
                    "labels": {
                        "pin": ["secret"],
                        "refund": ["refund"],
                        "fee": ["fee"],
                        "transfer": ["in", "sent"],
                        "age": ["age"],
                    },
                },
            },
            4: {"labels": ["secret", "refund", "fee", "in", "sent", "age"], "parent": 3} | file({"cost": "fee"}),
        }
    )
)


@pytest.mark.parametrize(
    ("version", "said", "truth", "right"),
    [
        (1, "pin", "pin", True),
        (1, "pin", "age", False),
        (1, "pin", "security", True),  # in a word of now
        (1, "pin", "secret", True),  # and of later still
        (1, "age", "secret", False),
        (1, "transfer", "failed", True),  # it said as much as it could
        (1, "age", "card", False),  # which it does not know, and a later one does
        (2, "security", "pin", True),  # in an old word
        (4, "secret", "pin", True),
        (4, "secret", "security", True),
        (2, "age", "pin", False),
        (2, "refund", "missing", True),
        (2, "failed", "transfer", True),  # nobody said which part
        (2, "age", "transfer", False),
        (2, "age", "cheque", False),
        (2, "age", "crypto", None),
        (1, "age", "crypto", None),
        (2, "age", "other", False),  # a class of a version that is none of its line: its caller got another
        (9, "a", "b", False),  # a version that nobody knows
        (2, ["age", "security"], ["age", "pin"], True),
        (2, ["age", "security"], ["card", "crypto"], False),
        (2, ["age", "security"], ["age", "crypto"], None),
        (2, ["age"], ["age", "age"], False),
        (2, "age", None, False),
    ],
)
def test_an_answer_is_judged_in_the_words_of_its_version(version: int, said: Any, truth: Any, right: Any) -> None:
    assert LINEAGE.is_right(version, said, truth) is right


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ((1, "pin"), (2, "security"), True),
        ((4, "secret"), (1, "pin"), True),
        ((1, "missing"), (2, "refund"), True),  # though version 1 has a class refund too
        ((1, "transfer"), (3, "stopped"), True),
        ((1, "age"), (2, "age"), True),
        ((1, "age"), (2, "refund"), False),
        ((1, "cheque"), (2, "age"), False),
        ((2, "age"), (2, "card"), False),
        ((5, "one"), (2, "one"), True),
        ((5, "one"), (2, "age"), False),
        ((1, ["pin", "age"]), (2, ["security", "age"]), True),
        ((1, ["pin", "age"]), (2, ["security", "card"]), False),
    ],
)
def test_two_versions_agree_who_say_the_same_in_words_of_their_own(one: Any, other: Any, agree: bool) -> None:
    assert LINEAGE.agree(one, other) is agree
    assert LINEAGE.agree(other, one) is agree


def test_old_words_are_those_of_the_whole_line() -> None:
    assert LINEAGE.old_words(4) == {
        "security": ("secret",),
        "pin": ("secret",),
        "missing": ("refund",),
        "transfer": ("failed", "stopped"),
        "cheque": (),
    }
    assert LINEAGE.old_words(1) == LINEAGE.old_words(9) == {}


def test_what_labels_were_called_is_of_the_nearest_version_that_called_them_otherwise() -> None:
    assert LINEAGE.before(1) is None
    two, three, four = (LINEAGE.before(number) for number in (2, 3, 4))
    assert two is not None
    assert three is not None
    assert four is not None
    assert (two[0], three[0], four[0]) == (1, 1, 3)
    assert dict(three[1].of) == {old: tuple(news) for old, news in CHANGES.items()}


@pytest.mark.parametrize(
    ("number", "said", "now"),
    [
        (1, "pin", "secret"),
        (1, "missing", "refund"),
        (2, "age", "age"),
        (1, "transfer", "transfer"),  # which part it is, nobody knows
        (1, "cheque", "cheque"),
        (4, "secret", "secret"),
        (5, "one", "one"),
        (1, ["pin", "age"], ["secret", "age"]),
        (1, {"text_sha256": "1"}, {"text_sha256": "1"}),
    ],
)
def test_answers_of_earlier_versions_are_told_in_the_words_of_now(number: int, said: Any, now: Any) -> None:
    assert LINEAGE.in_words_of(4, number, said) == now


def test_a_word_is_strange_that_no_version_has() -> None:
    assert LINEAGE.strange("crypto") == ("crypto",)
    assert LINEAGE.strange("cheque") == LINEAGE.strange(None) == LINEAGE.strange({"text_sha256": "1"}) == ()
    assert LINEAGE.strange(["age", "crypto", "crypto"]) == ("crypto",)
    assert EVERY_WORD.strange("crypto") == ()


def test_an_answer_of_a_task_is_its_class_alone() -> None:
    lineage = LabelLineage(spoken({1: {"labels": ["animals/cat", "animals/dog"]}}, with_tasks=[1]))
    assert lineage.is_right(1, "cat", "dog") is False
    assert lineage.is_right(1, "cat", "cow") is None


def test_a_slash_in_the_name_of_a_class_is_no_task() -> None:
    changes = {"refund": ["billing/refund"], "card": ["card"]}
    lineage = LabelLineage(
        spoken(
            {
                1: {"labels": ["refund", "card"]},
                2: {
                    "labels": ["billing/refund", "card"],
                    "parent": 1,
                    "labels_before": {"version": 1, "labels": changes},
                },
            }
        )
    )
    assert lineage.old_words(2) == {"refund": ("billing/refund",)}
    assert lineage.is_right(2, "billing/refund", "refund") is True
    assert lineage.is_right(2, "card", "refund") is False
    alone = LabelLineage(spoken({1: {"labels": ["billing/refund", "billing/fee"]}}))
    assert alone.is_right(1, "billing/refund", "refund") is None
    assert alone.strange("refund") == ("refund",)


def test_labels_that_follow_from_no_others_are_compared_as_they_are() -> None:
    lineage = LabelLineage(
        spoken({1: {"labels": ["a", "b"]}, 2: {"labels": ["b", "a"], "parent": 1}, 4: {"labels": ["a"], "parent": 3}})
    )
    assert list(lineage.line(2)) == list(lineage.line(4)) == []
    assert lineage.agree((1, "a"), (2, "a"))
    assert lineage.is_right(2, "a", "b") is False


@pytest.mark.parametrize(
    ("version", "said", "truth", "right"),
    [
        (1, "pin", "security", True),
        (3, "secret", "security", True),
        (3, "age", "security", False),
        (2, "security", "secret", True),
        (3, "in", "in", True),
        (3, "sent", "out", True),  # parts that are called otherwise
        (3, "sent", "in", False),
        (3, "fee", "card", False),
        (1, "transfer", "sent", True),
        (3, "secret", "pin code", True),  # a word of the file of an ancestor
        (4, "secret", "pin code", True),
        (2, "security", "pin code", True),
        (3, "fee", "cost", True),  # and of a version that came later
        (1, "fee", "cost", True),
        (2, "refund", "cost", True),
        (2, "age", "cost", False),
    ],
)
def test_words_of_a_version_that_was_taken_back_are_understood(version: int, said: str, truth: str, right: Any) -> None:
    assert FORK.is_right(version, said, truth) is right


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ((2, "security"), (3, "secret"), True),
        ((2, "refund"), (4, "fee"), True),
        ((2, "in"), (3, "in"), True),
        ((2, "in"), (3, "sent"), False),
        ((2, "out"), (3, "sent"), True),
        ((2, "card"), (3, "age"), False),
    ],
)
def test_versions_of_one_origin_agree_through_it(one: Any, other: Any, agree: bool) -> None:
    assert FORK.agree(one, other) is agree
    assert FORK.agree(other, one) is agree


@pytest.mark.parametrize(
    ("version", "number", "said", "told"),
    [
        (1, 2, "security", "pin"),
        (1, 2, "in", "transfer"),  # a part is the whole
        (1, 2, "refund", "refund"),  # and may have been two
        (1, 2, "card", "card"),
        (3, 2, "security", "secret"),
        (2, 4, "fee", "refund"),
        (1, 2, ["security", "age"], ["pin", "age"]),
    ],
)
def test_answers_of_a_version_that_was_taken_back_are_told_in_the_words_in_use(
    version: int, number: int, said: Any, told: Any
) -> None:
    assert FORK.in_words_of(version, number, said) == told


def test_words_of_all_versions_for_one_class_of_a_version() -> None:
    assert FORK.words_for(1) == {
        "pin code": "pin", "security": "pin", "secret": "pin", "in": "transfer", "out": "transfer", "sent": "transfer",
        "cost": "fee",
    }  # fmt: skip
    assert FORK.words_for(9) == {}


def test_words_of_files_are_old_words_of_all_that_come_after() -> None:
    assert FORK.old_words(1) == {"pin code": ("pin",)}
    assert FORK.old_words(3) == {"pin": ("secret",), "pin code": ("secret",), "transfer": ("in", "sent")}
    assert FORK.old_words(4) == FORK.old_words(3) | {"cost": ("fee",)}


def test_what_was_worked_out_of_two_versions_is_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    line = LabelLineage.line
    monkeypatch.setattr(LabelLineage, "line", lambda self, number: walked.append(number) or line(self, number))
    labels = [f"class {number}" for number in range(77)]
    lineage = LabelLineage(spoken({n: {"labels": labels, "parent": n - 1} for n in range(1, 13)}))
    for label in labels:
        assert lineage.in_words_of(12, 12, label) == label
    assert walked == [], "its own words are its own"
    for label in labels:
        assert lineage.in_words_of(12, 3, label) == label
        assert not lineage.agree((3, label), (12, "another"))
        assert lineage.old_words(12) == {}
    assert len(walked) < 12


def test_labels_that_stay_are_not_put_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LabelMap, "then", lambda self, later: pytest.fail("the same map, of one label after the other"))
    lineage = LabelLineage(spoken({n: {"labels": ["a", "b"], "parent": n - 1} for n in range(1, 13)}))
    assert [older for older, _ in lineage.line(12)] == list(range(11, 0, -1))
