"""What a stage trains on and is validated with: its own rows, replayed ones, rows of further sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.display import Clock
from progressive_tf.training.fitting.example_sets import JoinedExamples, TrainingExamples
from progressive_tf.training.fitting.examples import AnyExamples, Examples
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.stage.retained import Retained


@dataclass(frozen=True)
class StageExamples:
    """Gives the examples of each phase of a stage's training.

    Attributes:
        run: the run; its network is adapted to the stage.
        stage: the stage.
        rows: its training and validation rows.
        retained: what it trains with beside them.
        clock: told how long outputs of frozen blocks take.
    """

    run: Run
    stage: StageRecord
    rows: Rows
    retained: Retained
    clock: Clock

    def __call__(self, frozen_depth: int, epochs: int | None) -> tuple[AnyExamples, AnyExamples]:
        """Returns what a phase trains on, and what it is validated with.

        Args:
            frozen_depth: how many leading blocks do not move.
            epochs: how often the outputs of these are needed, where that is known.
        """
        settings, features, further = self.run.settings(self.stage), self.run.features, self.run.data.further.items()
        name, (train, validation) = self.run.source_of(self.stage), self.rows

        def of(source: str, rows: np.ndarray) -> Examples:
            return features.examples(source, rows, frozen_depth, settings.cache)

        def shown(source: str, rows: np.ndarray) -> TrainingExamples:
            if settings.augmentation is None:
                return of(source, rows)
            return features.augmented(source, rows, frozen_depth, settings.augmentation)

        def trained(source: str, rows: np.ndarray) -> TrainingExamples:
            examples = shown(source, rows)
            if features.answering.learns_from_states:
                return examples
            return examples.with_labels(self.run.data.trained_codes(self.stage.index, source, rows))

        with self.clock.measure("prefix"):
            kept = np.concatenate(self.rows) if settings.augmentation is None else validation
            features.examples(name, kept, frozen_depth, settings.cache, epochs)
            beside = [shown(part.source, part.rows) for part in self.retained.replayed]
            beside += [trained(source, parts.train) for source, parts in further]
            validated = [of(name, validation), *(of(source, parts.validation) for source, parts in further)]
            own = trained(name, train)
        joined = _joined(own, beside, self.retained.teachers)
        return joined, JoinedExamples(tuple(validated)) if further else validated[0]


def _joined(
    own: TrainingExamples, beside: Sequence[TrainingExamples], teachers: dict[str, np.ndarray]
) -> TrainingExamples | JoinedExamples:
    """Returns a stage's examples with others, and with what teachers say about all of them."""
    parts = [own, *beside]
    edges = np.cumsum([0, *(len(part.rows) for part in parts)])
    for name, logits in teachers.items():
        parts = [
            part.with_extra(name, logits[begin:end])
            for part, begin, end in zip(parts, edges[:-1], edges[1:], strict=True)
        ]
    return JoinedExamples(tuple(parts)) if beside else parts[0]
