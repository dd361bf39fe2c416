from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.plan.methods import (
    ConstantSchedule,
    CosineSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    WarmupLinearSchedule,
)
from progressive_tf.training.fitting.rates import AnySchedule, follows_progress, rate_at

WARMUP = WarmupLinearSchedule(name="warmup-linear", warmup=0.2)
COSINE = CosineSchedule(name="cosine", final=0.1)
WARM_COSINE = CosineSchedule(name="cosine", warmup=0.5)
ONE_CYCLE = OneCycleSchedule(name="one-cycle", peak=0.25, start_divisor=10.0, end_divisor=100.0)

HAND_COMPUTED = [
    (ConstantSchedule(name="constant"), 0.7, 1.0),
    (PlateauSchedule(name="plateau"), 0.7, 1.0),
    (WARMUP, 0.1, 0.5),
    (WARMUP, 0.2, 1.0),
    (WARMUP, 0.6, 0.5),
    (WARMUP, 1.0, 0.0),
    (WarmupLinearSchedule(name="warmup-linear", warmup=0.0), 0.25, 0.75),
    (COSINE, 0.5, 0.55),  # half of the way from 1 to 0.1
    (COSINE, 1.0, 0.1),
    (COSINE, 1 / 3, 0.1 + 0.9 * 0.75),  # (1 + cos 60°) / 2 = 0.75
    (WARM_COSINE, 0.25, 0.5),
    (WARM_COSINE, 0.5, 1.0),
    (WARM_COSINE, 0.75, 0.5),
    (ONE_CYCLE, 0.125, 0.55),  # half of the way from 0.1 up to 1
    (ONE_CYCLE, 0.25, 1.0),
    (ONE_CYCLE, 0.625, 0.505),  # half of the way from 1 down to 0.01
    (ONE_CYCLE, 1.0, 0.01),
]


@pytest.mark.parametrize(("schedule", "progress", "factor"), HAND_COMPUTED)
def test_hand_computed_values(schedule: AnySchedule, progress: float, factor: float) -> None:
    assert rate_at(schedule, 0.004, progress) == pytest.approx(0.004 * factor, abs=1e-12)


warmups = st.floats(0, 0.99)
SCHEDULES = st.one_of(
    st.builds(WarmupLinearSchedule, name=st.just("warmup-linear"), warmup=warmups),
    st.builds(CosineSchedule, name=st.just("cosine"), warmup=warmups, final=st.floats(0, 1)),
    st.builds(
        OneCycleSchedule,
        name=st.just("one-cycle"),
        peak=st.floats(0.01, 0.99),
        start_divisor=st.floats(1, 1e3),
        end_divisor=st.floats(1, 1e5),
    ),
    st.just(ConstantSchedule(name="constant")),
    st.just(PlateauSchedule(name="plateau")),
)
progresses = st.floats(0, 1, exclude_min=True)


@given(SCHEDULES, st.floats(1e-6, 10), progresses)
def test_the_rate_stays_between_zero_and_the_base_rate(schedule: AnySchedule, base: float, progress: float) -> None:
    rate = rate_at(schedule, base, progress)
    assert math.isfinite(rate)
    assert -1e-12 <= rate <= base * (1 + 1e-9)


def joint(schedule: AnySchedule) -> float | None:
    if isinstance(schedule, OneCycleSchedule):
        return schedule.peak
    return schedule.warmup if isinstance(schedule, WarmupLinearSchedule | CosineSchedule) else None


@given(SCHEDULES)
def test_the_base_rate_is_reached_at_the_joint_without_a_jump(schedule: AnySchedule) -> None:
    place = joint(schedule)
    if place is None or place < 1e-3:
        return
    step = 1e-9
    assert rate_at(schedule, 1.0, place) == pytest.approx(1.0, abs=1e-6)
    assert rate_at(schedule, 1.0, place - step) == pytest.approx(rate_at(schedule, 1.0, place + step), abs=1e-5)


@given(SCHEDULES, progresses, progresses)
def test_rates_rise_to_the_joint_and_fall_after_it(schedule: AnySchedule, one: float, other: float) -> None:
    early, late = sorted((one, other))
    place = joint(schedule)
    before, after = rate_at(schedule, 1.0, early), rate_at(schedule, 1.0, late)
    if place is None:
        assert before == after
    elif late < place:
        assert before <= after + 1e-9
    elif early >= place:
        assert before >= after - 1e-9


def test_constant_and_plateau_leave_the_rate_alone() -> None:
    assert not follows_progress(ConstantSchedule(name="constant"))
    assert not follows_progress(PlateauSchedule(name="plateau"))
    assert all(follows_progress(schedule) for schedule in (WARMUP, COSINE, ONE_CYCLE))
