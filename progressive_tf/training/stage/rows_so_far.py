"""What heads without steps are fitted on: rows of a stage and of those before it, as its head reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.models.block_model import IMPOSSIBLE
from progressive_tf.plan.methods import Cache
from progressive_tf.training.answers.predictions_file import predict_rows
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord


@dataclass(frozen=True)
class LabelledRows:
    """Rows of one source with the classes that a stage trains them as.

    Attributes:
        source: its name.
        train: int64 [n], indices into it.
        codes: int32 [n], indices into the plan's labels.
        validation: int64 [m], indices into it.
    """

    source: str
    train: np.ndarray
    codes: np.ndarray
    validation: np.ndarray


def rows_so_far(run: Run, stage: StageRecord, parent: StageRecord | None) -> list[LabelledRows]:
    """Returns the rows of the released stages that a stage builds on, and its own, which come first."""
    records = [stage, *reversed(run.released_until(parent))]
    return [rows for record in records for rows in rows_of(run, record)]


def validation_answers(run: Run, stage: StageRecord, parent: StageRecord | None, depth: int) -> Answers:
    """Returns what the network says, at its present weights, of the validation rows of these stages, each row once.

    Args:
        run: the run.
        stage: the stage.
        parent: the one that it starts from.
        depth: how many leading blocks are frozen.
    """
    so_far: dict[str, list[np.ndarray]] = {}
    for rows in rows_so_far(run, stage, parent):
        so_far.setdefault(rows.source, []).append(rows.validation)
    wanted = {("validation", name): (name, np.unique(np.concatenate(parts))) for name, parts in so_far.items()}
    first, *others = predict_rows(run.features, wanted, depth, run.settings(stage).cache).predictions.values()
    return first.join(others)


def rows_of(run: Run, record: StageRecord) -> Iterator[LabelledRows]:
    """Yields the rows that a stage trains on, of one source after the other."""
    data, settled = run.data, run.rows(record)
    if settled is None:
        return
    further = {name: (rows.train, rows.validation) for name, rows in data.further.items()}
    for name, (train, validation) in {run.source_of(record): settled, **further}.items():
        yield LabelledRows(name, train, data.trained_codes(record.index, name, train), validation)


@dataclass(frozen=True)
class Reading:
    """Reads rows as the head's dense layer does, at the network's present weights.

    Attributes:
        run: the run; its network is at a stage.
        depth: how many leading blocks are frozen.
        cache: how their outputs are kept.
    """

    run: Run
    depth: int
    cache: Cache

    def features(self, source: str, rows: np.ndarray) -> np.ndarray:
        """Returns float32 [n, width]."""
        return self.run.features.read_by_head(source, rows, self.depth, self.cache)

    def possible(self, logits: np.ndarray, source: str, rows: np.ndarray) -> np.ndarray:
        """Returns logits [n, classes] that leave classes of other tasks than a row's own no probability."""
        classes = self.run.data.classes
        tasks = classes.row_tasks(source, rows)
        if tasks is None:
            return logits
        of_task = np.array(tasks)[:, np.newaxis] == np.array(classes.label_tasks[: logits.shape[1]])
        return np.where(of_task, logits, IMPOSSIBLE)
