"""What a version's metadata says beside its signatures, for every kind of answer."""

from __future__ import annotations

from typing import Any

import pytest

from progressive_tf.serving.described import describe, place_of

TABLE: dict[str, Any] = {
    "columns": {"numbers": ["age", "weight in kg"], "categories": ["city"], "hashed": {"shop": 4}},
    "means": [2.0, 60.0],
    "variances": [4.0, 0.0],
    "vocabularies": [["Oslo", "Rome"]],
}


def test_the_classes_of_probabilities_are_named_in_their_order() -> None:
    found = describe({"labels": ["no", "yes"], "inputs": {"max_length": 32}}, ["text"], ["probabilities"], False)
    assert found == {
        "labels": ["no", "yes"],
        "inputs": {"max_length": 32},
        "outputs": {"probabilities": "the probability of each class, in the order of labels"},
    }


def test_the_classes_of_each_task_are_named_as_answers_have_them() -> None:
    labels = ["first/a", "first/b", "second/a"]
    found = describe({"labels": labels}, ["features", "task"], ["probabilities", "label"], True)
    assert found["labels"] == labels
    assert found["tasks"] == {"first": ["a", "b"], "second": ["a"]}


def test_a_translator_has_no_classes_and_says_what_it_answers_with() -> None:
    outputs = ["confidence", "is_whole", "translation"]
    found = describe({"labels": [], "inputs": {"max_length": 8, "prefix": "to: "}}, ["text"], outputs, False)
    assert found["labels"] == []
    assert found["inputs"]["prefix"] == "to: "
    assert list(found["outputs"]) == ["translation", "confidence", "is_whole"]


def test_columns_come_in_the_order_of_a_row_with_what_is_known_of_each() -> None:
    inputs = ["features", "age", "city", "shop", "weight_in_kg"]
    columns = describe({"labels": ["a"], "preprocessing": TABLE}, inputs, [], False)["inputs"]["columns"]
    assert columns == [
        {"name": "age", "kind": "number", "mean": 2.0, "standard_deviation": 2.0, "argument": "age"},
        {
            "name": "weight in kg",
            "kind": "number",
            "mean": 60.0,
            "standard_deviation": 0.0,
            "argument": "weight_in_kg",
        },
        {"name": "city", "kind": "category", "values": ["Oslo", "Rome"], "argument": "city"},
        {"name": "shop", "kind": "hashed", "buckets": 4, "argument": "shop"},
    ]


def test_a_version_of_an_earlier_release_says_what_it_knows() -> None:
    assert describe({}, ["text"], ["label"], False) == {
        "labels": [],
        "inputs": {},
        "outputs": {"label": "the most probable class"},
    }


@pytest.mark.parametrize("first", ["probabilities", "translation", "start"])
def test_the_answer_comes_before_what_is_said_of_the_input(first: str) -> None:
    assert sorted(["used_tokens", "other", first, "input_tokens"], key=place_of) == [
        first,
        "input_tokens",
        "used_tokens",
        "other",
    ]
