"""Feedback in the words of an earlier version."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from progressive_tf.serving.answers.classes import ServedClasses
from progressive_tf.serving.feedback_routes import _known_labels
from progressive_tf.serving.limits import Refusal

NEW = SimpleNamespace(
    labels=("security", "refund", "in"),
    labels_before={"pin": "security", "chargeback": "refund", "refund": "refund"},
    has_tasks=False,
    normalize_labels="casefold",
)
OLD = SimpleNamespace(labels=("pin", "refund", "chargeback"), labels_before={}, has_tasks=False, normalize_labels=None)


def read(label: str, *versions: Any) -> str:
    by_number = {number: SimpleNamespace(loaded=version) for number, version in enumerate(versions)}
    served = SimpleNamespace(standing=SimpleNamespace(by_number=by_number))
    return str(ServedClasses().read_feedback(label, _known_labels(cast("Any", served)))[0])


def test_old_words_count_as_what_they_are_called_now() -> None:
    assert read("pin", NEW) == "security"
    assert read("Chargeback ", NEW) == "refund"
    assert read("refund", NEW) == "refund"


def test_a_word_that_a_version_in_memory_answers_with_stays() -> None:
    assert read("pin", OLD, NEW) == "pin"


def test_a_class_that_was_split_is_refused() -> None:
    with pytest.raises(Refusal, match="unknown label 'transfer'"):
        read("transfer", NEW)
