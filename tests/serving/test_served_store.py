from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.evaluation.tally import Tally
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.registry.journal import Entry
from progressive_tf.serving import step_counts
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.store import Store, StoreError
from progressive_tf.serving.store_schema import ReleaseMark, read_marks

ID = "0" * 32


def request(
    number: int, time: float = 100.0, step: int = 7, alias: str = "canary", input: str | None = None
) -> ServedRequest:
    kept = None if input is None else {"text": input}
    answered = Answered(f"{number:032x}", "positive", [0.2, 0.8], kept)
    return ServedRequest(time, version=2, alias=alias, step=step, status=200, seconds=0.01, answers=[answered])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "model" / "served.sqlite")) as opened:
        yield opened


def rows(store: Store, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def rows_of(tally: Tally) -> list[tuple[int, int, int]]:
    """Returns callers, how many of theirs have it, and how many there are."""
    columns = (each.tolist() for each in (tally.callers, tally.having, tally.total))
    return list(zip(*columns, strict=True))


def test_what_is_added_is_there_for_another_process(store: Store) -> None:
    cut = request(1, input="a film")
    cut = replace(cut, answers=[replace(each, was_cut=True, abstained=False) for each in cut.answers])
    store.add([cut, request(2)], [Shadowed(101.0, ID, 3, "negative", [0.6, 0.4], 0.4)])
    assert rows(store, "requests") == [(n, 100.0, 2, "canary", 7, 200, 0.01, 0, None, 0, 0, None, None) for n in (1, 2)]
    assert rows(store, "predictions") == [
        (f"{1:032x}", 1, '"positive"', "[0.2,0.8]", '{"text":"a film"}', 1, 0, None),
        (f"{2:032x}", 2, '"positive"', "[0.2,0.8]", None, None, None, None),
    ]
    assert rows(store, "shadows") == [(1, 101.0, ID, 3, '"negative"', "[0.6,0.4]", 0.4)]


def test_a_file_of_the_first_format_is_read_and_taken_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "old.sqlite")
    store.add([request(1, input="a film")])
    store.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        for column in ("was_cut", "abstained", "is_unknown"):
            connection.execute(f"ALTER TABLE predictions DROP COLUMN {column}")
        connection.execute("DROP TABLE releases")
        connection.execute("DROP TABLE pairs")
        connection.execute("DROP TABLE journals")
        for column in ("stable", "journal", "failed", "computed", "size"):
            connection.execute(f"ALTER TABLE requests DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    live = read_live_rows(store.path)
    assert live.answers[["was_cut", "abstained", "is_unknown"]].isna().all(axis=None)
    assert live.mark(3) is None
    only_read = Store(store.path, only_reads=True)  # as a command does, beside a server of an earlier release
    assert only_read.step_counts(7).canary.answers == 1
    only_read.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    again = Store(store.path)
    assert read_marks(again._connection) == {}
    cut = request(2)
    marked = [replace(each, was_cut=True, abstained=True, is_unknown=False) for each in cut.answers]
    again.add([replace(cut, answers=marked)])
    again.close()
    assert [row[-3:] for row in rows(store, "predictions")] == [(None, None, None), (1, 1, 0)]
    answers = read_live_rows(store.path).answers
    read = answers[["was_cut", "abstained", "is_unknown"]].fillna(-1).to_numpy().tolist()
    assert read == [[-1, -1, -1], [1, 1, 0]]


def test_a_file_of_the_third_format_says_of_no_answer_what_came_later_until_it_is_taken_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "old.sqlite")
    store.add([request(1)])
    store.close()
    later = ["abstained", "is_unknown"]
    with closing(sqlite3.connect(store.path)) as connection, connection:
        for column in later:
            connection.execute(f"ALTER TABLE predictions DROP COLUMN {column}")
        connection.execute("ALTER TABLE requests DROP COLUMN size")
        connection.execute("PRAGMA user_version = 3")
    with closing(Store(store.path, only_reads=True)) as as_it_is:
        assert as_it_is.step_counts(7, {1: 0.001}).canary.slow == {}
        assert as_it_is.seconds_before(8) == {}
    assert read_live_rows(store.path).answers[later].isna().all(axis=None)
    Store(store.path).close()
    assert read_live_rows(store.path).answers[later].isna().all(axis=None)


