from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from serving_store import keep

from progressive_tf.errors import InputError
from progressive_tf.monitoring.live_metrics import interval_of_accuracy, live_metrics
from progressive_tf.monitoring.live_rows import LiveRows, confidence, read_live_rows
from progressive_tf.monitoring.reference import rows_of_live
from progressive_tf.plan.metric_names import CLASSES, TEXTS
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.answers.texts import fingerprint
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store, store_path

# A Monday, 2026-01-05, and a day and a week in seconds.
MONDAY, DAY = 1_767_571_200.0, 86_400.0
NAMES = ("good film", "bad film", "no film", "what film")


@pytest.fixture
def live(tmp_path: Path) -> LiveRows:
    rows = [(text, label, 0.9) for text, label in zip(NAMES, ("yes", "no", "no", "yes"), strict=True)]
    keep(tmp_path, "films", rows, began=MONDAY, told=["yes", "yes", None, "no"])
    keep(tmp_path, "films", rows[:2], began=MONDAY + 7 * DAY, version=2)
    return read_live_rows(store_path(tmp_path, "films"))


def test_feedback_is_joined_and_what_nobody_judged_is_unknown(live: LiveRows) -> None:
    assert list(live.answers["right"]) == [True, False, None, False, None, None]
    assert list(live.answers["truth"][:4]) == ["yes", "yes", None, "no"]
    assert live.answers["input"][0] == {"text": "good film"}
    assert confidence(live.answers) == pytest.approx(np.full(6, 0.9))


def test_the_newest_judgement_counts_and_a_rating_is_none(tmp_path: Path) -> None:
    keep(tmp_path, "films", [("a film", "yes", 0.8)] * 3, began=MONDAY)
    store = Store(store_path(tmp_path, "films"))
    ids = list(read_live_rows(store.path).answers["id"])
    for place, each in enumerate(
        [Feedback(ids[0], correct=False), Feedback(ids[0], label="yes"), Feedback(ids[0], rating=1)]
    ):
        store.add_feedback(each, MONDAY + place)
    store.add_feedback(Feedback(ids[1], rating=5), MONDAY)
    store.add_feedback(Feedback(ids[2], correct=True), MONDAY)
    store.close()
    assert list(read_live_rows(store.path).answers["right"]) == [True, None, True]


def test_of_each_caller_one_answer_is_compared(tmp_path: Path) -> None:
    """Forty callers who ask the same again and again are forty rows, and chance says which."""
    store, generator = Store(store_path(tmp_path, "films")), np.random.default_rng(0)
    requests = []
    for caller in range(40):
        for turn in range(1 + caller % 5):
            label = "yes" if generator.random() < 0.5 else "no"
            text = {"text": f"{caller}"} if turn else None
            answered = Answered(f"{caller * 10 + turn:032x}", label, [0.8], text)
            requests.append(ServedRequest(MONDAY + turn, 1, "stable", 0, 200, 0.01, [answered], caller=caller))
    store.add(requests)
    for turn in range(3):
        store.add_feedback(Feedback(f"{40 + turn:032x}", correct=True), MONDAY)
    store.close()
    live = read_live_rows(store.path)
    sides = [rows_of_live(live, "live", seed) for seed in (0, 0, 1)]
    assert len(live.answers) == 120
    for side in sides:
        assert len(side.answers) == len(side.confidence) == 40
        assert [given["text"] for given in side.inputs] == [str(caller) for caller in range(40) if caller % 5]
        assert (list(side.judged[0]), list(side.judged[1])) == ([0.8], [True])
    assert sides[0].answers == sides[1].answers != sides[2].answers


def test_metrics_by_week_and_slice(live: LiveRows) -> None:
    found = {(each.week, each.slice): each for each in live_metrics(live, served_answers(CLASSES))}
    assert list(found) == [
        *(("2026-01-12", name) for name in ("all", "version 2", "says yes", "says no")),
        *(("2026-01-05", name) for name in ("all", "version 1", "says yes", "says no")),
    ]
    week = found["2026-01-05", "all"]
    assert (week.requests, week.failed, week.answers, week.judged) == (4, 0.0, 4, 3)
    assert week.accuracy == pytest.approx(1 / 3)
    # Wilson's interval of 1 in 3 by hand: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). With (n − 1) in the
    # variance between three callers their rows are worth two.
    z, n = 1.959964, 2
    middle, radius = 1 / 3 + z**2 / (2 * n), z * np.sqrt(2 / 9 / n + z**2 / (4 * n**2))
    assert (week.low, week.high) == pytest.approx(
        ((middle - radius) / (1 + z**2 / n), (middle + radius) / (1 + z**2 / n)), abs=1e-5
    )
    assert found["2026-01-12", "all"].accuracy is None
    assert found["2026-01-05", "says no"].requests is None
    assert week.cut is None


@pytest.mark.parametrize(
    ("right", "callers", "worth"),
    [
        ([1, 0, 1, 1], [1, 2, 3, 4], 3.0),  # 4 rows, but 4/3 · Σ (r − p)² / 16 is a third more than p (1 − p) / 4
        ([1, 1, 0, 0, 1, 1, 0, 0], [1, 1, 2, 2, 3, 3, 4, 4], 3.0),  # of each caller all or none: two rows are one
        ([1, 0, 1, 0], [1, 1, 2, 2], 4.0),  # callers do not differ
        ([1, 1, 1, 1], [1, 1, 1, 2], 2.0),
        ([1, 0, 1], [5, 5, 5], 1.0),
    ],
)
def test_the_interval_of_an_accuracy_counts_callers(right: list[int], callers: list[int], worth: float) -> None:
    expected = binom_interval(np.mean(right), worth)
    assert interval_of_accuracy(np.array(right, bool), np.array(callers)) == pytest.approx(expected)


