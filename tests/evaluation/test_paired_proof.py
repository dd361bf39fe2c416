from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.evaluation.paired_proof import (
    BOLDEST,
    HARM_MULTIPLES,
    MULTIPLES,
    PARTS,
    Missing,
    is_shown,
    log_capital,
    log_evidence_of_harm,
    lower_bound,
    missing,
)

MARGIN, ALPHA = 0.02, 0.05
Pairs = tuple[np.ndarray, np.ndarray]


def pairs(*gains: int | None) -> Pairs:
    """Returns disagreements and gains: 1 or −1 where one is right, 0 where both are wrong, None where they agree."""
    return np.array([each is not None for each in gains], bool), np.array([each or 0 for each in gains], np.int8)


def drawn(share: float, gain: float, callers: int, seed: int) -> Pairs:
    generator = np.random.default_rng(seed)
    differs = generator.random(callers) < share
    wins = generator.random(callers) < (1 + gain / share) / 2
    return differs, np.where(differs, np.where(wins, 1, -1), 0).astype(np.int8)


def test_the_capital_by_hand() -> None:
    # 1 of 10 before the first, 1 of 11 before the second, 2 of 12 before the third.
    capital = np.zeros(3)
    for multiple, part in zip(MULTIPLES, PARTS, strict=True):
        stakes = [min(multiple * 0.02 / (share + 0.0004), BOLDEST / 0.98) for share in (1 / 10, 1 / 11, 2 / 12)]
        capital += part * np.cumprod([1 + stakes[0] * 0.02, 1 + stakes[1] * (0.02 - 1), 1 + stakes[2] * 1.02])
    assert np.exp(log_capital(*pairs(None, -1, 1), -MARGIN, MARGIN)) == pytest.approx(capital)


SEQUENCES = st.lists(st.sampled_from([None, None, None, -1, 0, 1]), max_size=60)


@given(SEQUENCES, st.data())
def test_a_label_that_comes_never_lowers_the_capital_nor_the_bound(
    gains: list[int | None], data: st.DataObject
) -> None:
    known = [data.draw(st.booleans()) for _ in gains]
    told, before = (
        pairs(*gains),
        pairs(*(each if each is None or k else -1 for each, k in zip(gains, known, strict=True))),
    )
    assert (log_capital(*before, -MARGIN, MARGIN) <= log_capital(*told, -MARGIN, MARGIN) + 1e-12).all()
    assert lower_bound(*before, MARGIN, ALPHA) <= lower_bound(*told, MARGIN, ALPHA) + 1e-4


@given(SEQUENCES, st.integers(0, 60))
def test_the_bound_never_falls_as_callers_come(gains: list[int | None], first: int) -> None:
    assert lower_bound(*pairs(*gains[:first]), MARGIN, ALPHA) <= lower_bound(*pairs(*gains), MARGIN, ALPHA) + 1e-4


@pytest.mark.parametrize("callers", [0, 100, 150, 200, 1_000])
def test_it_is_shown_where_the_bound_is_above_the_margin(callers: int) -> None:
    for share, gain in ((0.001, 0.0), (0.05, 0.0), (0.05, 0.05)):
        found = drawn(share, gain, callers, callers)
        assert is_shown(*found, MARGIN, ALPHA) == (lower_bound(*found, MARGIN, ALPHA) > -MARGIN)


def test_nothing_known_shows_nothing() -> None:
    assert lower_bound(*pairs(), MARGIN, ALPHA) == -1.0
    assert not is_shown(*pairs(), MARGIN, ALPHA)
    assert not is_shown(*pairs(*[-1] * 1_000), MARGIN, ALPHA)


