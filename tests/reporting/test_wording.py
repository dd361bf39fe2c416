from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.evaluation.records import Measure
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.reporting import wording
from progressive_tf.reporting.records import read_run

from .records_builder import force, write_run


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.500"), (-0.02, "−0.020"), (-0.0001, "0.000"), (None, "–"), (math.nan, "–")]
)
def test_number(value: float | None, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.1, "+0.100"), (-0.1, "−0.100"), (0.0, "0.000"), (0.0001, "0.000")])
def test_signed(value: float, text: str) -> None:
    assert wording.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(770, "770"), (9_999, "9,999"), (12_345, "12.3k"), (22_713_986, "22.7M"), (None, "–")]
)
def test_short_count(value: int | None, text: str) -> None:
    assert wording.short_count(value) == text


@pytest.mark.parametrize(
    ("metric", "words", "decimals", "highest"),
    [
        ("exact_match", "exact match", 3, 1.0),
        ("bleu", "BLEU", 2, 100.0),
        ("chrf", "chrF", 2, 100.0),
        ("f1/bleu", "f1 of bleu", 3, 1.0),
        ("log_loss", "log loss", 3, math.inf),
        ("of a plugin", "of a plugin", 3, 1.0),
    ],
)
def test_a_metric_is_said_and_shown_on_its_scale(metric: str, words: str, decimals: int, highest: float) -> None:
    assert wording.metric_words(metric) == words
    assert wording.decimals(metric) == decimals
    assert wording.highest(metric) == highest


@given(st.integers(0, 10**11))
def test_a_short_count_is_short(value: int) -> None:
    assert len(wording.short_count(value)) <= 6


def test_an_interval_with_a_negative_end_has_no_dash_between_minus_signs() -> None:
    assert wording.interval(Measure(0.6, 0.55, 0.65)) == "[0.550–0.650]"
    assert wording.interval(Measure(-0.1, -0.2, -0.05)) == "[−0.200 to −0.050]"
    assert wording.interval(Measure(0.6)) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.23, "41.2 s"), (185.0, "3 min 05 s"), (7_800.0, "2 h 10 min"), (None, "–")]
)
def test_duration(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.0001, "< 0.001"), (0.0, "< 0.001"), (0.0321, "0.032"), (None, "–")])
def test_p_value(value: float | None, text: str) -> None:
    assert wording.p_value(value) == text


def test_a_rule_on_rivals_names_the_one_of_its_comparison() -> None:
    rule = GateRule.model_validate({"metric": "accuracy", "slice": "all", "at_least_rival": True})
    assert wording.rule_words(rule, "all", "rival slda") == "accuracy on all behind rival slda ≤ 0"
    assert wording.rule_words(rule, "all") == "accuracy on all behind rivals ≤ 0"


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        ({"metric": "accuracy", "slice": "current", "at_least": 0.55}, "current", "accuracy on current ≥ 0.55"),
        ({"metric": "log_loss", "at_most": 0.7}, "current", "log loss on current ≤ 0.7"),
        (
            {"metric": "f1/good", "slice": "every-previous", "drop_at_most": 0.02},
            "pilot",
            "f1 of good on earlier stage pilot drops ≤ 0.02",
        ),
        (
            {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 0.02},
            "every-previous",
            "accuracy on every earlier stage drops ≤ 0.02",
        ),
    ],
)
def test_rule_words(rule: dict[str, object], place: str, words: str) -> None:
    assert wording.rule_words(GateRule.model_validate(rule), place) == words


@pytest.mark.parametrize(
    ("decisions", "sentence"),
    [
        (("promote", "promote", "promote"), "All 3 stages were promoted (latest: version 3)."),
        (
            ("promote", "promote", "hold"),
            "pilot and beta were promoted (latest: version 2); "
            "full was held: the drop on pilot is not shown to be at most 0.02.",
        ),
        (
            ("promote", "reject", "promote"),
            "pilot and full were promoted (latest: version 2); "
            "beta was rejected: the drop on pilot is not shown to be at most 0.02.",
        ),
    ],
)
def test_summary_of_a_finished_run(tmp_path: Path, decisions: tuple[str, ...], sentence: str) -> None:
    assert wording.summary(read_run(write_run(tmp_path / "run", decisions=decisions))) == sentence


def test_summary_of_an_unfinished_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "stages/03-full/decision.json").unlink()
    text = wording.summary(read_run(run))
    assert text == ("pilot and beta were promoted (latest: version 2); 2 of 3 stages decided, full is not finished.")


def test_summary_names_a_version_made_by_force(tmp_path: Path) -> None:
    run = read_run(force(write_run(tmp_path / "run")))
    assert wording.summary(run) == (
        "pilot and beta were promoted (latest: version 2); "
        "full was held: the drop on pilot is not shown to be at most 0.02, "
        "but released by force as version 3: The drop is on mislabelled rows."
    )
    assert [wording.decided_words(stage) for stage in run.stages] == ["promote", "promote", "hold, forced"]
    assert [bool(wording.forced_words(stage)) for stage in run.stages] == [False, False, True]