@pytest.mark.parametrize("callers", [np.arange(200), np.arange(200) // 7])
@pytest.mark.parametrize("right", [True, False])
def test_the_interval_of_an_accuracy_holds_the_share_itself(right: bool, callers: np.ndarray) -> None:
    for count in range(1, 200):
        low, high = interval_of_accuracy(np.full(count, right), callers[:count])
        assert 0 <= low <= right <= high <= 1, f"{count} answers"


def binom_interval(share: float, rows: float) -> tuple[float, float]:
    """Wilson's interval by the roots of (p − x)² = z² x (1 − x) / n."""
    z2 = 1.959964**2
    low, high = sorted(np.roots([1 + z2 / rows, -(2 * share + z2 / rows), share**2]).real)
    return float(low), float(high)


def test_the_interval_of_an_accuracy_holds_for_unequal_callers() -> None:
    generator, held = np.random.default_rng(0), []
    for _ in range(300):
        callers = np.repeat(np.arange(60), generator.integers(1, 12, 60))
        right = generator.random(len(callers)) < generator.beta(8, 2, 60)[callers]
        low, high = interval_of_accuracy(right, callers)
        held.append(low <= 0.8 <= high)
    assert np.mean(held) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)


def test_the_share_of_cut_texts_is_of_those_whose_version_says_so(tmp_path: Path) -> None:
    store = Store(store_path(tmp_path, "films"))
    answers = [Answered(f"{n:032x}", "yes", [1.0], None, cut) for n, cut in enumerate((True, False, False, None))]
    store.add([ServedRequest(MONDAY, 1, "stable", 0, 200, 0.01, answers)])
    store.close()
    found = live_metrics(read_live_rows(store.path), served_answers(CLASSES))
    assert [each.cut for each in found if each.slice == "all"] == [pytest.approx(1 / 3)]


def test_texts_stand_in_place_of_their_fingerprints_where_inputs_are_kept(tmp_path: Path) -> None:
    store = Store(store_path(tmp_path, "numbers"))
    ids = [str(place) * 32 for place in range(4)]
    inputs = [{"text": "1", "translation": "one"}, {"text": "2", "translation": "one"}, None, {"text": "4"}]
    answers = [Answered(each, fingerprint("one"), [0.8], kept) for each, kept in zip(ids, inputs, strict=True)]
    store.add([ServedRequest(MONDAY, 1, "stable", 0, 200, 0.01, answers)])
    for prediction, text in zip(ids[:3], ("one", "two", "three"), strict=True):
        store.add_feedback(Feedback(prediction, label=fingerprint(text), expected=text), MONDAY + 1)
    store.add_feedback(Feedback(ids[3], correct=True), MONDAY + 1)
    store.close()
    live = read_live_rows(store.path)
    assert list(live.answers["label"]) == ["one", "one", fingerprint("one"), fingerprint("one")]
    assert list(live.answers["truth"]) == ["one", "two", fingerprint("three"), None]
    assert list(live.answers["right"]) == [True, False, False, True]
    assert [kept and kept["text"] for kept in live.answers["input"]] == ["1", "2", None, "4"]
    assert all(kept is None or list(kept) == ["text"] for kept in live.answers["input"])
    assert confidence(live.answers) == pytest.approx(np.full(4, 0.8))
    assert [each.slice for each in live_metrics(live, served_answers(TEXTS))] == ["all", "version 1"]


def test_a_failed_request_counts_as_one(tmp_path: Path) -> None:
    store = Store(store_path(tmp_path, "films"))
    answered = Answered("0" * 32, "yes", None, None)
    store.add(
        [ServedRequest(MONDAY, 1, "stable", 0, 500, 1.0), ServedRequest(MONDAY, 1, "stable", 0, 200, 0.5, [answered])]
    )
    store.close()
    found = live_metrics(read_live_rows(store.path), served_answers(CLASSES))[0]
    assert (found.requests, found.failed, found.p95_seconds, found.confidence) == (2, 0.5, 0.5, None)


def test_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no store; name the --store"):
        read_live_rows(tmp_path / "none")
    (tmp_path / "text").write_text("text that is no database, and long enough to be read as one")
    with pytest.raises(InputError, match="is it the store of a server"):
        read_live_rows(tmp_path / "text")


def test_the_share_that_a_version_abstains_from_is_of_what_it_may_abstain_from(tmp_path: Path) -> None:
    store = Store(store_path(tmp_path, "films"))
    said = [Answered(f"{number:032x}", "yes", [0.1, 0.9], abstained=each) for number, each in enumerate([True, False])]
    always = Answered(f"{2:032x}", "yes", [0.1, 0.9])
    store.add(
        [
            ServedRequest(MONDAY, 2, "stable", 0, 200, 0.01, said),
            ServedRequest(MONDAY, 1, "canary", 0, 200, 0.01, [always]),
        ]
    )
    store.close()
    rows = read_live_rows(store_path(tmp_path, "films"))
    shares = {row.slice: row.abstained for row in live_metrics(rows, served_answers(CLASSES))}
    assert shares == {"all": 0.5, "version 1": None, "version 2": 0.5, "says yes": 0.5}
