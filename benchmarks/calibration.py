"""What a temperature does to how sure a model is: calibration error and log loss on test rows, over seeds.

The plan `banking77-classes` brings eleven new intents a stage. Its last stage is looked at on the test rows of all
intents: as it is, at the temperature of the newest stage's validation rows alone, and at that of all stages' validation
rows, which is what `calibrate: temperature` does. The vector of Guo et al. 2017, a factor and an offset for each class,
is fitted to the first stage's validation rows and looked at on that stage's test rows, beside their temperature.

Command: python -m benchmarks.calibration [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from benchmarks.remembering import OPEN_GATE
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.temperature import Temperature, log_loss, logarithms
from progressive_tf.logs import set_up_logging

PLAN = "banking77-classes"
Side = tuple[np.ndarray, np.ndarray]  # probabilities [rows, classes] and what is true


def answered(stage: Path, part: str, slices: Sequence[str] | None = None) -> Side:
    """Returns a stage's probabilities of the classes that its rows have, and their true class."""
    file = stage / "predictions.parquet"
    rows = pq.read_table(file, columns=["part", "slice", "label", "probabilities"]).to_pandas()
    places = {label: place for place, label in enumerate(classes_of(file))}
    rows = rows[rows["part"] == part]
    rows = rows if slices is None else rows[rows["slice"].isin(slices)]
    truth = rows["label"].map(places).to_numpy(np.int32)
    probabilities = np.stack(rows["probabilities"].to_list()).astype(float)
    known = probabilities.max(axis=0) > 0
    return probabilities[:, known], truth


def classes_of(file: Path) -> list[str]:
    """Returns the classes of a file of predictions, in order."""
    found: list[str] = json.loads(pq.read_schema(file).metadata[b"labels"])
    return found


def fitted_to(side: Side) -> float:
    """Returns the temperature that fits some rows."""
    return Temperature.fit(logarithms(*side), side[1]).value


def scores(side: Side, temperature: float = 1.0) -> tuple[float, float]:
    """Returns calibration error and log loss at a temperature."""
    return scores_of(logarithms(*side) / temperature, side[1])


def scores_of(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Returns calibration error and log loss of logits."""
    answers = ClassAnswers(tuple(map(str, range(logits.shape[1]))), truth, softmax(logits, axis=1))
    return answers.measure("ece") or 0.0, log_loss(logits, truth)


def by_vector(fitted: Side, looked_at: Side) -> np.ndarray:
    """Returns the logits of a side after the factors and offsets that have the least log loss on another."""
    logits, truth = logarithms(*fitted), fitted[1]
    classes, rows = logits.shape[1], np.arange(len(truth))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        changed = logits * weights[:classes] + weights[classes:]
        apart = softmax(changed, axis=1)
        apart[rows, truth] -= 1
        value = float((logsumexp(changed, axis=1) - changed[rows, truth]).mean())
        return value, np.concatenate([(apart * logits).mean(axis=0), apart.mean(axis=0)])

    begin = np.concatenate([np.ones(classes), np.zeros(classes)])
    best = minimize(loss, begin, jac=True, method="L-BFGS-B").x
    changed: np.ndarray = logarithms(*looked_at) * best[:classes] + best[classes:]
    return changed


def run(seed: int, calibrate: str, folder: Path) -> list[Path]:
    """Trains the plan and returns the folders of its stages."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import Options, run_plan

    loaded = load_plan(PLAN, [f"seed={seed}", f"defaults.calibrate={calibrate}", OPEN_GATE])
    quiet = Display(Console(quiet=True))
    places = folder / f"{calibrate}-{seed}", folder / "registry"
    done = run_plan(loaded, *places, fresh=True, display=quiet, options=Options(releases=False))
    return sorted((done.run / "stages").iterdir())


def measured(seed: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Returns calibration error and log loss of every way, of one seed."""
    plain, calibrated = run(seed, "none", folder), run(seed, "temperature", folder)
    everything, newest = answered(plain[-1], "test"), answered(plain[-1], "validation")
    first = plain[0].name.partition("-")[2]
    fitted, of_first = answered(plain[0], "validation"), answered(plain[0], "test", [first])
    return {
        "all intents, as it is": scores(everything),
        "all intents, temperature of the newest stage": scores(everything, fitted_to(newest)),
        "all intents, calibrate: temperature": scores(answered(calibrated[-1], "test")),
        "first stage, as it is": scores(of_first),
        "first stage, temperature": scores(of_first, fitted_to(fitted)),
        "first stage, vector": scores_of(by_vector(fitted, of_first), of_first[1]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: 1 2 3 4 5)")
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
        found = [measured(seed, Path(folder)) for seed in given.seeds]
    print(f"{PLAN}, test rows, mean ± standard deviation over seeds {', '.join(map(str, given.seeds))}")
    print("| rows and temperature | calibration error | log loss |")
    print("|---|---|---|")
    for name in found[0]:
        values = np.array([one[name] for one in found])
        spread = values.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(2)
        cells = (f"{mean:.3f} ± {apart:.3f}" for mean, apart in zip(values.mean(axis=0), spread, strict=True))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
