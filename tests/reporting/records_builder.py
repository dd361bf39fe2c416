"""Writes a run folder as a finished run of three stages leaves it, with invented figures and hostile texts."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf import files

STAGES = ("pilot", "beta", "full")
EXAMPLES = (50, 100, 500)
ACCURACIES = (0.61, 0.70, 0.79)
SCRIPT = "<script>alert('owned')</script> & \"quoted\" — a $5 film, \U0001f644 naïve 映画"
PHRASES = (
    "an honest , quiet film that earns every tear", "the plot collapses under its own cleverness",
    "two hours i will not get back", "a cast in love with the material", "funny in places , dull in most",
    "the kind of thriller that forgets to thrill", "gorgeous to look at and empty to think about",
    "it is not without charm , and it is not without yawns", "a small marvel",
)  # fmt: skip
PLAN = """\
name: movie-reviews
task: text-classification
scenario: data-incremental
seed: 7
model: {builder: bert, weights: minilm-l6, max_length: 128}
data:
  source: movie-reviews
  split: {validation: 500, gate: 0.2, test: 1000}
start: pretrained
on_hold: stop
stages:
"""


def write_run(
    run: Path,
    labels: Sequence[str] = ("negative", "positive"),
    decisions: Sequence[str] = ("promote", "promote", "hold"),
) -> Path:
    """Writes the run, with a stage for each decision, and returns its folder."""
    gate_line = "    gate: [{metric: accuracy, slice: current, at_least: 0.55}]\n"
    stages = "".join(
        f"  - name: {name}\n    data: {{take: {take}}}\n    adaptation: {{method: head}}\n{gate_line}"
        for name, take in zip(STAGES, EXAMPLES, strict=True)
        if STAGES.index(name) < len(decisions)
    )
    files.write_text(run / "plan.yaml", PLAN + stages)
    files.write_json(run / "environment.json", _environment())
    events: list[dict[str, Any]] = [
        {"time": f"2026-05-04T09:1{minute}:07+00:00", "event": event}
        for minute, event in enumerate(("started", "decided", "decided", "finished"))
    ]
    events[0]["again"] = {
        "python": "python",
        "flags": ["--plan", "movie-reviews"],
        "run": "runs/movie-reviews/20260504-3f2a",
        "registry": "registry",
    }
    files.write_text(run / "events.jsonl", "".join(json.dumps(event) + "\n" for event in events))
    files.write_json(run / "matrix.json", _matrix())
    version = 0
    for index, name in enumerate(STAGES[: len(decisions)]):
        promoted = decisions[index] == "promote"
        version += promoted
        folder = run / "stages" / f"{index + 1:02d}-{name}"
        _write_stage(folder, index, labels, decisions[index], version if promoted else None)
    return run


def force(run: Path, stage: str = "03-full", version: int = 3) -> Path:
    """Records that a person released a stage that the gate did not release, and returns the run."""
    record = {"version": version, "reason": "The drop is on mislabelled rows.", "time": "2026-05-05T10:00:59+00:00"}
    files.write_json(run / "stages" / stage / "forced.json", record)
    return run


def _environment() -> dict[str, Any]:
    return {
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "packages": {"tensorflow": "2.15.1", "numpy": "1.26.4", "absl-py": "2.1.0", "transformers": "4.53.3"},
        "code": "9f" * 32,
        "devices": ["CPU with 2 cores"],
        "hardware": "CPU with 2 cores; float32; no XLA; one device",
        "command": ["python", "-m", "progressive_tf.train", "--stages", "3"],
    }


def _matrix() -> dict[str, Any]:
    gate = [[0.498, 0.498, None], [0.612, 0.612, 0.604], [0.703, 0.703, 0.695], [0.781, 0.781, 0.792]]
    test = [[0.501, 0.501, None], [0.603, 0.603, 0.610], [0.706, 0.706, 0.701], [0.776, 0.776, 0.788]]
    measures = {"acc": 0.785, "bwt": 0.124, "fwt": 0.152, "forgetting": -0.078}
    return {
        "metric": "accuracy", "stages": list(STAGES), "gate": gate, "test": test, **measures,
        "test_measures": {"acc": 0.780, "bwt": 0.121, "fwt": None, "forgetting": -0.070},
    }  # fmt: skip


def _write_stage(folder: Path, index: int, labels: Sequence[str], decision: str, version: int | None) -> None:
    files.write_json(folder / "data.json", _data(index, labels))
    files.write_json(folder / "quality.json", {"findings": _findings(index)})
    _write_history(folder / "history.csv", index)
    files.write_json(folder / "metrics.json", _metrics(index, labels))
    _write_predictions(folder / "predictions.parquet", index, labels)
    files.write_json(folder / "decision.json", _decision(index, decision, version))


def _data(index: int, labels: Sequence[str]) -> dict[str, Any]:
    sizes = {"train": EXAMPLES[index], "validation": 500, "gate": 1926, "test": 1000}
    return {
        "source": "movie-reviews",
        "slice": STAGES[0],
        "source_sha256": "ab" * 32,
        "rows_sha256": f"{index + 1:x}c" * 32,
        "train": EXAMPLES[index],
        "validation": 500,
        "labels": {part: {label: size // len(labels) for label in labels} for part, size in sizes.items()},
    }


def _findings(index: int) -> list[dict[str, Any]]:
    findings = [
        {"kind": "duplicates", "action": "drop", "count": 12, "rows": [14, 77, 301], "examples": [SCRIPT],
         "message": "12 rows repeat an earlier text; dropped"},
        {"kind": "label_noise", "action": "warn", "count": 3, "rows": [8, 90, 411],
         "examples": ["not a bad film at all", "so good it hurts"],
         "message": "3 rows have a label that the embeddings contradict"},
    ]  # fmt: skip
    return findings[:index]


def _write_history(path: Path, index: int) -> None:
    generator = np.random.default_rng(index)
    epochs = 14 + 4 * index
    with files.atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        names = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,examples_per_second,seconds"
        writer.writerow(names.split(","))
        for epoch in range(1, epochs + 1):
            fall = np.exp(-epoch / 6)
            noise = generator.normal(0, 0.006, 4)
            loss, val_loss = 0.45 + 0.25 * fall + noise[0], 0.55 + 0.14 * fall + 0.003 * max(0, epoch - 9) + noise[1]
            accuracy, val_accuracy = 0.82 - 0.3 * fall + noise[2], ACCURACIES[index] - 0.12 * fall + noise[3]
            rate = 1e-3 if epoch < 9 else 5e-4
            cells = (loss, accuracy, val_loss, val_accuracy, rate, 3400.0, 0.2)
            writer.writerow([epoch, *(f"{cell:.5f}" for cell in cells)])


def _measure(value: float, spread: float, n: int) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread, "n": n}


def _metrics(index: int, labels: Sequence[str]) -> dict[str, Any]:
    accuracy = ACCURACIES[index]
    test = {
        "accuracy": _measure(accuracy, 0.028, 1000),
        "ece": _measure(0.06 - 0.01 * index, 0.015, 1000),
        "log_loss": _measure(0.66 - 0.08 * index, 0.02, 1000),
    }
    for kind, shift in (("precision", 0.01), ("recall", -0.01), ("f1", 0.0)):
        for place, label in enumerate(labels):
            test[f"{kind}/{label}"] = _measure(accuracy + shift * (-1) ** place, 0.035, 500)
    return {
        "gate": {"current": {"accuracy": _measure(accuracy + 0.004, 0.019, 1926)}},
        "test": {STAGES[index]: test},
        "validation": {"accuracy": _measure(accuracy + 0.01, 0.038, 500)},
        "train": {"accuracy": accuracy + 0.05, "loss": 0.5},
        "seconds": {
            "fit": 9.1 + 20 * index,
            "prefix": 6.4,
            "evaluate": 8.2,
            "export": 19.5,
            "total": 44.4 + 22 * index,
        },
        "weights": {"trainable": (770, 8_610, 22_713_986)[index], "total": 22_713_986},
        "epochs": 14 + 4 * index,
        "best_epoch": 11 + 2 * index,
    }


def _decision(index: int, decision: str, version: int | None) -> dict[str, Any]:
    estimate = ACCURACIES[index] + 0.004
    floor = {"metric": "accuracy", "slice": "current", "at_least": 0.55, "min_samples": 30}
    drop = {
        "metric": "accuracy",
        "slice": "every-previous",
        "drop_at_most": 0.02,
        "confidence": 0.95,
        "min_samples": 30,
    }
    log_loss = {"metric": "log_loss", "slice": "current", "at_most": 0.70, "min_samples": 30}
    rules: list[dict[str, Any]] = [
        {"rule": floor, "slice": "current", "estimate": estimate, "low": estimate - 0.016, "high": estimate + 0.016,
         "threshold": 0.55, "n": 1926, "p": 0.0001, "power": 1.0, "outcome": "pass", "reason": "at least 0.55"},
        {"rule": log_loss, "slice": "current", "estimate": 0.66 - 0.08 * index, "low": 0.64 - 0.08 * index,
         "high": 0.68 - 0.08 * index, "threshold": 0.70, "n": 1926, "p": 0.001, "power": 0.98, "outcome": "pass",
         "reason": "at most 0.7"},
    ]  # fmt: skip
    outcomes = {"promote": "pass", "hold": "hold", "reject": "reject"}
    if index == 0:
        rules.append({"rule": drop, "slice": "every-previous", "threshold": 0.02, "estimate": None, "low": None,
                      "high": None, "n": None, "p": None, "power": None, "outcome": "not-applicable",
                      "reason": "no earlier stage was promoted"})  # fmt: skip
    for name in STAGES[:index]:
        low = -0.11 if decision == "promote" else (-0.004 if decision == "hold" else 0.03)
        rules.append({"rule": drop, "slice": name, "estimate": low + 0.02, "low": low, "high": low + 0.04,
                      "threshold": 0.02, "n": 1926, "p": 0.02, "power": 0.74, "outcome": outcomes[decision],
                      "reason": "the upper bound of the drop decides"})  # fmt: skip
    reason = "every rule passed" if decision == "promote" else "the drop on pilot is not shown to be at most 0.02"
    return {
        "decision": decision, "version": version, "reason": reason, "rules": rules,
        "baseline": f"stage {STAGES[index - 1]} (version {index})" if index else None,
        "started_from": STAGES[index - 1] if index else "start",
        "stable": "stable points to it" if version else None,
    }  # fmt: skip


def _write_predictions(path: Path, index: int, labels: Sequence[str]) -> None:
    generator = np.random.default_rng(index)
    rows, classes = 1200, len(labels)
    truth = generator.integers(0, classes, rows)
    right = generator.random(rows) < ACCURACIES[index]
    predicted = np.where(right, truth, (truth + generator.integers(1, classes, rows)) % classes)
    top = generator.beta(4, 2.5, rows) * (1 - 1 / classes) * 0.98 + 1 / classes
    probabilities = np.repeat(((1 - top) / (classes - 1))[:, None], classes, axis=1)
    probabilities[np.arange(rows), predicted] = top
    hostile = int(np.flatnonzero(~right[100:])[0]) + 100
    probabilities[hostile] = 0.001 / (classes - 1)
    probabilities[hostile, predicted[hostile]] = 0.999
    texts = [f"{PHRASES[row % len(PHRASES)]} ({PHRASES[row % 7]} , take {row})" for row in range(rows)]
    texts[hostile] = SCRIPT
    part = ["gate"] * 100 + ["test"] * 1000 + ["validation"] * 100
    columns: Mapping[str, Any] = {
        "part": part,
        "slice": [STAGES[0]] * 1100 + [STAGES[index]] * 100,
        "source": ["movie-reviews"] * rows,
        "row": np.arange(rows, dtype=np.int64),
        "text": texts,
        "label": [labels[place] for place in truth],
        "predicted": [labels[place] for place in predicted],
        "probabilities": pa.array(probabilities.astype(np.float32).tolist(), pa.list_(pa.float32())),
    }
    table = pa.table(dict(columns)).replace_schema_metadata({"labels": json.dumps(list(labels))})
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary)
