"""Feedback in the words of an earlier version, and in those of a later one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tensorflow as tf
from serving_fakes import MODEL, release

from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.registry import Registry
from progressive_tf.registry.label_lineage import LabelLineage, spoken
from progressive_tf.serving.answers.classes import ServedClasses
from progressive_tf.serving.feedback_routes import _known_labels, _told
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.store import Store

CHANGES = {
    "pin": ["security"],
    "chargeback": ["refund"],
    "refund": ["refund"],
    "transfer": ["in", "out"],
    "cheque": [],
}
LINEAGE = LabelLineage(
    spoken(
        {
            1: {"labels": list(CHANGES)},
            2: {
                "labels": ["security", "refund", "in", "out", "card"],
                "parent": 1,
                "labels_before": {"version": 1, "labels": CHANGES},
            },
        }
    )
)


def version(number: int, **changes: Any) -> Any:
    said = {"number": number, "labels": LINEAGE.of[number].labels, "has_tasks": False, "normalize_labels": None}
    return SimpleNamespace(**said | changes)


OLD, NEW = version(1), version(2, normalize_labels="casefold")


def served(*versions: Any) -> Any:
    by_number = {one.number: SimpleNamespace(loaded=one) for one in versions}
    return cast("Any", SimpleNamespace(standing=SimpleNamespace(by_number=by_number), lineage=LINEAGE))


def read(label: str, *versions: Any) -> str:
    return str(ServedClasses().read_feedback(label, _known_labels(served(*versions)))[0])


def test_old_words_count_as_what_they_are_called_now() -> None:
    assert read("pin", NEW) == "security"
    assert read("Chargeback ", NEW) == "refund"
    assert read("refund", NEW) == "refund"


def test_a_word_that_a_version_in_memory_answers_with_stays() -> None:
    assert read("pin", OLD, NEW) == "pin"


def test_a_class_that_was_split_is_refused_with_its_parts() -> None:
    with pytest.raises(Refusal, match="'transfer' is several classes by now; send in or out"):
        read("transfer", NEW)
    assert read("transfer", OLD, NEW) == "transfer"


def test_a_reply_says_of_a_class_that_is_gone_what_it_does() -> None:
    for label, versions in (("cheque", [NEW]), ("card", [OLD])):
        assert read(label, *versions) == label
        told = _told(label, label, served(*versions))
        assert set(told) == {"message"}
        assert f"{label!r} is a class of another version, and of none that is served, so" in told["message"]
        assert all(LINEAGE.is_right(one.number, one.labels[0], label) is False for one in versions)
    assert _told("cheque", "cheque", served(OLD, NEW)) == {}


def test_a_word_that_judges_is_not_called_unknown() -> None:
    assert _told("security", "security", served(NEW)) == {}
    assert _told("security", "security", served(OLD)) == {}, "as version 2 calls it, which was taken back"
    assert LINEAGE.is_right(1, "pin", "security") is True
    assert _told("in", "in", served(OLD)) == {}


def test_a_class_that_never_was_is_known_to_nobody() -> None:
    assert read("crypto", NEW) == "crypto"
    assert _told("crypto", "crypto", served(NEW))["unknown_label"] == "crypto"
    assert LINEAGE.is_right(2, "card", "crypto") is None


def test_words_that_no_version_in_memory_has_may_be_written_as_others() -> None:
    assert read("Cheque ", NEW) == "cheque"


def test_a_task_is_taken_apart_for_versions_that_have_tasks() -> None:
    plain = version(2, labels=("billing/refund", "card"))
    assert "refund" not in _known_labels(served(plain)).names
    assert _known_labels(served(plain)).names["billing/refund"] == "billing/refund"
    by_task = version(1, labels=("animals/cat",), has_tasks=True)
    both = served(plain, by_task)
    both.lineage = LabelLineage()
    assert _known_labels(both).names == {
        "animals/cat": "cat",
        "cat": "cat",
        "billing/refund": "billing/refund",
        "card": "card",
    }


def test_the_model_itself_says_whether_a_slash_stands_behind_a_task(tmp_path: Path) -> None:
    def by_task(folder: Path) -> None:
        class ByTask(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in ("text", "task")])
            def serve(self, text: tf.Tensor, task: tf.Tensor) -> dict[str, tf.Tensor]:
                return {"probabilities": tf.fill([tf.shape(text)[0], 2], 0.5), "label": tf.strings.join([text, task])}

        served = ByTask()
        tf.saved_model.save(served, str(folder), signatures={"serving_default": served.serve})

    model = Registry(tmp_path / "registry").model(MODEL)
    labels = ("animals/cat", "animals/dog")
    release(model, 1, labels=labels)
    release(model, 2, labels=labels, export=by_task)
    lineage = LabelLineage.read(model)
    for number, has_tasks in ((1, False), (2, True)):
        assert lineage.of[number].has_tasks is has_tasks
        assert LoadedVersion(model.version(number)).has_tasks is has_tasks


# What a version said, and what is right in the words of either; whether it is.
JUDGED = [
    (1, "pin", "security", 1),
    (1, "pin", "pin", 1),
    (1, "refund", "pin", 0),
    (1, "refund", "card", 0),
    (2, "security", "pin", 1),
    (2, "refund", "chargeback", 1),
    (2, "in", "transfer", 1),
    (2, "card", "transfer", 0),
    (2, "card", "crypto", None),
    (1, "pin", "crypto", None),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        opened.follow([], LINEAGE)
        yield opened


def test_a_canary_and_live_metrics_judge_by_either_words(store: Store) -> None:
    store.add(
        ServedRequest(
            1.0, number, "canary" if number == 2 else "stable", 5, 200, 0.0, [Answered(f"{row:032x}", said, None)], row
        )
        for row, (number, said, _, _) in enumerate(JUDGED)
    )
    for row, (_, _, truth, _) in enumerate(JUDGED):
        store.add_feedback(Feedback(f"{row:032x}", truth), 2.0)
    counts = store.step_counts(5)
    for side, number in ((counts.stable, 1), (counts.canary, 2)):
        known = {row: right for row, (by, _, _, right) in enumerate(JUDGED) if by == number and right is not None}
        assert side.right.callers.tolist() == list(known)
        assert side.right.having.tolist() == list(known.values())
    live = read_live_rows(store.path, lineage=LINEAGE, version=2).answers
    assert list(live["right"]) == [None if right is None else bool(right) for *_, right in JUDGED]
    assert list(live["label"][:3]) == ["security", "security", "refund"], "in the words of version 2"


def test_like_rows_are_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [(1, "pin", "security"), (1, "pin", "security"), (1, "pin", None), (1, "refund", None)] * 5
    store.add(
        ServedRequest(1.0, number, "stable", 5, 200, 0.0, [Answered(f"{row:032x}", label, None)], row)
        for row, (number, label, _) in enumerate(said)
    )
    for row, (*_, truth) in enumerate(said):
        if truth is not None:
            store.add_feedback(Feedback(f"{row:032x}", truth), 2.0)
    asked = []
    for name in ("is_right", "in_words_of", "strange"):
        asks = getattr(LabelLineage, name)
        monkeypatch.setattr(LabelLineage, name, lambda self, *of, asks=asks: asked.append(of) or asks(self, *of))
    live = read_live_rows(store.path, lineage=LINEAGE, version=2).answers
    assert list(live["label"]) == ["security", "security", "security", "refund"] * 5
    assert list(live["right"]) == [True, True, None, None] * 5
    assert len(asked) == 5, "one judgement, two answers, and a right label with none"


def test_a_canary_that_calls_a_class_otherwise_does_not_say_something_else(store: Store) -> None:
    said = [("security", "pin"), ("in", "transfer"), ("refund", "pin")]
    store.add(
        [
            ServedRequest(1.0, 2, "canary", 5, 200, 0.0, [Answered(f"{row:032x}", ours, None)], row)
            for row, (ours, _) in enumerate(said)
        ],
        [Shadowed(1.0, f"{row:032x}", 1, theirs, None, None) for row, (_, theirs) in enumerate(said)],
    )
    assert store.step_counts(5).other.having.tolist() == [0, 0, 1]


# What stable and a candidate say, what is right, and what the candidate gains: the worst where that cannot be told.
PAIRS = [
    ("pin", "security", None, 0),  # the same: nobody is asked
    ("transfer", "out", None, 0),
    ("pin", "refund", "pin", -1),
    ("pin", "refund", "security", -1),
    ("pin", "refund", "chargeback", 1),
    ("pin", "out", "transfer", 1),
    ("transfer", "card", "card", 1),
    ("cheque", "card", "cheque", -1),
    ("pin", "card", "crypto", 0),  # nobody knows it: both are wrong
    ("pin", "card", "", -1),  # nobody was asked yet
]


def test_a_proof_reads_both_versions_in_their_own_words(store: Store) -> None:
    two = TwoVersions(1, 2)
    ids = [f"{row:032x}" for row in range(len(PAIRS))]
    store.add(
        [],
        [],
        [Pair(1.0, two, row, *PAIRS[row][:2], f"{row:032x}", question=ids[row]) for row in range(len(PAIRS))],
    )
    for question, (_, _, truth, _) in zip(ids, PAIRS, strict=True):
        if truth:
            store.answer_question(question, truth)
    found = store.paired(two)
    assert found.differs.tolist() == [truth is not None for _, _, truth, _ in PAIRS]
    assert found.gains.tolist() == [gain for *_, gain in PAIRS]


def test_a_class_that_a_version_of_another_line_brings_counts_on_both_sides(tmp_path: Path) -> None:
    two = TwoVersions(1, 2)
    given = [(1, "age", "card", 0), (1, "age", "age", 1), (2, "card", "card", 1), (2, "age", "card", 0)]
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        opened.follow([], LabelLineage(spoken({1: {"labels": ["age", "pin"]}, 2: {"labels": ["age", "card", "pin"]}})))
        opened.add(
            [
                ServedRequest(
                    1.0,
                    number,
                    "canary" if number == 2 else "stable",
                    5,
                    200,
                    0.0,
                    [Answered(f"{row:032x}", said, None)],
                    row,
                )
                for row, (number, said, _, _) in enumerate(given)
            ],
            [],
            [Pair(1.0, two, 100, "age", "card", "f" * 32, question="a" * 32)],
        )
        for row, (_, _, truth, _) in enumerate(given):
            opened.add_feedback(Feedback(f"{row:032x}", truth), 2.0)
        opened.answer_question("a" * 32, "card")
        counts = opened.step_counts(5)
        assert counts.stable.right.having.tolist() == [0, 1]
        assert counts.canary.right.having.tolist() == [1, 0]
        assert opened.paired(two).gains.tolist() == [1]
