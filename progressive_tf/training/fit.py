"""Training one stage: from the network's present weights to the stage's best, resumable after any epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.data.batching import training_batches
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, assign_weights
from progressive_tf.plan.methods import PlateauSchedule
from progressive_tf.plan.schema import Stage
from progressive_tf.seeds import derive_seed
from progressive_tf.training.backup import Backup
from progressive_tf.training.callbacks.early_stopping import EarlyStopping
from progressive_tf.training.callbacks.epoch_record import EpochRecord, backup_file
from progressive_tf.training.callbacks.fit_progress import FitProgress
from progressive_tf.training.callbacks.learning_rate import PlateauRate, ScheduledRate
from progressive_tf.training.callbacks.non_finite import NonFiniteLoss
from progressive_tf.training.display import Display
from progressive_tf.training.examples import Examples, evaluation_dataset, training_dataset
from progressive_tf.training.losses import make_loss
from progressive_tf.training.objectives import Classification
from progressive_tf.training.phases import phases_of
from progressive_tf.training.schedules import follows_progress
from progressive_tf.training.stage_model import Penalty, StageModel
from progressive_tf.training.stage_optimizer import StageOptimizer

ExamplesAt = Callable[[int], tuple[Examples, Examples]]


@dataclass(frozen=True)
class Fitted:
    """How a stage's training went; the network itself holds the weights.

    Attributes:
        epochs: finished epochs.
        best_epoch: the epoch whose weights were kept, from 1.
        history: one row per epoch.
        optimizer: step counts and slots at the end.
    """

    epochs: int
    best_epoch: int
    history: list[dict[str, float]]
    optimizer: list[np.ndarray]


def fit_stage(
    network: BlockModel,
    stage: Stage,
    moved: Sequence[MovedWeights],
    examples: ExamplesAt,
    seed: int,
    folder: Path,
    display: Display,
    carried_optimizer: Sequence[np.ndarray] | None = None,
    penalties: Sequence[Penalty] = (),
) -> Fitted:
    """Trains the moved weights of the network in place and leaves the best ones in it.

    Args:
        network: at the weights that the stage starts from.
        stage: the plan's section.
        moved: what moves in each phase; the last moves everything that one before it moves.
        examples: frozen depth → training examples, and those that early stopping and the plateau schedule look at.
        seed: the plan's seed; shuffling and dropout derive theirs from it, the stage and the epoch.
        folder: the stage's folder; a backup in it is continued.
        display: where progress is shown.
        carried_optimizer: the optimizer state to start from, where the plan carries it over.
        penalties: terms added to the loss.

    Raises:
        NonFiniteLossError: the loss is no longer a number.
        InputError: a carried optimizer state that does not fit.
    """
    updates = stage_optimizer(network, stage, moved)
    if carried_optimizer is not None:
        _carry(updates, carried_optimizer, stage.name)
    everything = moved[-1]
    early_stopping = EarlyStopping(stage.early_stopping, everything.weights) if stage.early_stopping else None
    plateau = PlateauRate(stage.schedule) if isinstance(stage.schedule, PlateauSchedule) else None
    backup = _load_backup(folder)
    history = list(backup.history) if backup else []
    if backup is not None:
        _resume(backup, everything, updates, early_stopping, plateau)
    done = int(history[-1]["phase"]) - (not backup.phase_finished) if backup else 0
    phases = phases_of(stage, moved)
    for number, phase in enumerate(phases[done:], start=done + 1):
        train, validation = examples(phase.moved.frozen_depth)
        first_epoch = len(history)
        epochs_of_phase = sum(row["phase"] == number for row in history)
        last_epoch = stage.epochs if phase.epochs is None else first_epoch - epochs_of_phase + phase.epochs
        if first_epoch and not epochs_of_phase:
            _begin_phase(early_stopping, plateau)
        first_order = np.random.default_rng(derive_seed(seed, "shuffle", stage.name, 0))
        batches = len(training_batches(train.tokens.lengths(train.rows), stage.batch_size, first_order))
        model = StageModel(
            network, phase.moved, train.first_block, Classification(make_loss(stage.loss)), updates, penalties
        )
        record = EpochRecord(
            folder,
            history,
            number,
            last_epoch,
            len(train.rows),
            seed,
            stage.name,
            everything,
            early_stopping,
            plateau,
        )
        title = f"{stage.name}, {phase.name}" if phase.name else stage.name
        with display.fit(title, stage.epochs, batches, first_epoch) as shown:
            callbacks: list[tf.keras.callbacks.Callback | None] = [
                NonFiniteLoss(stage.name, backup_file(folder)),
                ScheduledRate(stage.schedule, stage.optimizer.learning_rate, stage.epochs, batches)
                if follows_progress(stage.schedule)
                else None,
                early_stopping,
                plateau,
                FitProgress(shown, len(train.rows) / batches),
                tf.keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False),
                record,
            ]
            model.fit(
                training_dataset(
                    train,
                    stage.batch_size,
                    lambda epoch: derive_seed(seed, "shuffle", stage.name, epoch),
                    first_epoch,
                ),
                validation_data=evaluation_dataset(validation),
                initial_epoch=first_epoch,
                epochs=last_epoch,
                callbacks=[callback for callback in callbacks if callback is not None],
                verbose=0,
            )
    epochs, best_epoch = len(history), len(history)
    if early_stopping is not None:
        early_stopping.restore_best()
        best_epoch = int(early_stopping.best_epoch) + 1
    return Fitted(epochs, best_epoch, history, updates.state())


def stage_optimizer(network: BlockModel, stage: Stage, moved: Sequence[MovedWeights]) -> StageOptimizer:
    """Returns the optimizers of a stage, with nothing done yet."""
    return StageOptimizer(network, moved[-1], stage.optimizer, stage.block_decay, per_block=len(moved) > 1)


def check_carried_optimizer(
    network: BlockModel, stage: Stage, moved: Sequence[MovedWeights], state: Sequence[np.ndarray]
) -> None:
    """Refuses an optimizer state that a stage cannot start from.

    Raises:
        InputError: the state is another optimizer's, or that of other weights.
    """
    _carry(stage_optimizer(network, stage, moved), state, stage.name)


def _load_backup(folder: Path) -> Backup | None:
    path = backup_file(folder)
    return Backup.load(path) if path.exists() else None


def _resume(
    backup: Backup,
    moved: MovedWeights,
    updates: StageOptimizer,
    early_stopping: EarlyStopping | None,
    plateau: PlateauRate | None,
) -> None:
    assign_weights(moved.weights, backup.weights)
    updates.restore(backup.optimizer)
    updates.leading.learning_rate = backup.learning_rate
    if early_stopping is not None:
        early_stopping.restore(backup.callbacks["early_stopping"], backup.best)
    if plateau is not None:
        plateau.restore(backup.callbacks["plateau"])


def _begin_phase(early_stopping: EarlyStopping | None, plateau: PlateauRate | None) -> None:
    if early_stopping is not None:
        early_stopping.begin_phase()
    if plateau is not None:
        plateau.begin_phase()


def _carry(updates: StageOptimizer, state: Sequence[np.ndarray], stage: str) -> None:
    try:
        updates.restore(state)
    except ValueError:
        raise InputError(
            f"stages.{stage}.optimizer.carry_state: the stage before trained {len(state)} arrays with another "
            f"optimizer or adaptation, this one {len(updates.state())}; use the same in both, or drop carry_state"
        ) from None
