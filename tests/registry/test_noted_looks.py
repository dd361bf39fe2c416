from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from registry_fakes import MODEL, staged

from progressive_tf.registry import Entry, ModelVersions, Registry
from progressive_tf.registry.history import judged_beside, publications, released_by
from progressive_tf.registry.journal import FORMAT
from progressive_tf.registry.looks import Judged, are_alike, note_looks, note_test, rows_token
from progressive_tf.registry.tables import history_table

KEYS = np.arange(2_000, dtype=np.uint64)
ROWS, OTHERS = rows_token(KEYS[:1_000]), rows_token(KEYS[1_000:])


def judged(weights: str, beside: int | None = 1, run: str = "run-2", stage: str = "pilot") -> Judged:
    return Judged(run, stage, weights, beside)


def test_each_candidate_is_one_look_and_the_same_weights_are_no_new_one(model: ModelVersions) -> None:
    assert note_looks(model, judged("a"), [ROWS]) == [1]
    assert note_looks(model, judged("b", run="run-3"), [ROWS]) == [2], "of another run"
    assert note_looks(model, judged("a"), [ROWS]) == [1], "a run that goes on"
    assert note_looks(model, judged("a", run="run-4"), [ROWS]) == [1], "the same candidate, trained again"
    assert note_looks(model, judged("c"), [ROWS]) == [3]
    assert len(model.entries()) == 3
    assert judged_beside(model.entries(), 1) == 3


def test_sets_of_rows_and_released_versions_have_counts_of_their_own(model: ModelVersions) -> None:
    note_looks(model, judged("a"), [ROWS, OTHERS])
    note_looks(model, judged("b"), [ROWS])
    assert note_looks(model, judged("c"), [OTHERS, ROWS, OTHERS]) == [2, 3, 2]
    assert note_looks(model, judged("d", beside=2), [ROWS]) == [1], "another version has been released since"
    assert note_looks(model, judged("e", beside=None), [ROWS]) == [1]


def test_beside_no_version_a_release_on_these_rows_begins_a_new_count(model: ModelVersions) -> None:
    for number, weights in enumerate("abc", 1):
        assert note_looks(model, judged(weights, None, f"run-{weights}"), [ROWS]) == [number]
    model.publish(staged("other", "run-x"))  # judged on other rows
    assert note_looks(model, judged("d", None, "run-d"), [ROWS]) == [4]
    model.publish(staged("pilot", "run-c"))
    assert note_looks(model, judged("c", None, "run-c"), [ROWS]) == [3], "killed after its release, it is judged again"
    assert note_looks(model, judged("e", None, "run-e"), [ROWS]) == [1]


def test_processes_that_judge_at_once_get_different_numbers(tmp_path: Path) -> None:
    def look(number: int) -> int:
        own = Registry(tmp_path / "registry").model(MODEL)
        return note_looks(own, judged(f"weights {number}"), [ROWS])[0]

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(look, range(4))) == [1, 2, 3, 4]


@pytest.mark.parametrize(("kept", "alike"), [(1_000, True), (800, True), (200, False), (0, False)])
def test_rows_that_are_mostly_the_same_count_as_the_same(kept: int, alike: bool) -> None:
    # The union has 2,000 − kept rows: 80 % kept is two thirds of it in common, 20 % a ninth.
    other = rows_token(np.concatenate([KEYS[:kept], KEYS[1_000 : 2_000 - kept]]))
    assert are_alike(ROWS, other) == are_alike(other, ROWS) == alike


def test_the_order_of_rows_and_repeated_ones_change_nothing() -> None:
    assert rows_token(np.concatenate([KEYS[999::-1], KEYS[:5]])) == ROWS
    few = rows_token(KEYS[:3])
    assert len(few.split(",")) == 3
    assert not are_alike(few, ROWS)


def test_runs_on_test_rows_are_counted_once_each(model: ModelVersions) -> None:
    assert [note_test(model, run, ROWS) for run in ("one", "two", "one", "three")] == [1, 2, 2, 3]
    assert note_test(model, "one", OTHERS) == 1


def test_entries_that_a_reader_does_not_know_change_nothing(model: ModelVersions) -> None:
    version = model.publish(staged("pilot"))
    before = model.aliases(), model.versions(), publications(model.entries())
    model.files.append(Entry("of a later release", token="rows", version=1, run="run-9", stage="pilot"))
    note_looks(model, judged("a"), [ROWS])
    assert (model.aliases(), model.versions(), publications(model.entries())) == before
    assert released_by(model.entries(), version.number) == "gate"
    assert model.verify() == ()
    assert FORMAT == 2, "a release without looks reads on"
    shown, short = history_table(model.entries()), history_table(model.entries(), everything=False)
    assert shown.row_count - short.row_count == 3, "looks, and the steps of a release, are shown with --all"
