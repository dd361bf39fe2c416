"""A stream that turns from movie reviews to tweets: the learner beside the weights it began with, and River.

A head on frozen MiniLM-L6 is trained on 1,000 reviews; the stream has 500 other reviews, then 3,000 tweets in random
order. Every row is answered before it is learnt. River's usual online baseline, standardised features into logistic
regression at its defaults, gets the same embeddings of the same 1,000 and then of the stream's rows, one by one. Of
the rates 3e-3, 1e-2 and 3e-2 of the learner's head, tried with seed 100, the last two did alike.

Command: python -m benchmarks.stream_shift [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from progressive_tf.logs import set_up_logging
from progressive_tf.plan.reading import to_yaml

TRAINED, BEFORE, AFTER = 1000, 500, 3000
PARTS = ("start", "learner", "river")


def plan_of(seed: int, rate: float, replay: bool) -> dict[str, Any]:
    """Returns a plan whose second stage learns from stream.jsonl."""
    retention = {"retention": {"replay": {"per_class": 200, "ratio": 0.25}}} if replay else {}
    return {
        "name": "shift",
        "task": "text-classification",
        "seed": seed,
        "model": {"builder": "bert", "weights": "minilm-l6", "max_length": 128},
        "data": {
            "source": "movie-reviews",
            "split": {"validation": 500, "gate": 1000, "test": 1000, "seed": seed},
            "quality": {"label_noise": None, "leakage": "drop"},
        },
        "on_hold": "continue",
        "defaults": {
            "adaptation": {"method": "head"},
            "optimizer": {"name": "adam", "learning_rate": 3e-3},
            "gate": [{"metric": "accuracy", "at_least": 0.0}],
        },
        "stages": [
            {"name": "reviews", "data": {"take": TRAINED}},
            {
                "name": "live",
                "data": {"stream": "stream.jsonl", "micro_batch": 32},
                "optimizer": {"name": "adam", "learning_rate": rate},
                **retention,
            },
        ],
    }


def accuracies(seed: int, rate: float, replay: bool) -> dict[str, tuple[float, float]]:
    """Returns the accuracy before and after the switch of the start's weights, the learner and River."""
    from progressive_tf.data.plan_data import read_plan_data
    from progressive_tf.display import Display
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run.run import load_run
    from progressive_tf.training.run.run_folder import RunFolder
    from progressive_tf.training.run_plan import run_plan

    folder = Path(tempfile.mkdtemp(prefix="stream-shift-"))
    plan = plan_of(seed, rate, replay)
    # A stage that is never trained, so that tweets are read like any source.
    tweets = {
        "name": "tweets",
        "data": {"source": "tweets", "take": 1, "split": {"validation": 1, "gate": 1, "test": 1}},
    }
    (folder / "both.yaml").write_text(to_yaml(plan | {"stages": [plan["stages"][0], tweets]}), encoding="utf-8")
    data = read_plan_data(load_plan(str(folder / "both.yaml")), cache_folder())
    generator = np.random.default_rng(seed)
    pool = np.setdiff1d(
        data.parts["movie-reviews"].pool, np.concatenate([data.stages[0].train, data.stages[0].validation])
    )
    reviews = generator.choice(pool, BEFORE, replace=False)
    others = generator.permutation(len(data.sources["tweets"]))[:AFTER]
    stream = [("movie-reviews", row) for row in reviews] + [("tweets", row) for row in others]
    with (folder / "stream.jsonl").open("w", encoding="utf-8") as lines:
        for number, (name, row) in enumerate(stream):
            source = data.sources[name]
            value = {"id": number, "text": source.texts([row])[0], "label": source.labels[source.label_codes[row]]}
            lines.write(json.dumps(value) + "\n")
    (folder / "plan.yaml").write_text(to_yaml(plan), encoding="utf-8")
    loaded, quiet = load_plan(str(folder / "plan.yaml")), Display(Console(quiet=True))
    run = run_plan(loaded, folder / "runs", folder / "registry", fresh=True, display=quiet).run
    said = [json.loads(line) for line in (run / "stages/02-live/stream/answers.jsonl").read_text().splitlines()]
    rows = np.array([row for row, *_ in said])
    right = {
        "learner": np.array([label == learner for _, label, learner, _, _ in said]),
        "start": np.array([label == start for _, label, _, _, start in said]),
    }
    session = load_run(loaded, RunFolder(run), folder / "registry", quiet)
    trained, _ = session.stages[0].rows() or (np.empty(0, np.int64), None)
    right["river"] = river_answers(session, data, trained, [stream[row - 1] for row in rows])
    switched = rows > BEFORE
    return {name: (float(each[~switched].mean()), float(each[switched].mean())) for name, each in right.items()}


def river_answers(session: Any, data: Any, trained: np.ndarray, stream: Sequence[tuple[str, int]]) -> np.ndarray:
    """Returns which rows of a stream River's baseline answers rightly before it learns them."""
    from river import linear_model, preprocessing

    from progressive_tf.plan.methods import Cache
    from progressive_tf.training.answers.features import Features

    network, depth = session.network, len(session.network.blocks)
    features = Features(network, data.sources, data.classes, session.display, Path("cache/prefix"))

    def rows_of(name: str, rows: np.ndarray) -> dict[int, tuple[dict[int, float], bool]]:
        order = np.unique(rows)
        embeddings = features.embeddings(name, order, depth, Cache(dtype="float32"))
        labels = data.codes[name][order]
        return {
            int(row): (dict(enumerate(each.tolist())), bool(label))
            for row, each, label in zip(order, embeddings, labels, strict=True)
        }

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    before = rows_of("movie-reviews", trained)
    for row in trained.tolist():
        model.learn_one(*before[row])
    known = {name: rows_of(name, np.array([row for other, row in stream if other == name])) for name in data.sources}
    right = []
    for name, row in stream:
        features_of_row, label = known[name][int(row)]
        right.append(bool(model.predict_one(features_of_row)) == label)
        model.learn_one(features_of_row, label)
    return np.array(right)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints accuracies before and after the switch, and the lower bounds of the gains."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_shift", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rate", type=float, default=1e-2, help="of the learner's head")
    parser.add_argument(
        "--replay", action="store_true", help="replay 200 reviews of each class, a quarter of each batch"
    )
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    found = []
    for seed in given.seeds:
        found.append(accuracies(seed, given.rate, given.replay))
        print(f"seed {seed}: {found[-1]}", flush=True)
    table = Table("answered by", "reviews, before the switch", "tweets, after it")
    for name in PARTS:
        table.add_row(name, *(_mean([each[name][part] for each in found]) for part in (0, 1)))
    Console(width=110).print(table)
    for other in ("start", "river"):
        gains = np.array([each["learner"][1] - each[other][1] for each in found])
        if len(gains) > 1:
            error = gains.std(ddof=1) / np.sqrt(len(gains))
            low = gains.mean() - stats.t.ppf(0.95, len(gains) - 1) * error
            print(
                f"gain over {other} after the switch: {gains.mean():.4f}, lower 95 % bound {low:.4f} "
                f"(t, {len(gains)} seeds)"
            )


def _mean(values: Sequence[float]) -> str:
    each = " ".join(f"{value:.3f}" for value in values)
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread} ({each})"


if __name__ == "__main__":
    main()
