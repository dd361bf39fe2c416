"""Rivals of a stage: simple classifiers on the same outputs of frozen blocks, fitted on the same rows so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.display import Clock
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.bootstrap import bounds, resample_drop
from progressive_tf.evaluation.records import Rival, RivalMeasure
from progressive_tf.evaluation.temperature import Temperature
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.schema import Stage
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.predictions_file import Scored, union
from progressive_tf.training.fitting.linear_heads import (
    ClassSums,
    LinearHead,
    discriminant,
    logistic_regression,
    nearest_mean,
)
from progressive_tf.training.prefix.identity import storing_pays
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import Reading, rows_so_far

MOST_ROWS = 10_000
CONFIDENCE = 0.95

Fits = Callable[[np.ndarray, np.ndarray, int], LinearHead]


def _from_sums(head: Callable[[ClassSums], LinearHead]) -> Fits:
    def fitted(features: np.ndarray, codes: np.ndarray, classes: int) -> LinearHead:
        each = np.arange(len(codes), dtype=np.uint64)
        return head(ClassSums.none(features.shape[1]).plus(features, codes, each, classes))

    return fitted


FITS: dict[str, Fits] = {
    "ncm": _from_sums(nearest_mean),
    "slda": _from_sums(discriminant),
    "logistic-regression": logistic_regression,
}
"""By the name that plans write: features [n, width], classes [n], how many there are → a head."""


@dataclass(frozen=True)
class Rivals:
    """What rivals answer, and what metrics.json says of them.

    Attributes:
        scored: by name, on the same rows as the stage.
        facts: by name.
    """

    scored: Mapping[str, Scored]
    facts: Mapping[str, Rival]

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in metrics.json."""
        return {name: asdict(rival) for name, rival in self.facts.items()}


def fit_rivals(
    run: Run, stage: StageRecord, parent: StageRecord | None, moved: MovedWeights, candidate: Scored, clock: Clock
) -> Rivals:
    """Fits the rivals that a plan names, or all of them where the outputs of all blocks are kept.

    Args:
        run: the run; its network is at the stage's weights.
        stage: the stage.
        parent: the stage it started from.
        moved: what the stage moved.
        candidate: its answers.
        clock: told how long it takes.
    """
    named, reason = run.plan.rivals, why_none(run.network, run.settings(stage), moved)
    if reason and named:
        run.display.line(f"{stage.name}: no rivals: {reason}")
    if reason or (named is not None and not named):
        return Rivals({}, {})
    with clock.measure("rivals"):
        reading = Reading(run, moved.frozen_depth, run.settings(stage).cache)
        return _Fitting(run, stage, parent, reading).rivals(named or tuple(FITS), candidate)


def why_none(network: BlockModel, settings: Stage, moved: MovedWeights) -> str | None:
    """Returns why a stage has no rivals: what its head reads is not kept; None where it has some."""
    if settings.data.stream is not None:
        return "the rows of a stream are not kept"
    if not network.has_linear_head:
        return "its head is not one dense layer"
    if moved.frozen_depth < len(network.blocks):
        return f"adaptation {settings.adaptation.method} moves blocks, so what the head reads is not kept"
    if settings.augmentation is not None:
        return "augmentation shows other images in every epoch, so what the head reads is not kept"
    if settings.cache.storage == "off" or not storing_pays(network, moved.frozen_depth):
        return "outputs of frozen blocks are not kept (cache)"
    return None