def test_the_same_answers_need_no_label() -> None:
    assert is_shown(*pairs(*[None] * 200), MARGIN, ALPHA)
    # One in a hundred may be lost without being two points worse.
    assert is_shown(*pairs(*([None] * 99 + [-1]) * 40), MARGIN, ALPHA)
    assert not is_shown(*pairs(*([None] * 49 + [-1]) * 400), MARGIN, ALPHA)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_two_points_worse_is_seldom_called_good_enough(share: float) -> None:
    passed = sum(is_shown(*drawn(share, -MARGIN, 4_000, seed), MARGIN, ALPHA) for seed in range(300))
    assert passed <= 300 * ALPHA + 8  # two standard errors


def test_the_bound_holds_about_as_often_as_it_says_wherever_the_truth_is() -> None:
    for gain in (-0.05, 0.0, 0.04):
        missed = sum(lower_bound(*drawn(0.1, gain, 2_000, seed), MARGIN, ALPHA) > gain for seed in range(200))
        assert missed <= 200 * ALPHA + 6


@pytest.mark.parametrize(("share", "most"), [(0.05, 45), (0.1, 193), (0.2, 795)])
def test_an_equal_one_is_shown_by_few_labels(share: float, most: int) -> None:
    labels = []
    for seed in range(60):
        differs, gains = drawn(share, 0.0, 12_000, seed)
        enough = log_capital(differs, gains, -MARGIN, MARGIN) >= -math.log(ALPHA)
        assert enough.any()
        labels.append(differs[: enough.argmax() + 1].sum())
    assert np.median(labels) <= most


def test_the_evidence_of_harm_by_hand() -> None:
    capital = np.zeros(3)
    for multiple in HARM_MULTIPLES:
        stakes = [min(multiple * 0.02 / (share + 0.0004), BOLDEST / 1.02) for share in (1 / 10, 1 / 11, 2 / 12)]
        capital += np.cumprod([1 - stakes[0] * 0.02, 1 + stakes[1] * 0.98, 1 - stakes[2] * 1.02]) / 3
    assert np.exp(log_evidence_of_harm(*pairs(None, -1, 1), MARGIN)) == pytest.approx(capital)


@given(SEQUENCES, st.data())
def test_a_label_that_comes_never_raises_less_evidence_of_harm(gains: list[int | None], data: st.DataObject) -> None:
    known = [data.draw(st.booleans()) for _ in gains]
    before = pairs(*(each if each is None or k else 1 for each, k in zip(gains, known, strict=True)))
    told = log_evidence_of_harm(*pairs(*gains), MARGIN)
    assert (log_evidence_of_harm(*before, MARGIN) <= told + 1e-12).all()


def test_harm_is_found_by_few_labels_and_one_within_the_margin_is_seldom_called_worse() -> None:
    alarms = [
        (log_evidence_of_harm(*drawn(share, -MARGIN, 3_000, seed), MARGIN) >= math.log(1 / ALPHA)).any()
        for share in (0.05, 0.3)
        for seed in range(150)
    ]
    assert sum(alarms) <= 300 * ALPHA + 8
    labels = []
    for seed in range(40):
        differs, gains = drawn(0.2, -0.1, 4_000, seed)
        enough = log_evidence_of_harm(differs, gains, MARGIN) >= math.log(1 / ALPHA)
        assert enough.any()
        labels.append(differs[: enough.argmax() + 1].sum())
    assert np.median(labels) < 60


def test_what_is_missing() -> None:
    nothing = missing(*pairs(), np.array([], bool), MARGIN, ALPHA)
    assert nothing.callers > 0
    same = pairs(*[None] * 100)
    left = missing(*same, np.full(100, True), MARGIN, ALPHA)
    assert left.labels == 0
    assert 50 < left.callers < nothing.callers
    differs, gains = pairs(*([None] * 9 + [1] + [None] * 9 + [-1]) * 20)
    unknown = missing(differs, np.where(differs, -1, 0), ~differs, MARGIN, ALPHA)
    known = missing(differs, gains, np.full(400, True), MARGIN, ALPHA)
    assert known.labels < unknown.labels <= 250
    assert missing(*pairs(*[None] * 300), np.full(300, True), MARGIN, ALPHA) == Missing(0, 0)
