"""A stage's training: its examples, those that are replayed, and the fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.display import Clock
from progressive_tf.errors import InputError
from progressive_tf.files import write_json
from progressive_tf.plan.loading import with_change
from progressive_tf.training.fitting.checkpoint import load_arrays, save_arrays
from progressive_tf.training.fitting.example_sets import JoinedExamples, TrainingExamples
from progressive_tf.training.fitting.examples import AnyExamples, Examples
from progressive_tf.training.fitting.fit import Fitted, check_carried_optimizer, fit_stage
from progressive_tf.training.run.run_folder import TUNED_FILE
from progressive_tf.training.run.session import Session
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.preflight import check_release
from progressive_tf.training.stage.retained import Retained
from progressive_tf.training.stage.stage_data import Rows

HISTORY_MEASURES = ("loss", "accuracy")
MOST_MEASURED = 500  # validation rows of each earlier stage, while a stage trains


def train_stage(
    session: Session,
    stage: StageRecord,
    parent: StageRecord | None,
    moved: list[MovedWeights],
    rows: Rows,
    retained: Retained,
    carried: list[np.ndarray] | None,
    clock: Clock,
    pause_after: int | None = None,
    observers: Sequence[tf.keras.callbacks.Callback] = (),
) -> Fitted:
    """Trains a stage in place, or what is left of it, and leaves its best weights in the network.

    Args:
        session: the run; its network is adapted to the stage.
        stage: where the stage keeps its files.
        parent: the stage whose weights it starts from.
        moved: what moves in each phase.
        rows: its training and validation rows.
        retained: what it trains with beside them.
        carried: the optimizer state to start from.
        clock: told how long each kind of work takes.
        pause_after: stop after so many epochs as if interrupted; None for all.
        observers: callbacks of the training, before its own.
    """
    plan, settings = session.plan, session.plan.stages[stage.index]
    name = session.data.stage_sources[stage.index]

    def examples(frozen_depth: int, epochs: int | None) -> tuple[AnyExamples, AnyExamples]:
        def of(source: str, wanted: np.ndarray) -> Examples:
            return session.features.examples(source, wanted, frozen_depth, settings.cache)

        def shown(source: str, wanted: np.ndarray) -> TrainingExamples:
            if settings.augmentation is None:
                return of(source, wanted)
            return session.features.augmented(source, wanted, frozen_depth, settings.augmentation)

        def trained(source: str, wanted: np.ndarray) -> TrainingExamples:
            if session.network.tags_words or session.data.classes.writes:
                return of(source, wanted)  # what is to be learnt stands in their states
            return shown(source, wanted).with_labels(session.data.trained_codes(stage.index, source, wanted))

        further = session.data.further.items()
        with clock.measure("prefix"):
            kept = np.concatenate(rows) if settings.augmentation is None else rows[1]
            session.features.examples(name, kept, frozen_depth, settings.cache, epochs)
            beside = [shown(part.source, part.rows) for part in retained.replayed]
            beside += [trained(source, each.train) for source, each in further]
            validation = [of(name, rows[1]), *(of(source, each.validation) for source, each in further)]
            own = trained(name, rows[0])
        train = retained.joined(own, beside)
        return train, JoinedExamples(tuple(validation)) if further else validation[0]

    with clock.measure("fit"):
        return fit_stage(
            session.network,
            settings,
            moved,
            examples,
            plan.seed,
            stage.folder,
            session.display,
            carried,
            retained.penalties(settings, session.network),
            _accuracy_of_earlier(session, stage, parent, moved[-1].frozen_depth)
            if settings.continual_evaluation is not None
            else None,
            pause_after,
            observers,
        )


def _accuracy_of_earlier(
    session: Session, stage: StageRecord, parent: StageRecord | None, depth: int
) -> Callable[[], dict[str, float]] | None:
    """Returns what measures the network, at its present weights, on validation rows of the released stages before."""
    before = session.stages[: parent.index + 1] if parent is not None else []
    earlier = [(record, record.rows()) for record in before if session.is_released(record)]
    if not earlier:
        return None
    cache = session.plan.stages[stage.index].cache
    wanted = {
        record.name: (session.data.stage_sources[record.index], rows[1][:MOST_MEASURED])
        for record, rows in earlier
        if rows is not None
    }
    answers = session.features.without_classes
    if answers is not None:
        metric = session.plan.kind.answers.matrix_metric
        return lambda: {
            name: answers(source, rows, depth, cache).measure(metric) or 0.0 for name, (source, rows) in wanted.items()
        }
    examples = {name: session.features.examples(source, rows, depth, cache) for name, (source, rows) in wanted.items()}

    def measure() -> dict[str, float]:
        return {
            name: float((session.features.probabilities(each).argmax(axis=1) == each.labels).mean())
            for name, each in examples.items()
        }

    return measure


def summary(fitted: Fitted) -> dict[str, Any]:
    """Returns the part of metrics.json that says how training went."""
    best = fitted.history[fitted.best_epoch - 1]
    return {
        "train": {measure: best[measure] for measure in HISTORY_MEASURES},
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "rates": fitted.rates,
    }


def keep_optimizer(session: Session, stage: StageRecord, state: Sequence[np.ndarray], weights: Sequence[str]) -> None:
    """Saves the state that a stage's training ended with, if a later stage of the whole plan carries one over.

    Args:
        session: the run.
        stage: the stage.
        state: step counts and slots.
        weights: names of those that it belongs to.
    """
    if any(later.optimizer.carry_state for later in session.whole_plan.stages[stage.index + 1 :]):
        arrays = {f"{index:05d}": value for index, value in enumerate(state)}
        save_arrays(_file(stage), arrays, {"weights": list(weights)})


def carried_optimizer(
    session: Session,
    stage: StageRecord,
    parent: StageRecord | None,
    moved: Sequence[MovedWeights],
    inherited: Collection[str],
) -> list[np.ndarray] | None:
    """Returns the optimizer state that a stage starts from, or None where the plan carries none over.

    Args:
        session: the run, its network adapted to the stage.
        stage: the stage.
        parent: the stage it starts from.
        moved: what moves in each phase.
        inherited: names of the weights that the parent left; those that the stage adds have no state yet.

    Raises:
        InputError: the stage it starts from kept none, or one of another optimizer or adaptation.
    """
    settings = session.plan.stages[stage.index]
    if not settings.optimizer.carry_state:
        return None
    if parent is None or not _file(parent).exists():
        came_from = f"stage {parent.name} kept none" if parent else "it starts from the model's own weights"
        raise InputError(
            f"stages[{stage.index}].optimizer.carry_state: no optimizer state to start from: {came_from}; "
            f"have it in the plan before that stage trains (with --fresh), or drop carry_state"
        )
    arrays, metadata = load_arrays(_file(parent))
    state = [arrays[key] for key in sorted(arrays)]
    weights = [name for name in metadata["weights"] if name in inherited]
    check_carried_optimizer(session.network, settings, moved, state, weights)
    return state


def _file(stage: StageRecord) -> Path:
    return stage.folder / "checkpoint" / "optimizer.safetensors"


# Sweeps a stage that is about to begin; returns the change to the plan's section that did best.
SweepStage = Callable[[Session, StageRecord], dict[str, Any]]


def tune_stage(session: Session, stage: StageRecord, sweep: SweepStage | None) -> None:
    """Sweeps a stage that asks for it and has not begun, and gives the run's plan what was found.

    Raises:
        InputError: there is nothing to sweep with.
    """
    if session.plan.stages[stage.index].tune is None or stage.rows() is not None:
        return
    if sweep is None:
        raise InputError(f"stages[{stage.index}].tune: a sweep is needed before this stage; run it with `train`")
    change = sweep(session, stage)
    write_json(stage.folder / TUNED_FILE, change)
    session.plan = with_change(session.plan, stage.index, change)
    check_release(session)  # it may add to the network what no stage had before
