"""A stage's training: its examples, those that are replayed, and the fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.training.augmented_examples import TrainingExamples
from progressive_tf.training.clock import Clock
from progressive_tf.training.examples import AnyExamples, Examples
from progressive_tf.training.fit import Fitted, fit_stage
from progressive_tf.training.joined_examples import JoinedExamples
from progressive_tf.training.retained import Retained
from progressive_tf.training.session import Session
from progressive_tf.training.stage_data import Rows
from progressive_tf.training.stage_record import StageRecord

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
