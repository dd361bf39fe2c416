"""Training one stage: from the network's present weights to the stage's best, resumable after any epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.batching import training_batches
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, assign_weights
from progressive_tf.plan.methods import AdaptiveSchedule, PlateauSchedule, WarmupLinearSchedule
from progressive_tf.plan.retention_methods import RunningAverage
from progressive_tf.plan.schema import Stage
from progressive_tf.retention.replay import replay_batches
from progressive_tf.seeds import derive_seed
from progressive_tf.training.fitting.callbacks import (
    AveragedWeights,
    EarlyStopping,
    EpochRecord,
    FitProgress,
    NonFiniteLoss,
)
from progressive_tf.training.fitting.checkpoint import Backup
from progressive_tf.training.fitting.continual_evaluation import ContinualEvaluation, lowest
from progressive_tf.training.fitting.contrastive import ContrastiveObjective, contrastive_batches
from progressive_tf.training.fitting.example_sets import JoinedExamples
from progressive_tf.training.fitting.examples import AnyExamples, DrawBatches, drawn_dataset, evaluation_dataset
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.fitting.objectives import Objective
from progressive_tf.training.fitting.optimizers import StageOptimizer, Updates
from progressive_tf.training.fitting.phases import Phase, phases_of
from progressive_tf.training.fitting.rates import AdaptiveRate, PlateauRate, ScheduledRate, follows_progress
from progressive_tf.training.fitting.stage_model import Penalty, StageModel

# Frozen depth and how often the outputs below are needed, if known → training examples, and those that early stopping
# and plateau look at.
ExamplesAt = Callable[[int, int | None], tuple[AnyExamples, AnyExamples]]
CONTRASTIVE_SCHEDULE = WarmupLinearSchedule(name="warmup-linear")


@dataclass(frozen=True)
class Fitted:
    """How a stage's training went; the network itself holds the weights.

    Attributes:
        epochs: finished epochs.
        best_epoch: the epoch whose weights were kept, from 1.
        history: one row per epoch.
        rates: what an adaptive schedule did: epoch (0: before the first), rate and reason of each change.
        optimizer: step counts and slots at the end.
        optimized: names of the weights that these belong to.
        stability: of each earlier stage, the R matrix's metric before, at the lowest and at the end, where measured.
    """

    epochs: int
    best_epoch: int
    history: list[dict[str, float]]
    rates: list[dict[str, Any]]
    optimizer: list[np.ndarray]
    optimized: list[str]
    stability: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """What is fitted, on what, and where its progress is kept.

    Attributes:
        network: at the weights that the stage starts from.
        stage: the plan's section.
        moved: what moves in each phase; the last moves everything that one before it moves.
        examples: gives the examples of each phase.
        objective: how many blocks do not move → what is minimised, where a phase has no objective of its own.
        seed: the plan's seed; shuffling and dropout derive theirs from it, the stage and the epoch.
        folder: the stage's folder; a backup in it is continued.
        display: where progress is shown.
        carried_optimizer: the optimizer state to start from, where the plan carries it over.
        penalties: terms added to the loss.
        measure_earlier: gives the metric of the R matrix on each earlier stage, where the stage asks to see it.
        pause_after: stop after so many epochs as if interrupted there; None to train to the end.
        observers: callbacks that come before the stage's own.
    """

    network: BlockModel
    stage: Stage
    moved: Sequence[MovedWeights]
    examples: ExamplesAt
    objective: Callable[[int], Objective]
    seed: int
    folder: Path
    display: Display
    carried_optimizer: Sequence[np.ndarray] | None = None
    penalties: Sequence[Penalty] = ()
    measure_earlier: Callable[[], dict[str, float]] | None = None
    pause_after: int | None = None
    observers: Sequence[tf.keras.callbacks.Callback] = ()


def fit_stage(fit: Fit) -> Fitted:
    """Trains the moved weights of the network in place and leaves the best ones in it.

    Raises:
        NonFiniteLossError: the loss is no longer a number.
        InputError: a carried optimizer state that does not fit.
    """
    state = FitState(fit)
    for number in range(state.first_phase, len(state.phases) + 1):
        if fit.pause_after is None or len(state.history) < fit.pause_after:
            _fit_phase(state, number)
    epochs, best_epoch = len(state.history), len(state.history)
    if state.early_stopping is not None:
        state.early_stopping.restore_best()
        best_epoch = int(state.early_stopping.best_epoch) + 1
    elif state.classifying.average is not None:
        assign_weights(state.everything.weights, state.averaged())
    optimized = [weight.name for weight in state.phases[-1].moved.trained]
    rates = state.plateau.changes if isinstance(state.plateau, AdaptiveRate) else []
    optimizer, stability = state.classifying.state(), lowest(fit.folder)
    return Fitted(epochs, best_epoch, state.history, rates, optimizer, optimized, stability)


class FitState:
    """What the phases of a stage share, continued from the backup in its folder if there is one."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        stage = fit.stage
        self.everything = fit.moved[-1]
        self.phases = phases_of(fit.network, stage, fit.moved)
        self.classifying = phase_optimizer(fit.network, stage, fit.moved, self.phases[-1])
        if fit.carried_optimizer is not None:
            _carry(self.classifying, fit.carried_optimizer, stage.name)
        read = self.averaged if self.classifying.average is not None else None
        self.early_stopping = (
            EarlyStopping(stage.early_stopping, self.everything.weights, read) if stage.early_stopping else None
        )
        self.plateau = self._rate_by_validation(fit.display)
        path = backup_file(fit.folder)
        self.backup = Backup.load(path) if path.exists() else None
        self.history = list(self.backup.history) if self.backup else []
        self.first_phase = 1
        if self.backup is not None:
            self._resume(self.backup)

    def _rate_by_validation(self, display: Display) -> PlateauRate | None:
        schedule = self.fit.stage.schedule
        if isinstance(schedule, AdaptiveSchedule):
            say = lambda text: display.line(f"{self.fit.stage.name}: {text}")  # noqa: E731
            return AdaptiveRate(schedule, self.everything.weights, say)
        return PlateauRate(schedule) if isinstance(schedule, PlateauSchedule) else None

    def _resume(self, backup: Backup) -> None:
        number = int(self.history[-1]["phase"])
        self.first_phase = number + backup.phase_finished
        assign_weights(self.everything.weights, backup.weights)
        if self.phases[number - 1].contrastive is not None:
            return
        self.classifying.restore(backup.optimizer)
        self.classifying.leading.learning_rate = backup.learning_rate
        if self.early_stopping is not None:
            self.early_stopping.restore(backup.callbacks["early_stopping"], backup.best)
        if self.plateau is not None:
            self.plateau.restore(backup.callbacks["plateau"])

    def averaged(self) -> dict[str, np.ndarray]:
        """Returns the running averages of all moved weights."""
        return self.classifying.averaged(self.everything.weights)

    @property
    def epochs_before_classifying(self) -> int:
        """How many epochs come before those that the plan's `epochs` counts."""
        return self.fit.stage.objective.epochs if self.fit.stage.objective is not None else 0

    def steering_of(self, number: int) -> tuple[EarlyStopping | None, PlateauRate | None]:
        """Returns what follows the validation of a phase, numbered from 1; nothing does where pairs are trained on."""
        if self.phases[number - 1].contrastive is not None:
            return None, None
        return self.early_stopping, self.plateau

    def optimizer_of(self, number: int) -> StageOptimizer:
        """Returns the optimizers of a phase, numbered from 1, as its last epoch left them; before that, new ones."""
        phase = self.phases[number - 1]
        if phase.contrastive is None:
            return self.classifying
        optimizer = phase_optimizer(self.fit.network, self.fit.stage, self.fit.moved, phase)
        if self.backup is not None and self.history[-1]["phase"] == number:
            optimizer.restore(self.backup.optimizer)
            optimizer.leading.learning_rate = self.backup.learning_rate
        return optimizer