def test_stables_own_answers_are_what_a_canary_is_compared_with(store: Store) -> None:
    answers = [request(number, alias="stable") for number in (1, 2, 3)]
    answers = [replace(each, version=version) for each, version in zip(answers, (1, 3, 3), strict=True)]
    shadows = [Shadowed(101.0, f"{4:032x}", version, "negative", None, None) for version in (1, 3, 5)]
    store.add([*answers, request(4)], shadows)
    counts = [store.step_counts(7, stable=stable) for stable in (None, 1, 3)]
    assert [each.stable.answers for each in counts] == [3, 1, 2]
    assert [each.canary.answers for each in counts] == [1, 1, 1]
    assert [rows_of(each.other) for each in counts] == [[(0, 3, 3)], [(0, 1, 1)], [(0, 1, 1)]]


def test_what_was_answered_beside_another_stable_or_in_another_journal_is_past(store: Store) -> None:
    def asked(number: int, **changes: Any) -> ServedRequest:
        return replace(request(number), **changes)

    journal = [Entry("intent", token=f"token {number}", id=number) for number in (1, 2, 3)]
    store.follow(journal[:2])
    store.add([asked(1, stable=1), asked(2, stable=3)])
    store.follow(journal)
    store.add([asked(3, stable=3)])
    assert [store.step_counts(7, stable=stable).canary.answers for stable in (None, 1, 3)] == [3, 1, 2]
    store.follow([])  # as while the registry's disk is away
    store.follow(journal)
    assert store.step_counts(7).canary.answers == 3
    for other in (journal[:2], [replace(each, token="made anew") for each in journal]):
        store.follow(other)
        assert store.step_counts(7).canary.answers == 0
        assert store.seconds_before(8, 2) == {}
    store.add([asked(4, stable=3)])
    with closing(Store(store.path, only_reads=True)) as reading:
        for entries, answers in (([*other, Entry("pause", id=4)], 1), (journal, 0)):
            reading.read_by(entries)
            assert reading.step_counts(7).canary.answers == answers


def test_answers_are_counted_by_step_and_only_the_canarys(store: Store) -> None:
    store.add([request(1), request(2), request(3, step=8), request(4, alias="stable")])
    assert [store.step_counts(step).canary.answers for step in (7, 8, 9)] == [2, 1, 0]


def test_counts_of_a_step_by_caller(store: Store) -> None:
    def asked(
        number: int, caller: int, status: int = 200, alias: str = "canary", computed: float = 0.0, size: int = 16
    ) -> ServedRequest:
        found = request(number, alias=alias)
        answers = found.answers if status == 200 else ()
        return replace(found, caller=caller, status=status, computed=computed, size=size, answers=answers)

    store.add(
        [
            *(asked(number, 1, computed=0.05 * number, size=size) for number, size in ((1, 64), (2, 16), (3, 16))),
            asked(4, 2),
            *(asked(number, 3, 500, computed=9.0) for number in (5, 6)),
            asked(7, 3, computed=0.5),
            asked(8, 4, alias="stable"),
            asked(9, 5, alias=""),
        ]
    )
    for number, right in ((1, True), (2, True), (3, False), (4, False), (8, True)):
        store.add_feedback(Feedback(f"{number:032x}", correct=right), 5.0)
    store.add_feedback(Feedback(f"{2:032x}", rating=1), 6.0)
    found = store.step_counts(7, slow_beyond={16: 0.12, 64: 0.01})
    assert rows_of(found.canary.failures) == [(1, 0, 3), (2, 0, 1), (3, 2, 3)]
    slow, first_slow = (
        {size: rows_of(tally) for size, tally in each.items()} for each in (found.canary.slow, found.canary.first_slow)
    )
    assert slow == {16: [(1, 1, 2), (2, 0, 1), (3, 1, 1)], 64: [(1, 1, 1)]}
    assert first_slow == {16: [(2, 0, 1), (3, 1, 1)], 64: [(1, 1, 1)]}
    assert store.step_counts(7, slow_beyond={64: 0.01}).canary.slow.keys() == {64}
    assert rows_of(found.canary.right) == [(1, 2, 3), (2, 0, 1)]
    assert rows_of(found.canary.said.tally('"positive"')) == [(1, 3, 3), (2, 1, 1), (3, 1, 1)]
    assert rows_of(found.stable.failures) == [(4, 0, 1)]
    assert rows_of(found.stable.right) == [(4, 1, 1)]
    assert store.step_counts(7).canary.slow == {}
    assert store.step_counts(8).canary.callers == 0


