"""Learning rates as functions of the share of a stage's training that is done."""

from __future__ import annotations

import math

from progressive_tf.plan.methods import (
    AdaptiveSchedule,
    ConstantSchedule,
    CosineSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    WarmupLinearSchedule,
)

AnySchedule = (
    AdaptiveSchedule | ConstantSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule | WarmupLinearSchedule
)


def follows_progress(schedule: AnySchedule) -> bool:
    """Whether the rate is a function of progress; the others keep what was set, or follow validation."""
    return not isinstance(schedule, AdaptiveSchedule | ConstantSchedule | PlateauSchedule)


def rate_at(schedule: AnySchedule, base: float, progress: float) -> float:
    """Returns the learning rate once `progress` (in (0, 1]) of the stage's steps are done.

    Formulas: linear warm-up and decay (Devlin et al. 2019), cosine (Loshchilov & Hutter 2017), one-cycle with cosine
    annealing in both directions (Smith & Topin 2019).
    """
    if isinstance(schedule, WarmupLinearSchedule):
        if progress < schedule.warmup:
            return base * progress / schedule.warmup
        return base * (1.0 - progress) / (1.0 - schedule.warmup)
    if isinstance(schedule, CosineSchedule):
        if progress < schedule.warmup:
            return base * progress / schedule.warmup
        return _anneal(base, base * schedule.final, (progress - schedule.warmup) / (1.0 - schedule.warmup))
    if isinstance(schedule, OneCycleSchedule):
        if progress < schedule.peak:
            return _anneal(base / schedule.start_divisor, base, progress / schedule.peak)
        return _anneal(base, base / schedule.end_divisor, (progress - schedule.peak) / (1.0 - schedule.peak))
    return base


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * progress)) / 2.0
