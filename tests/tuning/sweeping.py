"""Sweeps of tiny plans inside this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
from releasing import Place, small_plan
from rich.console import Console

from progressive_tf.display import Display
from progressive_tf.plan.loading import load_plan, sweep_settings
from progressive_tf.training.run.run_folder import Finished
from progressive_tf.training.run_plan import Options, run_plan
from progressive_tf.tuning.outcome import Sweep
from progressive_tf.tuning.tune_plan import PlannedStage, sweep_for_train, tune_plan

SPACE = {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}, "batch_size": {"choice": [8, 16]}}


def two_stages(**second: Any) -> dict[str, Any]:
    """Returns a plan over a table: what a sweep does depends on no network."""
    return tiny.of_table(two_stages_of_texts(**second))


def two_stages_of_texts(**second: Any) -> dict[str, Any]:
    return small_plan(
        {"name": "one", "data": {"take": 40}, "adaptation": {"method": "full"}},
        {"name": "two", "data": {"take": 80}, "epochs": 3, **second},
    )


@dataclass
class SweepPlace(Place):
    """A folder with a plan, its data, runs, a registry and sweeps."""

    def sweep(
        self,
        plan: dict[str, Any],
        index: int = 1,
        fresh: bool = False,
        override: Path | None = None,
        **flags: Any,
    ) -> Sweep:
        loaded = load_plan(str(tiny.write_plan(self.folder, plan)), override=override)
        settings = sweep_settings(loaded.plan, index, flags)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            runs, registry = self.folder / "runs", self.folder / "registry"
            found = tune_plan(PlannedStage(loaded, index, runs, registry), settings, fresh, self.display())
        assert found is not None
        return found

    def train(self, plan: dict[str, Any], override: Path | None = None) -> Finished:
        """Runs a plan as the command does, with sweeps where it asks for them."""
        loaded = load_plan(str(tiny.write_plan(self.folder, plan)), override=override)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            runs, registry = self.folder / "runs", self.folder / "registry"
            return run_plan(
                loaded, runs, registry, False, self.display(), Options(releases=False, sweep=sweep_for_train)
            )

    @staticmethod
    def display() -> Display:
        return Display(Console(quiet=True))
