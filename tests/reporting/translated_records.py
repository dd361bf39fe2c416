"""Writes a run folder as a finished run of two stages that write texts leaves it, with invented figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf import files

STAGES = ("plain", "polite")
HOSTILE = "<script>alert('owned')</script> & \"quoted\""
PLAN = """\
name: phrases
task: translation
scenario: domain-incremental
seed: 7
model: {builder: t5, weights: null, config: {d_model: 8}}
data:
  source: phrases
  split: {validation: 2, gate: 0.2, test: 0.2}
start: pretrained
stages:
  - {name: plain, data: {where: "kind == 'plain'"}}
  - {name: polite, data: {where: "kind == 'polite'"}}
"""
# text, expected, written, confidence
PLAIN = (
    ("good day", "guten Tag", "guten Tag", 0.97),
    ("the red house is old", "das rote Haus ist alt", "das rote Auto ist alt", 0.875),
    ("two hundred and five", "zweihundertfünf", "zweihundertfünfzig", 0.9375),
    (f"a {HOSTILE} b", f"ein {HOSTILE} b", f"ein\x08 {HOSTILE}", 0.5),
    ("nothing", "nichts", "", 0.25),
)
POLITE = (
    ("a long text", "eins " * 150 + "Ende", "eins " * 150 + "aus", 0.75),
    ("please", "bitte", "bitte", 1.0),
    ("thanks", "danke schön", "dankeschön", 0.6),
    ("two lines", "erste\nzweite", "erste zweite", 0.55),
    ("שלום", "أهلا وسهلا", "أهلا", 0.4),
)


def write_translation_run(run: Path) -> Path:
    """Writes the run and returns its folder."""
    files.write_text(run / "plan.yaml", PLAN)
    files.write_json(run / "matrix.json", matrix())
    for index, name in enumerate(STAGES):
        folder = run / "stages" / f"{index + 1:02d}-{name}"
        files.write_json(folder / "data.json", _data(index))
        files.write_json(folder / "quality.json", {"findings": []})
        files.write_text(folder / "history.csv", "epoch,loss,accuracy,val_loss,val_accuracy\n1,2.1,0.4,1.9,0.5\n")
        files.write_json(folder / "metrics.json", _metrics(index))
        files.write_json(folder / "decision.json", _decision(index))
        rows = {("test", "plain"): PLAIN, ("gate", "plain"): PLAIN[:3], ("validation", name): POLITE[1:3]}
        if index:
            rows |= {("test", "polite"): POLITE, ("gate", "polite"): POLITE[:4]}
        write_translations(folder / "predictions.parquet", rows)
    return run


def write_translations(path: Path, rows: dict[tuple[str, str], Sequence[tuple[str, str, str, float]]]) -> Path:
    """Writes a file of predictions: by part and slice, rows of text, expected and written text, and confidence."""
    table = [
        (part, name, "phrases", index, index + 1, *row)
        for (part, name), each in rows.items()
        for index, row in enumerate(each)
    ]
    names = ("part", "slice", "source", "index", "row", "text", "target", "predicted", "confidence")
    columns = dict(zip(names, map(list, zip(*table, strict=True)), strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns | {"confidence": pa.array(columns["confidence"], pa.float32())}), path)
    return path


def matrix() -> dict[str, Any]:
    """Returns what matrix.json holds."""

    def of(scale: float) -> dict[str, Any]:
        gate = [[0.0, None], [0.5 * scale, 0.125 * scale], [0.375 * scale, scale]]
        test = [[0.0, 0.0], [0.625 * scale, 0.25 * scale], [0.5 * scale, scale]]
        return {
            "gate": gate, "test": test, "acc": 0.6875 * scale, "bwt": -0.125 * scale, "fwt": None,
            "forgetting": 0.125 * scale,
            "test_measures": {"acc": 0.75 * scale, "bwt": -0.125 * scale, "fwt": None, "forgetting": 0.125 * scale},
        }  # fmt: skip

    further = {"exact_match": of(1.0), "bleu": of(80.0)}
    return {"metric": "chrf", "stages": list(STAGES), **of(100.0), "further": further}


def _data(index: int) -> dict[str, Any]:
    labels: dict[str, dict[str, int]] = {part: {} for part in ("train", "validation", "gate", "test")}
    if not index:
        labels["train"] = {"pair": 1234}  # one label for every row, which is none
    return {"source": "phrases", "slice": STAGES[index], "train": 1234, "validation": 2, "labels": labels}


def _metrics(index: int) -> dict[str, Any]:
    def measured(share: float) -> dict[str, Any]:
        return {
            name: {"value": share * scale, "low": 0.1 * scale, "high": scale, "n": 5}
            for name, scale in (("exact_match", 1.0), ("bleu", 100.0), ("chrf", 100.0))
        }

    return {
        "gate": {"plain": measured(0.5)},
        "test": {STAGES[index]: measured(0.2)},
        "validation": measured(0.5),
        "seconds": {"total": 12.5},
        "weights": {"trainable": 690_000, "total": 690_000},
        "epochs": 1,
        "best_epoch": 1,
    }


def _decision(index: int) -> dict[str, Any]:
    floor = {"metric": "exact_match", "slice": "current", "at_least": 0.15}
    drop = {"metric": "chrf", "slice": "every-previous", "drop_at_most": 0.25}
    rules = [{"rule": floor, "slice": "current", "estimate": 0.2, "low": 0.0, "high": 1.0, "threshold": 0.15, "n": 3,
              "p": 0.2, "power": 0.4, "outcome": "hold", "reason": "not shown"}]  # fmt: skip
    if index:
        rules.append({"rule": drop, "slice": "plain", "estimate": 12.5, "low": -1.5, "high": 20.0, "threshold": 0.25,
                      "n": 3, "p": 0.9, "power": 0.1, "outcome": "reject", "reason": "fell"})  # fmt: skip
    return {"decision": "hold", "reason": "not shown", "rules": rules, "started_from": "start"}
