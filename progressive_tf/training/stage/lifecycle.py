"""The life of a stage, whoever tries it: a run, a trial of a sweep, a range test of rates, a candidate of a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.display import Clock
from progressive_tf.errors import ProgressiveError
from progressive_tf.evaluation.decision import Decision
from progressive_tf.models.block_model import assign_weights
from progressive_tf.plan.schema import Stage
from progressive_tf.training.answers.predictions_file import Scored
from progressive_tf.training.fitting.checkpoint import Arrays, save_checkpoint
from progressive_tf.training.fitting.fit import Fit, Fitted, fit_stage
from progressive_tf.training.run.checks import check_tensorflow
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.stage.abstention import abstention_facts, choose_threshold
from progressive_tf.training.stage.calibration import calibrate, calibration_facts
from progressive_tf.training.stage.carried_optimizer import carried_optimizer, keep_optimizer
from progressive_tf.training.stage.evaluation_step import score, stage_metrics
from progressive_tf.training.stage.examples import StageExamples
from progressive_tf.training.stage.explaining import explanation_facts
from progressive_tf.training.stage.head_from_sums import fit_from_sums
from progressive_tf.training.stage.mixture import Mixing, find_mixing, mix
from progressive_tf.training.stage.new_classes import start_new_classes
from progressive_tf.training.stage.promotion import Arrived, Beside, decide, publish, with_origin
from progressive_tf.training.stage.retained import Retained, check_taught, prepare_retention
from progressive_tf.training.stage.rivals import Rivals, fit_rivals
from progressive_tf.training.stage.unknown_inputs import unknown_facts

HISTORY_MEASURES = ("loss", "accuracy")
MOST_MEASURED = 500  # validation rows of each earlier stage, while a stage trains


class Attempt:
    """One try at a stage, which leaves the run's network at what it has come to.

    Its steps come in this order: `check`, `begin`, `prepare`, `train` and `keep`, or `adopt` where weights come from
    elsewhere, `measure`, `judge`, `publish`, `end`. Some take fewer: a range test of rates is neither mixed nor judged.

    Args:
        run: the run.
        stage: where the stage keeps its files.
        parent: the stage whose weights it starts from; None for the run's start.
        clock: told how long each kind of work takes; of its own by default.

    Attributes:
        phases: what moves in each phase of training.
        rows: its training and validation rows.
        retained: what it trains with beside these.
        carried: the optimizer state to start from, or None.
        scored: its answers on every slice, once it is measured.
        rivals: those of simple classifiers on the same rows.
    """

    phases: list[MovedWeights]
    rows: Rows
    retained: Retained
    carried: list[np.ndarray] | None
    scored: Scored
    rivals: Rivals

    def __init__(self, run: Run, stage: StageRecord, parent: StageRecord | None, clock: Clock | None = None) -> None:
        self.run = run
        self.stage = stage
        self.parent = parent
        self.clock = clock or Clock()
        self._mixing: Mixing | None = None
        self._base_sha256 = ""

    @property
    def settings(self) -> Stage:
        """The plan's section of the stage."""
        return self.run.settings(self.stage)

    @property
    def moved(self) -> MovedWeights:
        """Everything that moves."""
        return self.phases[-1]

    def check(self) -> None:
        """Finds what the stage is mixed with and taught by, before it counts as begun.

        Raises:
            InputError: a mixture, or a teacher, that cannot be had; or the run began with another TensorFlow.
            ProgressiveError: the registry has no version of what the stage starts from, though there was one.
        """
        check_tensorflow(self.run.folder, self.run.environment)
        self._check_registry()
        with self.clock.measure("retention"):
            self._mixing = find_mixing(self.run, self.stage, self.parent)
            check_taught(self.run, self.stage)

    def _check_registry(self) -> None:
        """Refuses a registry that was put back to an earlier state, or emptied: what it counts would begin anew."""
        run, parent = self.run, self.parent
        number = None if parent is None or parent.decision is None else parent.decision.version
        if parent is None or number is None or not run.releases:
            return
        version = run.versions.version_of_stage(run.folder.name, parent.name)
        if version is None or version.number != number:
            raise ProgressiveError(
                f"{self.stage.name} starts from stage {parent.name}, which became version {number} of "
                f"{run.versions.name}; the registry does not have it, as one from an older backup would not. Bring the "
                f"registry back to what it was, or begin a new run with --fresh"
            )

    def begin(self) -> None:
        """Puts the network at the weights that the stage starts from."""
        self._base_sha256 = self.run.load(self.parent)

    def prepare(self, settle: Callable[[int], Rows]) -> None:
        """Adapts the network, settles on rows, and finds what is kept of earlier stages.

        Args:
            settle: how many leading blocks do not move → training and validation rows.

        Raises:
            InputError: what the stage asks of the network, its rows or the stages before it.
        """
        run, stage = self.run, self.stage
        inherited = {weight.name for weight in run.network.named_weights()}
        self.phases = run.adapt(stage.index)
        self.carried = carried_optimizer(run, stage, self.parent, self.phases, inherited)
        with self.clock.measure("data"):
            self.rows = settle(self.moved.frozen_depth)
        with self.clock.measure("retention"):  # computed at the weights of earlier stages
            self.retained = prepare_retention(run, stage, self.parent, self.rows[0], self.moved)
            run.load(self.parent)
        self.phases = run.adapt(stage.index)

    def train(self, pause_after: int | None = None, observers: Sequence[tf.keras.callbacks.Callback] = ()) -> Fitted:
        """Trains the network, or what is left to train, up to its best weights.

        Args:
            pause_after: stop after so many epochs as if interrupted; None for all.
            observers: callbacks of the training, before its own.

        Raises:
            NonFiniteLossError: the loss is no longer a number.
        """
        run, settings = self.run, self.settings
        if not settings.adaptation.takes_steps:
            with self.clock.measure("fit"):
                return fit_from_sums(run, self.stage, self.parent, self.moved)
        with self.clock.measure("fit"):
            start_new_classes(run, self.stage, self.parent, self.moved)
        fit = Fit(
            network=run.network,
            stage=settings,
            moved=self.phases,
            examples=StageExamples(run, self.stage, self.rows, self.retained, self.clock),
            objective=lambda frozen_depth: run.features.answering.objective(settings, frozen_depth),
            seed=run.plan.seed,
            folder=self.stage.folder,
            display=run.display,
            carried_optimizer=self.carried,
            penalties=self.retained.penalties(settings, run.network),
            measure_earlier=self._measure_earlier(),
            pause_after=pause_after,
            observers=observers,
        )
        with self.clock.measure("fit"):
            return fit_stage(fit)

    def _measure_earlier(self) -> Callable[[], dict[str, float]] | None:
        """Returns what gives the R matrix' metric on each stage before, at the network's present weights.

        It is measured on validation rows of the released ones; None where the stage does not ask for it.
        """
        run, parent, depth, cache = self.run, self.parent, self.moved.frozen_depth, self.settings.cache
        if parent is None or self.settings.continual_evaluation is None:
            return None
        answering, metric = run.features.answering, run.plan.kind.answers.matrix_metric
        asked = {}
        for record in run.released_until(parent):
            settled = run.rows(record)
            if settled is not None and len(settled[1]):
                source, rows = run.source_of(record), settled[1][:MOST_MEASURED]
                asked[record.name] = source, rows, run.features.examples(source, rows, depth, cache)
        if not asked:
            return None
        return lambda: {name: answering.answer(*rows).measure(metric) or 0.0 for name, rows in asked.items()}

    def mixed(self) -> MovedWeights:
        """Mixes the network with those before it where the plan says so; returns what moved to get there."""
        if self._mixing is None:
            return self.moved
        with self.clock.measure("retention"):
            return mix(self._mixing, self.moved, self.rows[1])

    def keep(self, fitted: Fitted) -> None:
        """Saves what the stage ends with, mixed with what came before it where the plan says so."""
        best = fitted.history[fitted.best_epoch - 1]
        if "val_loss" in best and self.settings.adaptation.takes_steps:
            validated = [name for name in ("val_loss", "val_accuracy") if not math.isnan(best[name])]
            self.run.display.line(
                f"{self.stage.name}: {fitted.epochs} epochs, kept epoch {fitted.best_epoch}: "
                f"{', '.join(f'{name} {best[name]:.4f}' for name in validated)}"
            )
        if self.stage.is_trained:
            self.run.load(self.stage)
            return
        keep_optimizer(self.run, self.stage, fitted.optimizer, fitted.optimized)
        moved = self.mixed()
        if self.settings.calibrate != "none" and self.settings.adaptation.takes_steps:
            with self.clock.measure("calibrate"):
                calibrate(self.run, self.stage, self.parent, moved.frozen_depth)
        if self.settings.abstain is not None:
            with self.clock.measure("abstain"):
                choose_threshold(self.run, self.stage, self.parent, moved.frozen_depth)
        self._save(moved)

    def adopt(self, weights: Arrays) -> None:
        """Takes weights that were trained elsewhere as those that the stage ends with.

        Args:
            weights: of what moves, by name.
        """
        self.phases = self.run.adapt(self.stage.index)
        assign_weights(self.moved.weights, weights)
        self._save(self.moved)

    def _save(self, moved: MovedWeights) -> None:
        save_checkpoint(self.stage.folder, self.run.network, moved, self._base_sha256)

    def measure(self) -> dict[str, Any]:
        """Answers every slice; returns what metrics.json says of it."""
        with self.clock.measure("evaluate"):
            self.scored = score(self.run, self.stage, loaded=True)
            metrics = stage_metrics(self.run, self.stage, self.scored)
        self.rivals = fit_rivals(self.run, self.stage, self.parent, self.moved, self.scored, self.clock)
        if self.rivals.facts:
            metrics |= {"rivals": self.rivals.to_json()}
        calibrated = calibration_facts(self.stage)
        metrics |= {} if calibrated is None else {"calibration": calibrated}
        abstention = abstention_facts(self.stage)
        metrics |= {} if abstention is None else {"abstain": abstention}
        asked = self.run.plan.unknown_inputs
        if asked is not None:
            with self.clock.measure("unknown inputs"):
                facts = unknown_facts(self.run, self.stage, self.parent, self.moved, asked)
            metrics |= {"unknown_inputs": facts}
        if self.run.plan.probes is not None:
            with self.clock.measure("explain"):
                metrics |= {"explanations": explanation_facts(self.run, self.stage)}
        return metrics

    def judge(self, arrived: Arrived | None = None) -> Decision:
        """Returns what the gate decides.

        Args:
            arrived: answers on rows of a stream that came since the last candidate.
        """
        with self.clock.measure("evaluate"):
            return decide(self.run, self.stage, self.scored, Beside(arrived, self.rivals.scored))

    def publish(self, decision: Decision) -> Decision:
        """Makes the stage a version where it was promoted; returns the decision as decision.json is to have it."""
        decision = with_origin(self.run, self.stage, decision)
        if not decision.promoted or not self.run.releases:
            return decision
        self.run.load(self.stage)
        with self.clock.measure("export"):
            return publish(self.run, self.stage, self.scored, decision)

    def end(self, decision: Decision) -> None:
        """Writes decision.json, the last file of a stage."""
        self.stage.save_decision(decision)
        self.run.folder.log("decided", stage=self.stage.name, decision=decision.decision, version=decision.version)


def summary(fitted: Fitted) -> dict[str, Any]:
    """Returns the part of metrics.json that says how training went."""
    best = fitted.history[fitted.best_epoch - 1]
    return {
        "train": {measure: best[measure] for measure in HISTORY_MEASURES if not math.isnan(best[measure])},
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "rates": fitted.rates,
        "stability": fitted.stability,
    }