def _fit_phase(state: FitState, number: int) -> None:
    """Trains one phase, numbered from 1, from where the history ends."""
    fit, stage, phase = state.fit, state.fit.stage, state.phases[number - 1]
    first_epoch = len(state.history)
    epochs_done = sum(row["phase"] == number for row in state.history)
    if phase.epochs is None:
        last_epoch = state.epochs_before_classifying + stage.epochs
    else:
        last_epoch = first_epoch - epochs_done + phase.epochs
    optimizer = state.optimizer_of(number)
    passes = None if phase.contrastive else last_epoch - first_epoch
    train, validation = fit.examples(phase.moved.frozen_depth, passes)
    draw = draw_batches(phase, stage, train)
    first_draw = draw(np.random.default_rng(derive_seed(fit.seed, "shuffle", stage.name, 0)))
    batches, drawn = len(first_draw), sum(map(len, first_draw))
    (early_stopping, plateau), schedule = state.steering_of(number), _schedule(state, phase, batches)
    if first_epoch > state.epochs_before_classifying and not epochs_done:
        for steering in (early_stopping, plateau):
            if steering is not None:
                steering.begin_phase()
    contrastive, frozen_depth = phase.contrastive, phase.moved.frozen_depth
    objective = fit.objective(frozen_depth) if contrastive is None else ContrastiveObjective(contrastive)
    model = StageModel(fit.network, phase.moved, train.first_block, objective, optimizer, fit.penalties)
    if isinstance(plateau, AdaptiveRate) and first_epoch == state.epochs_before_classifying:
        own = train.own if isinstance(train, JoinedExamples) and stage.retention.replay is not None else train
        loss = model.evaluate(evaluation_dataset(own), verbose=0, return_dict=True)["loss"]
        plateau.begin(model, stage.optimizer.learning_rate, loss, fit.network.choices)
    averages = None
    if phase.contrastive is None and optimizer.average is not None:
        averages = AveragedWeights(optimizer, state.everything.weights)
        if first_epoch == state.epochs_before_classifying:
            optimizer.begin_averages()
    rescue = plateau.rescue if isinstance(plateau, AdaptiveRate) else lambda where: False
    watching = None
    if stage.continual_evaluation is not None and fit.measure_earlier is not None:
        watching = ContinualEvaluation(fit.folder, stage.continual_evaluation, fit.measure_earlier, first_epoch)
    title = f"{stage.name}, {phase.name}" if phase.name else stage.name
    with fit.display.fit(title, state.epochs_before_classifying + stage.epochs, batches, first_epoch) as shown:
        callbacks: list[tf.keras.callbacks.Callback | None] = [
            *fit.observers,
            averages,
            NonFiniteLoss(stage.name, backup_file(fit.folder), rescue),
            schedule,
            early_stopping,
            plateau,
            FitProgress(shown, drawn / batches),
            watching,
            tf.keras.callbacks.TensorBoard(str(fit.folder / "tensorboard"), write_graph=False),
            EpochRecord(state, number, last_epoch, drawn),
        ]
        model.fit(
            drawn_dataset(train, draw, lambda epoch: derive_seed(fit.seed, "shuffle", stage.name, epoch), first_epoch),
            validation_data=None if phase.contrastive else evaluation_dataset(validation),
            initial_epoch=first_epoch,
            epochs=last_epoch if fit.pause_after is None else min(last_epoch, fit.pause_after),
            callbacks=[callback for callback in callbacks if callback is not None],
            verbose=0,
        )


