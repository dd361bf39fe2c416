"""A plan in Python: loaded and checked as the commands do it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup
from pydantic import BaseModel

from progressive_tf.api import markup
from progressive_tf.api.named import Stages
from progressive_tf.api.quiet import quiet
from progressive_tf.plan.loading import DEFAULT_PLAN, LoadedPlan, load_plan, shipped_plans
from progressive_tf.plan.reading import plan_summary
from progressive_tf.plan.schema import Stage
from progressive_tf.reporting.wording import rule_words

if TYPE_CHECKING:
    from progressive_tf.api.sweep import FoundRate, Sweep


@dataclass(frozen=True)
class Plan:
    """A checked plan; `Plan.load` makes one.

    Attributes:
        loaded: what the release loop takes.
    """

    loaded: LoadedPlan

    @classmethod
    def load(
        cls,
        name_or_file: str | os.PathLike[str] = DEFAULT_PLAN,
        set: str | Sequence[str] = (),
        override: str | os.PathLike[str] | None = None,
        stages: int | None = None,
    ) -> Plan:
        """Returns the checked plan; the arguments are the flags of `python -m progressive_tf.train`.

        Args:
            name_or_file: a shipped plan's name (`Plan.shipped()` lists them), or a YAML file.
            set: changes such as `"seed=8"` or `"stages.beta.epochs=3"`, applied last, in order.
            override: a YAML file with changes, in the plan's own structure.
            stages: keep the first so many; all by default.

        Raises:
            InputError: anything wrong with the plan; every problem is listed with its path in the file.
        """
        settings = [set] if isinstance(set, str) else set
        changes = None if override is None else Path(override)
        return cls(load_plan(os.fspath(name_or_file), settings, changes, stages))

    @staticmethod
    def shipped() -> pd.DataFrame:
        """Returns the plans that come with the package: what each is for, by name."""
        plans = {name: plan_summary(path) for name, path in shipped_plans().items()}
        return pd.DataFrame({"what": plans}).rename_axis("plan")

    @property
    def name(self) -> str:
        """The plan's name, which is its model's name in the registry."""
        return self.loaded.plan.name

    @property
    def stages(self) -> Stages[Stage]:
        """The stages with the defaults merged in, by place (from 0) or name."""
        return Stages(self.loaded.plan.stages)

    def to_yaml(self) -> str:
        """Returns the whole plan as YAML, with the defaults merged into every stage."""
        return self.loaded.to_yaml()

    def dry_run(self, registry: str | os.PathLike[str] = "registry") -> pd.DataFrame:
        """Returns what each stage would train, block by block, without training: `train --dry-run`.

        Args:
            registry: the registry's folder, which has the version that the plan may start from.

        Returns:
            A row for each stage and block: weights, how many of them move, learning rate, operations of a forward
            pass for one example, and whether the block's output is kept.

        Raises:
            InputError: anything wrong with data, weights, or what a stage asks of the network.
        """
        with quiet():
            from progressive_tf.training.stage.dry_run import stage_blocks

            rows = [
                {
                    "stage": blocks.stage,
                    "block": row.name,
                    "weights": row.weights,
                    "trainable": row.trainable,
                    "optimizer": row.optimizer,
                    "rate": row.rate,
                    "MFLOPs": row.flops / 1e6,
                    "output": row.prefix,
                }
                for blocks in stage_blocks(self.loaded, Path(registry))
                for row in blocks.rows
            ]
        return pd.DataFrame(rows).set_index(["stage", "block"])

    def tune(
        self,
        stage: str | int,
        trials: int | None = None,
        oracle: str | None = None,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        drop_at_most: float | None = None,
        seeds: int | None = None,
        seed: int | None = None,
        out: str | os.PathLike[str] | None = None,
        registry: str | os.PathLike[str] = "registry",
        fresh: bool = False,
    ) -> Sweep:
        """Sweeps a stage, as `python -m progressive_tf.tune` does; the arguments are its flags.

        Stages before it are run first, or continued. A sweep that was stopped is continued.

        Args:
            stage: its name, or its number from 1.
            trials: at most so many; 20 by default.
            oracle: random, bayesian (by default), hyperband or grid.
            space: key of the stage → its values, as in a plan; by default around the plan's own.
            metric: what is best on the stage's validation rows; that of the R matrix by default.
            drop_at_most: how much of it a trial may lose on an earlier stage; 0.02 by default.
            seeds: a trial is the mean of so many trainings.
            seed: the oracle's, from 1.
            out: where runs are kept; runs/<plan> by default.
            registry: where versions are kept, by plan.
            fresh: put an earlier sweep of the stage aside.

        Raises:
            InputError: the plan, the space, the data or the weights are wrong; the message says where.
            ProgressiveError: no trial is feasible, or a stage before was not released.
            KeyboardInterrupt: interrupted; the same call continues.
        """
        from progressive_tf.api.sweep import tune_stage

        flags = {
            "space": None if space is None else dict(space),
            "trials": trials,
            "oracle": oracle,
            "metric": metric,
            "drop_at_most": drop_at_most,
            "seeds": seeds,
            "seed": seed,
        }
        return tune_stage(self.loaded, stage, flags, self._place(out), Path(registry), fresh)

    def find_rate(
        self,
        stage: str | int,
        out: str | os.PathLike[str] | None = None,
        registry: str | os.PathLike[str] = "registry",
    ) -> FoundRate:
        """Runs a learning-rate range test, as `python -m progressive_tf.tune --find-rate` does.

        Args:
            stage: its name, or its number from 1.
            out: where runs are kept; runs/<plan> by default.
            registry: where versions are kept, by plan.

        Raises:
            InputError: the plan, the data or the weights are wrong; the message says where.
            ProgressiveError: no rate lowers the loss, or a stage before was not released.
        """
        from progressive_tf.api.sweep import find_stage_rate

        return find_stage_rate(self.loaded, stage, self._place(out), Path(registry))

    def _place(self, out: str | os.PathLike[str] | None) -> Path:
        return Path("runs") / self.name if out is None else Path(out)

    def __repr__(self) -> str:
        return f"Plan({self.name}: {', '.join(self.stages.names)})"

    def _repr_html_(self) -> str:
        plan = self.loaded.plan
        model = f"{plan.model.builder}, weights {getattr(plan.model, 'weights', None) or 'random'}"
        facts = f"{plan.task}, {plan.scenario}; model {model}; data {plan.data.source}; seed {plan.seed}"
        headings = ("stage", "rows", "what moves", "epochs", "optimizer", "what keeps earlier skills", "gate")
        table = markup.table(headings, map(_stage_cells, plan.stages))
        yaml = markup.listing(self.to_yaml(), "the whole plan")
        return markup.framed(markup.heading(plan.name) + markup.paragraph(facts) + table + yaml)


def _stage_cells(stage: Stage) -> list[object]:
    rules = [rule_words(rule, rule.slice) for rule in stage.gate]
    return [
        stage.name,
        _settings(_without_defaults(stage.data)),
        _settings(_without_defaults(stage.adaptation), first="method"),
        stage.epochs,
        f"{stage.optimizer.name}, rate {stage.optimizer.learning_rate:g}",
        _settings(_without_defaults(stage.retention)) or "–",
        Markup("<br>").join(rules),
    ]


def _without_defaults(settings: BaseModel) -> dict[str, Any]:
    named = {key: getattr(settings, key) for key in ("method",) if hasattr(settings, key)}
    return named | settings.model_dump(mode="json", exclude_defaults=True)


def _settings(values: dict[str, Any], first: str = "") -> str:
    """Returns `head` or `top-blocks, blocks 2`: the value of `first`, then the others with their keys."""
    parts = [str(values[first])] if first in values else []
    for key, value in values.items():
        if key == first or value is None:
            continue
        shown = _settings(value) if isinstance(value, dict) else _listed(value)
        parts.append(f"{key} ({shown})" if isinstance(value, dict) and shown else f"{key} {shown}".strip())
    return ", ".join(parts)


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "", False: "off"}[value] if isinstance(value, bool) else str(value)
