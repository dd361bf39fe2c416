"""Labels that are needed for a fixed accuracy: questions as `ask` chooses them, by chance, and as small-text does.

A logistic regression (C = 10) learns from the outputs of a frozen MiniLM-L6, which are computed once. It begins with
rows by chance; in each round it is asked about some more rows of the pool, learns from all so far, and is measured on
test rows. The accuracy to be reached is 95 % of what it has with the labels of the whole pool. Rows for the gate, which
`ask` draws by chance, come on top with every choice, and are not counted.

How questions are chosen was settled on five other data sets (`--tuning`, which also shows what was left out), with
pools of 4,000 rows at most; the figures are those of banking77 and movie-reviews. small-text is asked in `.venv-peers`,
where it is installed (`.venv-peers/bin/python -m pip install small-text`); where not, a line says so.

Command: python -m benchmarks.ask [--data banking77 movie-reviews] [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from progressive_tf.data.word_vectors import unit
from progressive_tf.labelling.choosing import margins, spread
from progressive_tf.logs import quiet_tensorflow

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from progressive_tf.data.plan_data import PlanData
    from progressive_tf.models.block_model import BlockModel
    from progressive_tf.plan.schema import Plan

quiet_tensorflow()

PEER = Path(".venv-peers/bin/python")
REACHED = 0.95
POOL, TUNING_POOL, TEST = 10_000, 4_000, 3_000
PLAN = """
name: ask
task: text-classification
model: {{builder: bert, weights: minilm-l6, max_length: {max_length}}}
data:
  source: {data}
  split: {{validation: 0.1, gate: 0.1, test: 0.3}}
  quality: {{label_noise: null, leakage: drop, similar_labels: null, odd_labels: null, alike_gate_rows: null}}
stages: [{{name: pool, data: {{all: true}}, gate: [{{metric: accuracy, at_least: 0.0}}]}}]
"""


@dataclass(frozen=True)
class Rounds:
    """How many rows by chance it begins with, how many it is asked about in each round, and how many rounds."""

    start: int
    step: int
    count: int


ROUNDS = {
    "banking77": Rounds(154, 154, 20),
    "movie-reviews": Rounds(100, 100, 40),
    "tweets": Rounds(40, 40, 22),
    "reuters-8": Rounds(24, 24, 20),
    "newsgroups-20": Rounds(60, 60, 24),
    "amazon-reviews": Rounds(50, 50, 30),
    "nyt-editorials": Rounds(50, 50, 36),
}
TUNING = ("tweets", "reuters-8", "newsgroups-20", "amazon-reviews", "nyt-editorials")


@dataclass(frozen=True, eq=False)
class Rows:
    """A pool and test rows: what the frozen encoder gives, float32 [rows, width], and their classes, int64 [rows]."""

    pool: np.ndarray
    pool_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class State:
    """What a choice may look at.

    Attributes:
        probabilities: of the rows that have no label, float64 [left, classes].
        vectors: the same rows, of length 1, float64 [left, width].
        known: rows that have one, in the same way, float64 [known, width].
        seed: of the round.
    """

    probabilities: np.ndarray
    vectors: np.ndarray
    known: np.ndarray
    seed: int


def opened(data: str, max_length: int = 128) -> tuple[Plan, PlanData]:
    """Returns a plan of MiniLM over a data set, and the rows; texts are cut after so many tokens."""
    from progressive_tf.data.plan_data import read_plan_data
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.loading import load_plan

    with tempfile.TemporaryDirectory(prefix="ask-") as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(PLAN.format(data=data, max_length=max_length), encoding="utf-8")
        loaded = load_plan(str(path))
        return loaded.plan, read_plan_data(loaded, cache_folder())


def pretrained(plan: Plan, labels: Sequence[str]) -> BlockModel:
    """Returns the network of a plan with the encoder's published weights."""
    from progressive_tf.models.catalogue import build
    from progressive_tf.models.request import Request

    return build(Request(plan.model, list(labels), 1, Path()))


