from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from progressive_tf.evaluation.paired_proof import missing
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.serving import pairs
from progressive_tf.serving.answers import KINDS
from progressive_tf.serving.kept_rows import UnlikeAnswer
from progressive_tf.serving.pairs import Pair, Paired, TwoVersions
from progressive_tf.serving.proof import proof_of
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store

TWO = TwoVersions(1, 2)
CLASSES = KINDS["classes"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        yield opened


def pair(caller: int, stable: Any = "a", candidate: Any = "a", **changes: Any) -> Pair:
    return Pair(100.0 + caller, TWO, caller, stable, candidate, f"{caller:032x}", **changes)


def disagreement(caller: int, stable: Any = "a", candidate: Any = "b") -> Pair:
    return pair(caller, stable, candidate, question=f"{caller:032x}")


def arrays(store: Store, two: TwoVersions = TWO) -> list[list[int]]:
    found = store.paired(two)
    return [each.astype(int).tolist() for each in (found.differs, found.is_known, found.gains)]


def test_what_each_pair_says(store: Store) -> None:
    said = [pair(1), *(disagreement(caller) for caller in (2, 3, 4, 5)), pair(6, "a", None, has_failed=True)]
    store.add([], [], said)
    for caller, label in ((2, "b"), (3, "a"), (4, "c")):
        store.answer_question(f"{caller:032x}", label)
    assert arrays(store) == [[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1], [0, 1, -1, 0, -1, -1]]
    assert store.paired(TWO).best_gains.tolist() == [0, 1, -1, 0, 1, 0]
    store.answer_question(f"{2:032x}", "a")
    assert arrays(store)[2][1] == -1
    store.answer_question(f"{5:032x}", None)  # none of the classes: both are wrong
    assert [each[4] for each in arrays(store)] == [1, 1, 0]
    assert store.questions(TWO, 9, CLASSES) == []
    assert store.paired(TWO).times.tolist() == [101.0, 102.0, 103.0, 104.0, 105.0, 106.0]


def test_a_caller_counts_once_for_two_versions(store: Store) -> None:
    store.add([], [], [pair(1), disagreement(1)])
    store.add([], [], [disagreement(1), Pair(100.0, TwoVersions(3, 2), 1, "a", "b")])
    assert arrays(store) == [[0], [1], [0]]
    assert arrays(store, TwoVersions(3, 2)) == [[1], [0], [-1]]
    assert arrays(store, TwoVersions(2, 1)) == [[], [], []]


def test_while_many_questions_are_open_no_callers_are_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_ADD", pairs._ADD.replace(f"< {pairs.MOST_OPEN}", "< 2"))
    store.add([], [], [disagreement(1), pair(2), disagreement(3), pair(4), disagreement(5)])
    assert arrays(store)[0] == [1, 0, 1]
    store.answer_question(f"{3:032x}", "a")
    store.add([], [], [pair(6), disagreement(7), pair(8)])
    assert arrays(store)[0] == [1, 0, 1, 0, 1]


def test_the_oldest_disagreements_are_asked_and_both_answers_are_hidden(store: Store) -> None:
    store.add([], [], [pair(1), *(disagreement(caller) for caller in range(2, 50))])
    asked = store.questions(TWO, 40, CLASSES)
    assert [each["question_id"] for each in asked] == [f"{caller:032x}" for caller in range(2, 42)]
    assert set(asked[0]) == {"question_id", "prediction_id"}  # its input is not kept
    store.answer_question(asked[0]["question_id"], "a")
    assert store.questions(TWO, 40, CLASSES)[0] == asked[1]


def test_a_question_shows_the_input_where_it_is_kept_and_nothing_that_was_answered(store: Store) -> None:
    kept = {"text": "a film", "translation": "ein Film", "expected": "einen Film"}
    answered = Answered(f"{2:032x}", {"text_sha256": "1"}, None, kept)
    request = ServedRequest(1.0, version=1, alias="stable", step=7, status=200, seconds=0.0, answers=[answered])
    store.add([request], [], [disagreement(2, {"text_sha256": "1"}, {"text_sha256": "2"})])
    (asked,) = store.questions(TWO, 9, KINDS["texts"])
    assert asked == {"question_id": f"{2:032x}", "input": {"text": "a film"}}


def test_a_label_of_another_kind_or_for_nothing_is_refused(store: Store) -> None:
    store.add([], [], [disagreement(2)])
    with pytest.raises(UnlikeAnswer, match="a string expected"):
        store.answer_question(f"{2:032x}", ["a"])
    store.add([], [], [disagreement(4, ["a"], ["b"])])
    store.answer_question(f"{4:032x}", None)
    with pytest.raises(LookupError):
        store.answer_question(f"{3:032x}", "a")


def test_what_users_say_unasked_is_no_evidence(store: Store) -> None:
    store.add([], [], [disagreement(2)])
    for given in (Feedback(f"{2:032x}", label="b"), Feedback(f"{2:032x}", correct=True)):
        store.add_feedback(given, 5.0)
    assert arrays(store) == [[1], [0], [-1]]


def test_what_is_old_goes(store: Store) -> None:
    store.add([], [], [pair(1), pair(2)])
    store.prune(102.0, 1e6)
    assert arrays(store) == [[0], [1], [0]]


SCHEDULE = ReleaseSchedule()


def test_the_same_answers_prove_themselves(store: Store) -> None:
    store.add([], [], [pair(caller) for caller in range(300)])
    found = proof_of(store.paired(TWO), SCHEDULE, 500.0)
    assert found.is_shown
    assert found.says.startswith("it is shown to be at most 2 points less accurate than stable: surely -1.")
    assert found.says.endswith("by 300 callers, 0 disagreements, 0 of them judged")
    stricter = SCHEDULE.model_copy(update={"max_accuracy_drop": 0.001})
    assert not proof_of(store.paired(TWO), stricter, 500.0).is_shown


def test_what_is_missing_is_said_with_a_date_at_the_present_rate(store: Store) -> None:
    nothing = proof_of(store.paired(TWO), SCHEDULE, 500.0)
    assert not nothing.is_shown
    assert "no caller has come" in nothing.lacks
    store.add([], [], [disagreement(caller) if caller % 10 == 0 else pair(caller) for caller in range(400)])
    unjudged = proof_of(store.paired(TWO), SCHEDULE, 500.0)
    assert unjudged.lacks.endswith("if it is as good as stable, and no disagreement has been judged")
    for caller in range(0, 400, 10):
        store.answer_question(f"{caller:032x}", "ab"[caller // 10 % 2])
    judged = proof_of(store.paired(TWO), SCHEDULE, 500.0)
    assert "judged disagreements and" in judged.lacks
    assert judged.lacks.endswith(" UTC")
    assert "at the present rate until 1970-01-01 00:" in judged.lacks


def test_unlabelled_disagreements_are_the_worst_that_they_may_be(store: Store) -> None:
    store.add([], [], [disagreement(caller) for caller in range(50)])
    before = proof_of(store.paired(TWO), SCHEDULE, 500.0)
    assert np.all(store.paired(TWO).gains == -1)
    assert "surely -100.0 points" in before.says


def test_labels_show_harm_and_what_has_none_does_not(store: Store) -> None:
    store.add([], [], [disagreement(caller) if caller % 5 == 0 else pair(caller) for caller in range(300)])
    assert proof_of(store.paired(TWO), SCHEDULE, 500.0).harm == 1.0
    for caller in range(0, 300, 5):
        store.answer_question(f"{caller:032x}", "a")
    assert proof_of(store.paired(TWO), SCHEDULE, 500.0).harm > 100


def test_a_proof_is_forecast_by_the_rate_since_the_first_caller_came() -> None:
    """Of 100 callers in an hour one in two disagreed, and half of those were judged."""
    began, hour = 1_700_000_000.0, 3600.0
    differs = np.arange(100) % 2 == 0
    known = ~differs | (np.arange(100) < 50)
    gains = np.where(known, np.where(differs, np.where(np.arange(100) % 4 == 0, 1, -1), 0), -1).astype(np.int8)
    paired = Paired(began + np.arange(100.0), differs, known, np.zeros(100, bool), gains)
    left = missing(differs, gains, known, SCHEDULE.max_accuracy_drop, SCHEDULE.alpha)
    seconds = hour * max(left.labels / int((differs & known).sum()), left.callers / 100)
    end = datetime.fromtimestamp(began + hour + seconds, timezone.utc)
    assert f"until {end:%Y-%m-%d %H:%M} UTC" in proof_of(paired, SCHEDULE, began + hour).lacks