def test_feedback_by_label_and_a_second_opinion_are_counted(store: Store) -> None:
    store.add([request(1), request(2)])
    for number, said in ((1, Feedback(f"{1:032x}", correct=False)), (1, Feedback(f"{1:032x}", label="positive"))):
        store.add_feedback(said, 5.0 + number)
    store.add_feedback(Feedback(f"{2:032x}", label="negative"), 5.0)
    assert rows_of(store.step_counts(7).canary.right) == [(0, 1, 2)]


def test_whose_fault_a_refusal_is_may_be_said(store: Store) -> None:
    cases = [(400, None), (429, None), (429, False), (500, None), (400, True)]
    asked = [
        replace(request(number), caller=number, status=status, failed=failed, answers=())
        for number, (status, failed) in enumerate(cases)
    ]
    store.add(asked)
    assert rows_of(store.step_counts(7).canary.failures) == [(0, 0, 1), (1, 1, 1), (2, 0, 1), (3, 1, 1), (4, 1, 1)]


def test_disagreement_and_what_came_before_a_step(store: Store) -> None:
    store.add(
        [
            request(1),
            request(2),
            replace(request(3, alias="stable", step=5), seconds=9.0, computed=0.2, size=32),
            replace(request(4, alias="stable", step=5), seconds=9.0, computed=0.3),  # of an earlier release
        ],
        [Shadowed(101.0, f"{number:032x}", 1, label, None, None) for number, label in ((1, "positive"), (2, "other"))],
    )
    assert rows_of(store.step_counts(7).other) == [(0, 1, 2)]
    assert store.seconds_before(7) == {32: [0.2]}
    assert store.seconds_before(5) == {}
    assert store.seconds_before(7, 2) == {32: [0.2]}
    assert store.seconds_before(7, 3) == {}


