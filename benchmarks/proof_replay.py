"""Proofs on real answers: every movie review, in five orders, is asked of two versions of the plan movie-reviews.

Run `python -m benchmarks.proof_replay`. It trains the plan, and asks each version about each review once. A review is a
caller, and labels come for disagreements alone. Beside it stand what all labels together show, and what labels of
every answer take where each version answers half of the callers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.stats import norm

from benchmarks.proof_simulation import ALPHA, MARGIN, Found, proved, shown_apart
from progressive_tf.logs import set_up_logging

# Stable, and the candidate beside it.
TWO_VERSIONS = ((1, 2), (2, 3), (2, 1), (3, 2))


def answered(runs: Path, registry: Path) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Trains the plan where that is not done yet, and returns what each version says to all reviews, and what is right.

    Returns:
        By version's number: texts [reviews]; and the right labels, texts [reviews].
    """
    from progressive_tf.api.registry import Registry
    from progressive_tf.data.plan_data import read_plan_data
    from progressive_tf.display import Display
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan

    loaded = load_plan("movie-reviews")
    run_plan(loaded, runs, registry, fresh=False, display=Display(Console(quiet=True)))
    source = read_plan_data(loaded, cache_folder()).sources[loaded.plan.data.source]
    texts = source.texts(range(len(source)))
    model = Registry(registry).model("movie-reviews")
    said = {version.number: version.predict(texts)["label"].to_numpy() for version in model.versions}
    return said, np.array(source.labels)[source.label_codes]


def row(two: tuple[int, int], said: dict[int, np.ndarray], truth: np.ndarray, orders: int) -> str:
    """Returns a line of the table: two versions in so many orders of the reviews."""
    stable, candidate = (said[number] for number in two)
    differs, right = stable != candidate, (stable == truth, candidate == truth)
    gains = right[1].astype(int) - right[0].astype(int)
    in_pairs, apart = list[Found | None](), list[Found | None]()
    for seed in range(orders):
        generator = np.random.default_rng(seed)
        order, is_canary = generator.permutation(len(truth)), generator.random(len(truth)) < 0.5
        in_pairs.append(proved(differs[order], gains[order], differs[order]))
        apart.append(shown_apart(is_canary, np.where(is_canary, right[1][order], right[0][order])))
    facts = f"{two[1]} beside {two[0]} | {100 * gains.mean():+.1f} | {differs.mean():.1%} | {verdict(gains)}"
    return f"| {facts} | {_labels(in_pairs)} | {_labels(apart)} |"


def verdict(gains: np.ndarray) -> str:
    """Returns what all labels together show at the level of the proof, by the normal interval of a paired difference.

    Args:
        gains: int [reviews]: right(candidate) − right(stable).
    """
    half = float(norm.ppf(1 - ALPHA)) * gains.std(ddof=1) / len(gains) ** 0.5
    if gains.mean() - half > -MARGIN:
        return "good enough"
    return "worse" if gains.mean() + half < -MARGIN else "not shown"


def _labels(found: Sequence[Found | None]) -> str:
    return ", ".join("–" if each is None else f"{each.labels:,}" for each in found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, replays and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proof_replay", description=__doc__)
    parser.add_argument("--orders", type=int, default=5, help="of the reviews (default: 5)")
    parser.add_argument("--folder", type=Path, help="with runs/ and registry/ of the plan; else it is trained")
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="proof-replay-"))
    said, truth = answered(folder / "runs", folder / "registry")
    print(f"{len(truth):,} reviews; labels until it is shown, in each order")
    print("| version | points | disagreement | by all labels | by disagreements | by every answer, no pairs |")
    print("|---|---|---|---|---|---|")
    for two in TWO_VERSIONS:
        print(row(two, said, truth, given.orders))


if __name__ == "__main__":
    main()