def embedded(data: str) -> Rows:
    """Returns the rows of a data set; so many of its pool and its test rows at most, drawn once."""
    from progressive_tf.display import Display
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.methods import Cache
    from progressive_tf.training.answers.features import Features

    plan, read = opened(data)
    network = pretrained(plan, read.labels)
    (name,) = read.parts
    display = Display(Console(file=io.StringIO()))
    features = Features(network, read.sources, read.classes, display, cache_folder() / "prefix")
    generator, parts = np.random.default_rng(0), read.parts[name]
    pool = generator.permutation(np.sort(np.concatenate([parts.pool, parts.gate])))[
        : TUNING_POOL if data in TUNING else POOL
    ]
    test = generator.permutation(np.sort(parts.test))[:TEST]
    outputs = [features.embeddings(name, rows, len(network.blocks), Cache()) for rows in (pool, test)]
    codes = read.codes[name].astype(np.int64)
    return Rows(outputs[0], codes[pool], outputs[1], codes[test])


def by_chance(state: State, count: int) -> np.ndarray:
    """Returns rows that are drawn."""
    return np.random.default_rng(state.seed).choice(len(state.vectors), count, replace=False)


def as_ask_does(state: State, count: int) -> np.ndarray:
    """Returns rows that the head is unsure of, each unlike the others; what `ask` does beside those by chance."""
    return spread(margins(state.probabilities), state.vectors, count, state.seed)


def least_margin(state: State, count: int) -> np.ndarray:
    """Returns the rows that the head is least sure of, alike or not."""
    return np.argsort(-margins(state.probabilities), kind="stable")[:count]


def of_each_class(state: State, count: int) -> np.ndarray:
    """Returns rows of each class that the head says in turn, the least sure first."""
    order = np.argsort(-margins(state.probabilities), kind="stable")
    said = state.probabilities.argmax(axis=1)[order]
    turn = np.empty(len(order), np.int64)
    for label in np.unique(said):
        turn[said == label] = np.arange((said == label).sum())
    return order[np.argsort(turn, kind="stable")][:count]


def unlike_known(state: State, count: int) -> np.ndarray:
    """Returns rows one after the other, each the farthest from those that have a label or were taken."""
    away = np.min(2 - 2 * state.vectors @ state.known.T, axis=1)
    taken = []
    for _ in range(count):
        taken.append(int(away.argmax()))
        away = np.minimum(away, 2 - 2 * state.vectors @ state.vectors[taken[-1]])
    return np.array(taken)


