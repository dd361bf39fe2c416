"""Counts that grow with what is new are those of a full count, whatever comes, changes, goes or is counted by."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.evaluation.tally import Tally, together
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.label_lineage import LabelLineage, Spoken
from progressive_tf.serving import pruning
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.step_counter import StepCounter
from progressive_tf.serving.step_counts import StepCounts, VersionCounts
from progressive_tf.serving.store import Store

STEP, LIMITS = 7, {8: 0.5, 16: 0.2}
LABELS = "positive", "negative", "neutral"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        yield opened


def said_by(tally: Tally) -> dict[int, tuple[int, int]]:
    counts = zip(tally.having.tolist(), tally.total.tolist(), strict=True)
    return dict(zip(tally.callers.tolist(), counts, strict=True))


def shown(counts: VersionCounts) -> dict[str, Any]:
    """Returns counts so that two of them can be compared; of no order."""
    said = {label: said_by(counts.said.tally(label)) for label in counts.said.labels}
    return {
        "failures": said_by(counts.failures),
        "right": said_by(counts.right),
        "slow": {size: said_by(tally) for size, tally in counts.slow.items()},
        "first slow": {size: said_by(tally) for size, tally in counts.first_slow.items()},
        "said": {label: {caller: of[0] for caller, of in found.items() if of[0]} for label, found in said.items()},
    }


def in_full(
    path: Path, journal: int, stable: int | None
) -> tuple[dict[str, dict[str, Any]], dict[int, tuple[int, int]]]:
    """Returns what a store says of a step, counted row by row from its tables, without any of the package's queries."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY rowid")]
            for name in ("requests", "predictions", "feedback", "shadows")
        }
    answers, judged, second = (defaultdict[Any, list[dict[str, Any]]](list) for _ in range(3))
    for row in tables["predictions"]:
        answers[row["request"]].append(row)
    for row in tables["feedback"]:
        if row["label"] is not None or row["correct"] is not None:
            judged[row["prediction"]].append(row)
    for row in tables["shadows"]:
        second[row["prediction"]].append(row)
    empty = {"failures": {}, "right": {}, "slow": {}, "first slow": {}, "said": {}}
    sides: dict[str, dict[str, Any]] = {alias: {name: {} for name in empty} for alias in ("canary", "stable")}
    other: dict[int, tuple[int, int]] = {}
    slow_seen: dict[str, set[int]] = defaultdict(set)

    def add(where: dict[Any, tuple[int, int]], caller: int, having: int, total: int = 1) -> None:
        before = where.get(caller, (0, 0))
        where[caller] = before[0] + having, before[1] + total

    for row in tables["requests"]:
        beside = stable is None or (
            row["stable"] in (None, stable) and (row["alias"] == "canary" or row["version"] == stable)
        )
        if row["alias"] not in sides or row["step"] != STEP or row["journal"] != journal or not beside:
            continue
        side, caller = sides[row["alias"]], row["caller"]
        add(side["failures"], caller, row["failed"])
        if row["status"] == 200 and row["size"] in LIMITS:
            is_slow = int(row["computed"] > LIMITS[row["size"]])
            add(side["slow"].setdefault(row["size"], {}), caller, is_slow)
            if caller not in slow_seen[row["alias"]]:
                slow_seen[row["alias"]].add(caller)
                add(side["first slow"].setdefault(row["size"], {}), caller, is_slow)
        for answer in answers[row["id"]]:
            of_label = side["said"].setdefault(answer["label"], {})
            of_label[caller] = of_label.get(caller, 0) + 1
            if judged[answer["id"]]:
                last = judged[answer["id"]][-1]
                right = last["correct"] if last["correct"] is not None else int(last["label"] == answer["label"])
                add(side["right"], caller, right)
            for says in second[answer["id"]]:
                if row["alias"] == "canary" and says["version"] != row["version"] and stable in (None, says["version"]):
                    add(other, caller, int(says["label"] != answer["label"]))
    return sides, other


def assert_same(store: Store, stable: int | None) -> StepCounts:
    found = store.step_counts(STEP, LIMITS, stable)
    sides, other = in_full(store.path, store.journal, stable)
    assert shown(found.canary) == sides["canary"]
    assert shown(found.stable) == sides["stable"]
    assert said_by(found.other) == other
    return found


