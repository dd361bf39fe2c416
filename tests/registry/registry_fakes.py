"""Stages that export a few bytes instead of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from progressive_tf.registry import StagedVersion

MODEL = "reviews"


def fake_export(content: bytes = b"graph") -> Callable[[Path], None]:
    def export(folder: Path) -> None:
        (folder / "saved_model.pb").write_bytes(content)
        (folder / "variables").mkdir()
        (folder / "variables" / "variables.index").write_bytes(b"index")
        (folder / "variables" / "variables.data-00000-of-00001").write_bytes(content * 10)
        (folder / "assets").mkdir()

    return export


def staged(stage: str, run: str = "run-1", **changes: Any) -> StagedVersion:
    fields: dict[str, Any] = {
        "model": MODEL,
        "run": run,
        "stage": stage,
        "weights_sha256": f"weights of {run}/{stage}",
        "parent": None,
        "task": "text-classification",
        "input_kind": "texts",
        "labels": ("negative", "positive"),
        "plan_sha256": "plan",
        "data_sha256": "data",
        "code_sha256": "code",
        "environment": {"python": "3.11"},
        "metrics": {"accuracy": 0.75},
        "decision": {
            "decision": "promote",
            "reason": "every rule passed",
            "rules": [
                {
                    "rule": {"metric": "accuracy", "slice": "current", "at_least": 0.55},
                    "slice": "current",
                    "estimate": 0.75,
                    "low": 0.7,
                    "high": 0.8,
                    "threshold": 0.55,
                    "n": 200,
                    "outcome": "pass",
                    "reason": "0.75 is at least 0.55",
                }
            ],
        },
        "export": fake_export(stage.encode()),
    }
    return StagedVersion(**{**fields, **changes})
