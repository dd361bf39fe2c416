"""Runs of tiny plans inside this process, and reading what they leave."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from rich.console import Console

from progressive_tf.display import Display
from progressive_tf.plan.loading import load_plan
from progressive_tf.training.run.run_folder import Finished
from progressive_tf.training.run_plan import Options, run_plan

PASSES = {"metric": "accuracy", "at_least": 0.0}
# Fewer rows than asked for never pass, whatever they say.
NEVER_ENOUGH = {"metric": "accuracy", "drop_at_most": 0.0, "confidence": 0.95, "min_samples": 10_000}


@dataclass
class Place:
    """A folder with plans, their data, runs and a registry."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def run(
        self, plan: dict[str, Any], stages: int | None = None, fresh: bool = False, releases: bool = True
    ) -> Finished:
        console = Console(file=io.StringIO())
        loaded = load_plan(str(tiny.write_plan(self.folder, plan)), stages=stages)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)  # the cache stands in the current folder
            places = self.folder / "runs", self.folder / "registry"
            try:
                return run_plan(loaded, *places, fresh, Display(console), Options(releases))
            finally:
                self.said.append(console.file.getvalue())  # type: ignore[attr-defined]


def begin(folder: Path, plan: dict[str, Any], stages: int | None = None, releases: bool = True) -> Path:
    """Runs stages that many tests begin with; returns a folder of which each takes a copy to go on in.

    The folder is moved once they have run: where a run began beside a registry that is still there, it wants that one.
    """
    assert Place(folder).run(plan, stages, releases=releases).promoted
    return folder.rename(folder.with_name(f"{folder.name}-begun"))


def copied(begun: Path, folder: Path) -> Path:
    """Copies what `begin` has left into a folder, and returns that."""
    return shutil.copytree(begun, folder, dirs_exist_ok=True)


def small_plan(*stages: dict[str, Any], seed: int = 3, **changes: Any) -> dict[str, Any]:
    """Returns a plan of quick stages that pass their gate unless they say otherwise.

    Outputs are kept in float32: what was judged and what is served then differ by the order of additions alone, on any
    processor. How far float16 takes them apart depends on the network and has no bound to test against.
    """
    plan = tiny.raw_plan(seed=seed, stages=list(stages), **changes)
    plan["defaults"] |= {
        "epochs": 2,
        "gate": [PASSES],
        "adaptation": {"method": "head"},
        "cache": {"dtype": "float32"},
    }
    return plan


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def stage_folder(run: Path, name: str) -> Path:
    return next((run / "stages").glob(f"??-{name}"))


def decision(run: Path, name: str) -> dict[str, Any]:
    return read(stage_folder(run, name) / "decision.json")


def contents(folder: Path) -> dict[str, str]:
    """Returns the hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def accuracy(file: Path, part: str, slice_name: str) -> float:
    frame = pd.read_parquet(file)
    rows = frame[(frame["part"] == part) & (frame["slice"] == slice_name)]
    assert len(rows)
    return float(np.mean(rows["label"] == rows["predicted"]))