class Traffic:
    """Requests by chance, and what comes later about them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.known: list[str] = []
        self.time = 0.0

    def ask(self, store: Store, count: int, **changes: Any) -> None:
        draw, asked, shadows = self.random, [], list[Shadowed]()
        for _ in range(count):
            self.time += 1.0
            status = draw.choice((200, 200, 200, 500))
            alias = draw.choice(("canary", "stable", "stable", ""))
            ids = [f"{draw.getrandbits(128):032x}" for _ in range(draw.randrange(3) if status == 200 else 0)]
            answers = [Answered(each, draw.choice(LABELS), [0.2, 0.8]) for each in ids]
            request = ServedRequest(
                self.time,
                {"canary": 2, "stable": 1, "": 1}[alias],
                alias,
                STEP,
                status,
                0.01,
                answers,
                draw.randrange(12),
                1,
                None,
                draw.random(),
                draw.choice((8, 16, 32)),
            )
            asked.append(replace(request, **changes))
            self.known += ids
            shadows += [
                Shadowed(self.time, each, 1, draw.choice(LABELS), None, None) for each in ids if draw.random() < 0.5
            ]
        store.add(asked, shadows)

    def judge(self, store: Store, count: int) -> None:
        for each in self.random.choices(self.known, k=count):
            told = self.random.choice(({"label": self.random.choice(LABELS)}, {"correct": True}, {"rating": 2}))
            store.add_feedback(Feedback(each, **told), self.time)

    def answer_later(self, store: Store, count: int) -> None:
        chosen = self.random.choices(self.known, k=count)
        store.add([], [Shadowed(self.time, each, 1, self.random.choice(LABELS), None, None) for each in chosen])


@pytest.mark.parametrize("stable", [None, 1])
def test_what_comes_and_changes_later_is_counted_as_in_full(
    store: Store, monkeypatch: pytest.MonkeyPatch, stable: int | None
) -> None:
    monkeypatch.setattr(pruning, "MOST_AT_A_TIME", 7)
    traffic = Traffic(seed=3)
    assert_same(store, stable)
    early = f"{1:032x}"
    store.add_feedback(Feedback(early, label="negative"), 0.5)  # before its prediction comes
    for turn in range(12):
        traffic.ask(store, 20)
        traffic.judge(store, 6)
        assert_same(store, stable)
        traffic.judge(store, 15)  # most of them on what has been judged before
        traffic.answer_later(store, 3)
        assert_same(store, stable)
        if turn == 4:
            answered = Answered(early, "positive", [0.2, 0.8])
            store.add([ServedRequest(traffic.time, 2, "canary", STEP, 200, 0.01, [answered], 3, 1)])
        if turn in (6, 9):
            before = assert_same(store, stable)
            while store.prune(traffic.time - 100.0, 1e6):
                assert_same(store, stable)
            assert assert_same(store, stable).canary.answers < before.canary.answers
    while store.prune(1e9, 1e12):
        pass
    assert assert_same(store, stable).stable.answers == 0
    traffic.ask(store, 30)  # their numbers have been given before
    traffic.judge(store, 30)
    assert assert_same(store, stable).stable.answers > 0


def test_another_journal_another_stable_and_other_words_are_counted_for_themselves(store: Store) -> None:
    traffic = Traffic(seed=4)
    journal = [Entry("intent", token=f"token {number}", id=number) for number in (1, 2)]
    store.follow(journal)
    traffic.ask(store, 60)
    traffic.judge(store, 40)
    first = shown(assert_same(store, 1).canary)
    store.follow([replace(each, token="made anew") for each in journal])
    assert assert_same(store, 1).canary.answers == 0
    traffic.ask(store, 40)
    traffic.ask(store, 20, stable=3, journal=0)  # noted by the one before, and late
    assert assert_same(store, 1).canary.answers > 0
    assert assert_same(store, 3).canary.answers == 0
    traffic.ask(store, 20, stable=3)
    assert assert_same(store, 3).canary.answers > 0
    with closing(Store(store.path, only_reads=True)) as reading:
        reading.read_by([replace(each, token="made anew") for each in journal])
        assert shown(reading.step_counts(STEP, LIMITS, 1).canary) == shown(assert_same(store, 1).canary)
    assert shown(assert_same(store, 1).canary) != first
    strange = LabelLineage({number: Spoken(("positive", "neutral")) for number in (1, 2)})
    store.follow([replace(each, token="made anew") for each in journal], strange)
    with closing(Store(store.path, only_reads=True)) as reading:
        reading.read_by([replace(each, token="made anew") for each in journal], strange)
        counted = reading.step_counts(STEP, LIMITS, 1).canary.right
    assert said_by(store.step_counts(STEP, LIMITS, 1).canary.right) == said_by(counted)
    assert counted.total.sum() < store.step_counts(STEP, LIMITS, None).canary.answers


def test_a_look_reads_what_is_new_and_a_little_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepCounter.count, "__defaults__", (25,))
    traffic = Traffic(seed=5)
    traffic.ask(store, 100)
    assert [store.count_some(STEP, LIMITS, 1) for _ in range(4)] == [False, False, False, True]
    found = assert_same(store, 1)
    read = Counter[str]()
    store._connection.set_trace_callback(lambda statement: read.update(["a statement"]))
    assert store.step_counts(STEP, LIMITS, 1) is found
    few = read["a statement"]
    traffic.ask(store, 1, alias="stable", version=1)
    read.clear()
    store.step_counts(STEP, LIMITS, 1)
    store._connection.set_trace_callback(None)
    assert few < 8
    assert_same(store, 1)


def test_tallies_together_may_take_away() -> None:
    found = together([Tally.of({1: (2, 3), 2: (1, 1)}), Tally.of({2: (-1, -1), 3: (0, 1), 1: (-1, 0)})])
    assert said_by(found) == {1: (1, 3), 3: (0, 1)}
    assert together([]).callers.tolist() == []


def test_feedback_with_a_number_that_was_given_before_is_counted(store: Store) -> None:
    traffic = Traffic(seed=6)
    traffic.time = 1000.0
    store.add_feedback(Feedback("f" * 32, correct=True), 1.0)  # about what is not known
    traffic.ask(store, 20)
    assert_same(store, 1)
    while store.prune(500.0, 1e6):
        pass
    traffic.judge(store, 3)
    assert assert_same(store, 1).canary.judged + assert_same(store, 1).stable.judged > 0