def mixed(state: State, count: int) -> np.ndarray:
    """Returns rows chosen in three ways: half as `ask` does, a quarter unlike known ones, a quarter of each class."""
    taken = np.empty(0, np.int64)
    for way, share in (
        (as_ask_does, count - 2 * (count // 4)),
        (unlike_known, count // 4),
        (of_each_class, count // 4),
    ):
        left = np.setdiff1d(np.arange(len(state.vectors)), taken)
        known = np.concatenate([state.known, state.vectors[taken]])
        own = State(state.probabilities[left], state.vectors[left], known, state.seed)
        taken = np.concatenate([taken, left[way(own, share)]])
    return taken


Choice = Callable[[State, int], np.ndarray]
CHOICES: dict[str, Choice] = {"by chance": by_chance, "ask": as_ask_does}
LEFT_OUT: dict[str, Choice] = {
    "least margin": least_margin,
    "of each class": of_each_class,
    "unlike what is known": unlike_known,
    "half ask, a quarter of each of these two": mixed,
}


def start_rows(rows: Rows, rounds: Rounds, seed: int) -> np.ndarray:
    """Returns the rows that it begins with."""
    return np.random.default_rng(seed).choice(len(rows.pool), rounds.start, replace=False)


def learnt(rows: Rows, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the head's probabilities of the pool, float64 [pool, known classes], those classes, and its accuracy."""
    head = fitted(rows.pool[labelled], rows.pool_labels[labelled])
    return head.predict_proba(rows.pool), head.classes_, float(head.score(rows.test, rows.test_labels))


def fitted(vectors: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Returns the head of rows with labels."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit of 200 steps is what every choice gets
        return LogisticRegression(C=10, max_iter=200).fit(vectors, labels)


def accuracies(rows: Rows, rounds: Rounds, choice: Choice, seed: int) -> list[float]:
    """Returns the accuracy with the rows it begins with, and after each round."""
    labelled, vectors, found = start_rows(rows, rounds, seed), unit(rows.pool), []
    for number in range(rounds.count + 1):
        probabilities, _, accuracy = learnt(rows, labelled)
        found.append(accuracy)
        if number == rounds.count:
            break
        left = np.setdiff1d(np.arange(len(rows.pool)), labelled)
        state = State(probabilities[left], vectors[left], vectors[labelled], 1000 * seed + number)
        labelled = np.concatenate([labelled, left[choice(state, rounds.step)]])
    return found


def of_small_text(rows: Rows, rounds: Rounds, seed: int) -> list[float]:
    """Returns the same with small-text's `BreakingTies`, in its own environment."""
    with tempfile.TemporaryDirectory(prefix="ask-") as folder:
        asked, found = Path(folder) / "rows.npz", Path(folder) / "found.npy"
        np.savez(
            asked,
            **vars(rows),
            start=start_rows(rows, rounds, seed),
            rounds=np.array([rounds.step, rounds.count]),
            seed=np.array(seed),
        )
        command = [str(PEER), "-W", "ignore", "-m", "benchmarks.peers.small_text_peer", str(asked), str(found)]
        subprocess.run(command, check=True)
        return np.load(found).tolist()


def has_small_text() -> bool:
    """Returns whether small-text is installed where peers are."""
    if not PEER.exists():
        return False
    return subprocess.run([str(PEER), "-c", "import small_text"], capture_output=True).returncode == 0


def needed(found: Sequence[float], rounds: Rounds, target: float) -> float:
    """Returns how many labels it took to reach an accuracy, between two rounds by a line; nan where it was not."""
    for number, accuracy in enumerate(found):
        if accuracy >= target:
            before = found[number - 1] if number else accuracy
            part = (target - before) / (accuracy - before) if accuracy > before else 1.0
            return rounds.start + rounds.step * (number - 1 + part) if number else float(rounds.start)
    return float("nan")


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Returns the mean of a few values and its 95 % interval, by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def report(data: str, seeds: Sequence[int], further: dict[str, Choice]) -> None:
    """Measures a data set and prints its table."""
    rows, rounds = embedded(data), ROUNDS[data]
    whole = learnt(rows, np.arange(len(rows.pool)))[2]
    target = REACHED * whole
    found: dict[str, list[list[float]]] = {}
    for name, choice in {**CHOICES, **further}.items():
        found[name] = [accuracies(rows, rounds, choice, seed) for seed in seeds]
    if has_small_text():
        found["small-text, BreakingTies"] = [of_small_text(rows, rounds, seed) for seed in seeds]
    else:
        print("small-text is not installed in .venv-peers, and is left out")
    chance = np.array([needed(curve, rounds, target) for curve in found["by chance"]])
    print(f"\n{data}: {len(rows.pool):,} rows to ask about, {len(rows.test):,} test rows, {whole:.3f} with all labels;")
    print(f"to reach {target:.3f}, mean of seeds {', '.join(map(str, seeds))}:")
    print("| questions | labels | of those by chance [95 %] | each seed | worst round beside chance |")
    print("|---|---|---|---|---|")
    for name, curves in found.items():
        labels = np.array([needed(curve, rounds, target) for curve in curves])
        share, low, high = interval(labels / chance)
        gain = (np.mean(curves, axis=0) - np.mean(found["by chance"], axis=0)).min()
        each = " ".join(f"{value:.2f}" for value in labels / chance)
        print(
            f"| {name} | {labels.mean():,.0f} | {share:.2f} [{low:.2f}–{high:.2f}] | {each} | {100 * gain:+.1f} |",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each data set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ask", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=list(ROUNDS), default=["banking77", "movie-reviews"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: 1 2 3 4 5)")
    parser.add_argument("--tuning", action="store_true", help="on the other data sets, with what was left out")
    given = parser.parse_args(arguments)
    for data in TUNING if given.tuning else given.data:
        report(data, given.seeds, LEFT_OUT if given.tuning else {})


if __name__ == "__main__":
    main()