def test_of_what_came_before_a_step_one_caller_gave_at_most_ten_of_a_size(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(number: int, size: int, caller: int = 0) -> ServedRequest:
        return replace(request(number, alias="stable", step=5), caller=caller, computed=number / 100, size=size)

    store.add([*(before(number, 16) for number in range(30)), before(30, 16, caller=1), before(31, 64)])
    expected = {16: [0.3, *(number / 100 for number in range(29, 19, -1))], 64: [0.31]}
    assert store.seconds_before(7) == expected
    monkeypatch.setattr(step_counts, "MOST_BEFORE", 2)
    assert store.seconds_before(7) == {16: [0.3, 0.29], 64: [0.31]}


def test_the_same_feedback_is_kept_once_and_other_feedback_comes_after_it(store: Store) -> None:
    store.add([request(0)])
    right, wrong = Feedback(ID, correct=True, comment="yes"), Feedback(ID, label="negative")
    assert [store.add_feedback(each, 5.0) for each in (right, right, wrong, wrong, right)] == [2] * 5
    assert [row[3:] for row in rows(store, "feedback")] == [
        (None, 1, None, "yes"),
        ('"negative"', None, None, None),
        (None, 1, None, "yes"),
    ]


def test_feedback_before_its_prediction_is_joined_once_that_comes(store: Store) -> None:
    assert store.add_feedback(Feedback(ID, rating=5), 5.0) is None
    store.add([request(0)])
    assert store.add_feedback(Feedback(ID, rating=5), 6.0) == 2
    assert len(rows(store, "feedback")) == 1


def test_pruning_removes_what_is_old_with_everything_that_belongs_to_it(store: Store) -> None:
    store.add([request(1, 10.0, input="old"), request(2, 30.0)], [Shadowed(10.0, ID, 3, "negative", None, None)])
    store.add_feedback(Feedback(f"{1:032x}", correct=True), 11.0)
    store.add_feedback(Feedback(f"{2:032x}", correct=True), 31.0)
    assert store.prune(20.0, 100.0) == 3
    assert store.prune(20.0, 100.0) == 0
    assert [row[0] for row in rows(store, "predictions")] == [f"{2:032x}"]
    assert [row[1] for row in rows(store, "feedback")] == [31.0]
    assert rows(store, "shadows") == []


def test_a_failure_keeps_nothing_of_what_was_to_be_added(store: Store) -> None:
    store.add([request(1)])
    with pytest.raises(StoreError, match=r"served\.sqlite"):
        store.add([request(2), request(1)])
    assert len(rows(store, "requests")) == 1
    store.add([request(2)])


def test_a_full_disk_is_said_and_survived(store: Store) -> None:
    store.add([request(0)])
    connection = store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="no space left on its disk"):
        store.add([request(number, input="x" * 1000) for number in range(1, 200)])
    assert len(rows(store, "requests")) == 1
    connection.execute("PRAGMA max_page_count = 100000")
    assert store.add_feedback(Feedback(ID, correct=True), 1.0) == 2


def test_a_file_of_a_newer_release_and_no_file_of_ours_are_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"newer release \(format 99"):
        Store(newer)
    strange = tmp_path / "strange.sqlite"
    strange.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="damaged, or not a file of the server's"):
        Store(strange)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another --store"):
        Store(tmp_path / "file" / "served.sqlite")


def test_feedback_is_on_the_disk_when_its_sender_is_told(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from progressive_tf.serving.store import Feedback, Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        f"store.add_feedback(Feedback({ID!r}, correct=True), 1.0)\n"
        "store._connection.execute('BEGIN IMMEDIATE')\n"
        "store._connection.execute('DELETE FROM feedback')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "served.sqlite"
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with closing(Store(path)) as opened:
        assert len(rows(opened, "feedback")) == 1


def test_a_release_is_noted_by_the_rows_before_it_and_not_by_the_clock(store: Store) -> None:
    assert read_marks(store._connection) == {}
    store.add([request(1, time=100.0), request(2, time=300.0)])
    store.add_feedback(Feedback(f"{1:032x}", correct=True), 150.0)
    store.mark_release(4, released=200.0)  # long before a server of this release began
    store.add([request(3, time=50.0)])  # the clock was set back
    store.add_feedback(Feedback(f"{2:032x}", correct=True), 50.0)
    store.mark_release(5, released=1000.0)
    store.mark_release(5, released=0.0)
    store.add([request(4, time=20.0)])
    store.add_feedback(Feedback(f"{3:032x}", correct=True), 20.0)
    live = read_live_rows(store.path)
    assert live.releases == {4: ReleaseMark(1, 1), 5: ReleaseMark(3, 2)}
    assert live.answers["request"].tolist() == [1, 2, 3, 4]
    assert live.answers["feedback"].dropna().tolist() == [1, 2, 3]
    assert live.mark(6) == ReleaseMark(4, 3)  # no server has run since
    store.prune(before=2000.0, seconds=1.0)
    store.add([request(5, time=2001.0)])  # takes number 1 again
    assert read_marks(store._connection) == {4: ReleaseMark(0, 0), 5: ReleaseMark(0, 0)}