def draw_batches(phase: Phase, stage: Stage, examples: AnyExamples) -> DrawBatches:
    """Returns how a phase draws the batches of an epoch."""
    lengths, width, contrastive = examples.sizes, examples.bucket_width, phase.contrastive
    replay, size = stage.retention.replay, stage.batch_size
    if isinstance(examples, JoinedExamples) and replay is not None and isinstance(size, int):
        own, kept = examples.own.sizes, examples.sizes[len(examples.own.rows) :]
        share = replay.share(len(own), len(kept))
        return lambda generator: replay_batches(own, kept, size, share, width, generator)
    if contrastive is None:
        return lambda generator: training_batches(lengths, stage.batch_size, width, generator)
    return lambda generator: contrastive_batches(
        examples.labels, lengths, stage.batch_size, width, contrastive.pairs_per_example, generator
    )


def _schedule(state: FitState, phase: Phase, batches: int) -> ScheduledRate | None:
    if phase.contrastive is not None:
        rate, epochs = phase.contrastive.learning_rate, phase.contrastive.epochs
        return ScheduledRate(CONTRASTIVE_SCHEDULE, rate, epochs, batches)
    if not follows_progress(state.fit.stage.schedule):
        return None
    rate, epochs = state.fit.stage.optimizer.learning_rate, state.fit.stage.epochs
    return ScheduledRate(state.fit.stage.schedule, rate, epochs, batches, state.epochs_before_classifying)


def phase_optimizer(network: BlockModel, stage: Stage, moved: Sequence[MovedWeights], phase: Phase) -> StageOptimizer:
    """Returns the optimizers of a phase, with nothing done yet; those of a last phase also serve the ones before it."""
    settings, average = stage.optimizer, stage.retention.average
    if phase.contrastive is not None:
        settings, average = settings.model_copy(update={"learning_rate": phase.contrastive.learning_rate}), None
    running = average if isinstance(average, RunningAverage) else None
    updates = Updates(stage.block_decay, per_block=len(moved) > 1, precision=stage.precision, average=running)
    return StageOptimizer(network, phase.moved, settings, updates)


def check_carried_optimizer(
    network: BlockModel,
    stage: Stage,
    moved: Sequence[MovedWeights],
    state: Sequence[np.ndarray],
    weights: Sequence[str],
) -> None:
    """Refuses an optimizer state that a stage cannot start from.

    Args:
        network: adapted to the stage.
        stage: the plan's section.
        moved: what moves in each phase.
        state: step counts and slots.
        weights: names of those weights that the state belongs to and that are still there.

    Raises:
        InputError: the state is another optimizer's, or that of other weights.
    """
    last = phases_of(network, stage, moved)[-1]
    if [weight.name for weight in last.moved.trained] != list(weights):
        raise InputError(
            f"stages.{stage.name}.optimizer.carry_state: the stage before trained other weights than this one does; "
            f"use an adaptation that moves the same, or drop carry_state"
        )
    _carry(phase_optimizer(network, stage, moved, last), state, stage.name)


def _carry(updates: StageOptimizer, state: Sequence[np.ndarray], stage: str) -> None:
    try:
        updates.restore(state)
    except ValueError:
        raise InputError(
            f"stages.{stage}.optimizer.carry_state: the stage before trained {len(state)} arrays with another "
            f"optimizer or adaptation, this one {len(updates.state())}; use the same in both, or drop carry_state"
        ) from None
