"""How near one column of a head comes to what several classes said together, before anything is trained.

A logistic regression on the outputs of a frozen MiniLM-L6 learns the 77 intents of Banking77 from 3,000 training rows.
Eight intents are drawn by each seed, and each is merged with the intent whose mean is nearest. The merged columns are
made on other training rows, 256 of merged intents and 256 of others, and measured on 1,500 test rows.

Command: python -m benchmarks.changed_labels [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax

from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

PLAN = """
name: merged
task: text-classification
model: {builder: bert, weights: minilm-l6, max_length: 64}
data: {source: banking77, quality: {label_noise: null, leakage: drop}}
stages:
  - {name: one, data: {all: true}, gate: [{metric: accuracy, at_least: 0.0}]}
"""
LEARNT, LATER, TESTED, OF_EACH, MERGED = 3_000, 2_000, 1_500, 256, 8
Rows = tuple[np.ndarray, np.ndarray]  # float32 [rows, width], int [rows]


def read() -> tuple[Rows, Rows, Rows]:
    """Returns what the head reads of rows to learn, rows that come later, and test rows, each with its intents."""
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run.first_look import look
    from progressive_tf.training.run.network import build_network, embeddings

    with tempfile.TemporaryDirectory(prefix="merged-") as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(PLAN, encoding="utf-8")
        loaded = load_plan(str(path))
        data = look(loaded, Path(folder) / "registry")
        network = build_network(loaded, data)
    (name,) = data.sources
    pool, test = data.parts[name].pool, data.parts[name].test
    parts = pool[:LEARNT], pool[LEARNT : LEARNT + LATER], test[:TESTED]
    learnt, later, tested = (
        (embeddings(network, data.sources[name].inputs(rows)), data.codes[name][rows]) for rows in parts
    )
    return learnt, later, tested


def measured(parts: tuple[Rows, Rows, Rows], seed: int) -> dict[str, tuple[float, float, float]]:
    """Returns of each way: mean and largest error of the probabilities of merged intents, and accuracy of all."""
    from progressive_tf.evaluation.label_map import LabelMap
    from progressive_tf.training.fitting.linear_heads import logistic_regression
    from progressive_tf.training.run.changed_head import changed_head

    learnt, later, tested = parts
    count = int(learnt[1].max()) + 1
    head = logistic_regression(*learnt, count, strength=1.0)
    means = np.stack([learnt[0][learnt[1] == code].mean(axis=0) for code in range(count)])
    apart = np.linalg.norm(means[:, np.newaxis] - means, axis=2) + 1e9 * np.eye(count)
    of = {str(code): (str(code),) for code in range(count)}
    for code in np.random.default_rng(seed).permutation(count):
        near = int(apart[code].argmin())
        if len(of[str(code)]) and {of[str(code)], of[str(near)]} == {(str(code),), (str(near),)}:
            of[str(code)] = of[str(near)] = (f"{code} or {near}",)
        if sum(" or " in news[0] for news in of.values()) == 2 * MERGED:
            break
    before = tuple(of)
    changed = LabelMap(before, tuple(dict.fromkeys(news[0] for news in of.values())), of)
    place = np.array([changed.after.index(of[label][0]) for label in before])
    joint = [index for index in range(changed.known) if (place == index).sum() > 1]
    is_merged = np.isin(place[later[1]], joint)
    rows = np.concatenate([later[0][is_merged][:OF_EACH], later[0][~is_merged][:OF_EACH]])
    ways = {"fitted": changed_head(head.kernel, head.bias, changed, lambda merged: rows)}
    old = softmax(rows @ head.kernel + head.bias, axis=1)
    centre = rows.mean(axis=0)
    for way in ("tangent at the mean", "the larger class alone"):
        kernel, bias = (values.copy() for values in ways["fitted"])
        for index in joint:
            olds = np.flatnonzero(place == index)
            logits = centre @ head.kernel[:, olds] + head.bias[olds]
            share = (
                softmax(logits) if way.startswith("tangent") else np.eye(len(olds))[old[:, olds].mean(axis=0).argmax()]
            )
            kernel[:, index] = head.kernel[:, olds] @ share
            at_mean = np.logaddexp.reduce(logits) if way.startswith("tangent") else logits @ share
            bias[index] = at_mean - centre @ kernel[:, index]
        ways[way] = kernel, bias
    wanted = changed.probabilities(softmax(tested[0] @ head.kernel + head.bias, axis=1).astype(np.float64))
    found = {"what the version says": wanted}
    found |= {way: softmax(tested[0] @ kernel + bias, axis=1) for way, (kernel, bias) in ways.items()}
    truth = place[tested[1]]
    concerned = np.isin(truth, joint)
    return {
        way: (
            float(np.abs(given - wanted)[:, joint][concerned].sum(axis=1).mean()),
            float(np.abs(given - wanted)[:, joint].max()),
            float((given.argmax(axis=1) == truth)[concerned].mean()),
        )
        for way, given in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changed_labels", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    options = parser.parse_args(arguments)
    parts = read()
    found = [measured(parts, seed) for seed in options.seeds]
    print(f"{MERGED} pairs of intents merged, {len(parts[2][1]):,} test rows; mean ± sd over seeds {options.seeds}")
    print("| merged class | error of its rows' probabilities | largest error | accuracy on its rows |")
    print("|---|---|---|---|")
    for way in found[0]:
        values = np.array([one[way] for one in found])
        cells = (f"{column.mean():.3f} ± {column.std(ddof=1):.3f}" for column in values.T)
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