class _Fitting:
    def __init__(self, run: Run, stage: StageRecord, parent: StageRecord | None, reading: Reading) -> None:
        self.run = run
        self.stage = stage
        self.reading = reading
        self.rows = rows_so_far(run, stage, parent)
        self.slices = [run.data.slice_of[record.index] for record in (*run.released_until(parent), stage)]
        self.classes = run.known(stage)

    def rivals(self, names: Sequence[str], candidate: Scored) -> Rivals:
        features, codes, of = self._training()
        validation = [self._read(rows.source, rows.validation) for rows in self.rows]
        answered = {key: self._read(*candidate.rows[key]) for key in candidate.predictions if key[0] != "validation"}
        scored, facts = {}, {}
        for name in names:
            head = FITS[name](features, codes, self.classes)
            logits = np.concatenate([self._logits(head, rows) for rows in validation])
            head = head.at(Temperature.fit(logits, np.concatenate([rows.codes for rows in validation])).value)
            predictions = {
                key: candidate.predictions[key].with_logits(self._logits(head, rows)) for key, rows in answered.items()
            }
            scored[name] = Scored(predictions, candidate.rows, candidate.keys)
            facts[name] = self._measured(name, scored[name], candidate, len(codes), of)
        return Rivals(scored, facts)

    def _training(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Returns the features and classes of each training row once, as its last stage has it, and how many there are.

        Of more than `MOST_ROWS`, so many are drawn, and a line says so.
        """
        parts = []
        for source in dict.fromkeys(rows.source for rows in self.rows):
            of_source = [rows for rows in self.rows if rows.source == source]
            train, codes = (np.concatenate([getattr(rows, key) for rows in of_source]) for key in ("train", "codes"))
            distinct, first = np.unique(train, return_index=True)
            parts.append((source, distinct, codes[first]))
        total = sum(len(rows) for _, rows, _ in parts)
        kept = np.arange(total)
        if total > MOST_ROWS:
            seed = derive_seed(self.run.plan.seed, "rivals", self.stage.name)
            kept = np.sort(np.random.default_rng(seed).choice(total, MOST_ROWS, replace=False))
            self.run.display.line(
                f"{self.stage.name}: rivals are fitted on {MOST_ROWS:,} of {total:,} rows, drawn once"
            )
        features, begin = [], 0
        for source, rows, _ in parts:
            own = kept[(kept >= begin) & (kept < begin + len(rows))] - begin
            features.append(self.reading.features(source, rows[own]))
            begin += len(rows)
        return np.concatenate(features), np.concatenate([codes for *_, codes in parts])[kept], total

    def _read(self, source: str, rows: np.ndarray) -> _Read:
        codes = self.run.data.codes[source][rows]
        return _Read(source, rows, codes, self.reading.features(source, rows))

    def _logits(self, head: LinearHead, rows: _Read) -> np.ndarray:
        return self.reading.possible(head.logits(rows.features), rows.source, rows.rows)

    def _measured(self, name: str, rival: Scored, candidate: Scored, rows: int, of: int) -> Rival:
        metric = self.run.plan.kind.answers.matrix_metric
        parts: dict[str, RivalMeasure] = {}
        slices: dict[str, dict[str, float]] = {}
        for part in ("gate", "test"):
            present = [slice_name for slice_name in self.slices if (part, slice_name) in rival.predictions]
            if not present:
                continue
            seed = derive_seed(self.run.plan.seed, "bootstrap", self.stage.name, "rivals", name, part)
            parts[part] = compare(union(candidate, part, present), union(rival, part, present), seed)
            measured = {each: rival.predictions[part, each].measure(metric) for each in present}
            slices[part] = {each: value for each, value in measured.items() if value is not None}
        return Rival(rows, of, parts["gate"], parts.get("test"), slices)


@dataclass(frozen=True)
class _Read:
    source: str
    rows: np.ndarray
    codes: np.ndarray
    features: np.ndarray


def compare(candidate: Answers, rival: Answers, seed: int) -> RivalMeasure:
    """Returns a rival's accuracy, and how much more it is than a candidate's, paired by row.

    Args:
        candidate: on at least one row.
        rival: on the same rows.
        seed: of the bootstrap.
    """
    more = resample_drop(candidate.as_right_or_wrong(), rival.as_right_or_wrong(), "accuracy", seed=seed)
    low, high = bounds(more, (1 + CONFIDENCE) / 2)
    return RivalMeasure(float(rival.right.mean()), more.value, low, high, len(rival))
