"""How soon `monitor --if-due` notices that a class comes more often, and how often it is wrong.

Run `python -m benchmarks.class_rise`. The labels of the movie reviews are replayed in random orders; then a burst of
200 rows comes in which negatives have a larger share.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from progressive_tf.data.plan_data import read_plan_data
from progressive_tf.files import cache_folder
from progressive_tf.monitoring.schedule_check import BASELINE, first_rise
from progressive_tf.plan.loading import load_plan

STATIONARY, BEFORE, BURST = 10_000, 3_000, 200
SHARES = (0.7, 0.8, 0.9, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Replays and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.class_rise", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="orders of the rows (default: 50)")
    given = parser.parse_args(arguments)
    loaded = load_plan("movie-reviews")
    source = read_plan_data(loaded, cache_folder()).sources[loaded.plan.data.source]
    labels = np.array(source.labels)[source.label_codes]
    usual = float((labels == "negative").mean())
    orders = [np.random.default_rng(seed).permutation(labels) for seed in range(given.seeds)]
    alerts = sum(first_rise(order[: STATIONARY + BASELINE].tolist()) is not None for order in orders)
    rows = min(STATIONARY, len(labels) - BASELINE)
    print(f"{len(labels):,} reviews, {usual:.0%} negative; {given.seeds} orders")
    print(
        f"false alerts: {alerts} in {given.seeds} × {rows:,} stationary rows, {alerts / given.seeds:.2f} per {rows:,}"
    )
    for share in SHARES:
        delays = []
        for seed, order in enumerate(orders):
            generator = np.random.default_rng(10_000 + seed)
            burst = np.where(generator.random(BURST) < share, "negative", "positive")
            found = first_rise([*order[:BEFORE].tolist(), *burst.tolist()])
            delays.append(np.inf if found is None else found.row - BEFORE + 1)
        noticed = [delay for delay in delays if np.isfinite(delay)]
        print(
            f"{share:.0%} negative for {BURST} rows: noticed in {len(noticed)} of {given.seeds} orders, "
            f"after {np.median(delays):.0f} rows (median), {max(noticed, default=0):.0f} where it took longest"
        )


if __name__ == "__main__":
    main()
