"""Which rows the plan's probes are."""

from __future__ import annotations

import numpy as np

from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Probes
from progressive_tf.seeds import derive_seed
from progressive_tf.training.plan_data import PlanData


def probe_rows(data: PlanData, probes: Probes, seed: int) -> tuple[str, np.ndarray]:
    """Returns the source and rows of the probes, the same in every stage; drawn from the first stage's gate rows.

    Raises:
        InputError: there are fewer.
    """
    first = data.slices[data.slice_of[0]]
    if probes.take > len(first.gate):
        raise InputError(f"probes.take: {probes.take} asked, the first stage has {len(first.gate)} gate rows; lower it")
    generator = np.random.default_rng(derive_seed(seed, "probes"))
    return first.source, np.sort(generator.choice(first.gate, probes.take, replace=False))
