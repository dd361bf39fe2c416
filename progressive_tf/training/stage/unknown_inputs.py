"""What a trained stage says of inputs that are like nothing it has learnt: score, threshold, and how well they tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import listed
from progressive_tf.evaluation.records import Measure
from progressive_tf.evaluation.unknown_inputs import (
    OutOfScope,
    ScoredRows,
    UnknownFacts,
    histogram,
    quantile_above,
    separation,
    unknown_words,
)
from progressive_tf.plan.unknown_inputs import UnknownInputs
from progressive_tf.seeds import derive_seed
from progressive_tf.training.fitting.linear_heads import ClassSums
from progressive_tf.training.fitting.locations import unknown_file
from progressive_tf.training.fitting.unknown_scores import (
    FITS,
    KEEPS_ROWS,
    MOST_KEPT,
    Learnt,
    UnknownScore,
    direction_and_length,
    load_score,
    save_score,
)
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import LabelledRows, Reading, rows_so_far

RIVAL = "confidence"  # beside every other score


def unknown_facts(
    run: Run, stage: StageRecord, parent: StageRecord | None, moved: MovedWeights, asked: UnknownInputs
) -> dict[str, Any]:
    """Fits the score of a stage, keeps it in its folder, and returns what metrics.json says of it.

    Args:
        run: the run; its network is at the stage's weights.
        stage: the stage.
        parent: the stage it started from.
        moved: what it moved.
        asked: the plan's section.
    """
    reading = Reading(run, moved.frozen_depth, run.settings(stage).cache)
    learnt = learnt_so_far(run, stage, parent, reading, MOST_KEPT if asked.score in KEEPS_ROWS else 0)
    _say_missing(run, stage, learnt)
    arrays = FITS[asked.score](learnt)
    scoring = Scoring(reading, {asked.score: UnknownScore(arrays, 0.0), RIVAL: UnknownScore({}, 0.0)})
    validation = scoring.rows((rows.source, rows.validation) for rows in rows_so_far(run, stage, parent))[asked.score]
    threshold = quantile_above(validation.values, asked.flagged)
    save_score(unknown_file(stage.folder), arrays, threshold)
    names = [run.data.slice_of[record.index] for record in (*run.released_until(parent), stage)]
    slices = [run.data.slices[name] for name in names if name in run.data.slices]
    gate, test = (scoring.rows((part.source, getattr(part, name)) for part in slices) for name in ("gate", "test"))
    known, unknown = test if len(test[asked.score].values) else gate, run.data.unknown
    others = {} if unknown is None else scoring.rows([(unknown.name, unknown.rows)])

    def flagged(rows: Mapping[str, ScoredRows]) -> Measure:
        values = rows[asked.score].values
        return Measure(float((values > threshold).mean()), n=len(values))

    out_of_scope = None
    if unknown is not None:
        seed = derive_seed(run.plan.seed, "bootstrap", stage.name, "unknown inputs")
        apart = {name: separation(known[name], others[name], seed) for name in others}
        part = "test" if known is test else "gate"
        out_of_scope = OutOfScope(unknown.source.name, flagged(others), part, apart)
    facts = UnknownFacts(
        score=asked.score,
        threshold=threshold,
        train=int(learnt.sums.counts.sum()),
        validation=len(validation.values),
        gate=flagged(gate),
        test=flagged(test) if known is test else None,
        histogram=histogram(known[asked.score].values, others[asked.score].values if others else np.empty(0)),
        out_of_scope=out_of_scope,
    )
    run.display.line(f"{stage.name}: {unknown_words(facts)}")
    return asdict(facts)


def learnt_so_far(run: Run, stage: StageRecord, parent: StageRecord | None, reading: Reading, most: int) -> Learnt:
    """Returns the training rows of a stage and of those it builds on, each input once.

    Args:
        run: the run; its network is at the stage's weights.
        stage: the stage.
        parent: the stage it started from.
        reading: of the network.
        most: rows that are kept as they are; of more, so many are drawn by the plan's seed, and a line says so.
    """
    parts: list[tuple[LabelledRows, np.ndarray]] = []
    seen = np.empty(0, np.uint64)
    for rows in rows_so_far(run, stage, parent):
        keys = run.data.sources[rows.source].keys[rows.train]
        _, first = np.unique(keys, return_index=True)
        new = np.sort(first[~np.isin(keys[first], seen)])
        seen = np.union1d(seen, keys)
        parts.append((rows, new))
    total = sum(len(new) for _, new in parts)
    kept = np.arange(total)
    if total > most:
        seed = derive_seed(run.plan.seed, "unknown inputs", stage.name)
        kept = np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
    if 0 < most < total:
        run.display.line(f"{stage.name}: unknown inputs: {most:,} of {total:,} training rows are kept, drawn once")
    sums = ClassSums.none(int(run.network.head.dense.kernel.shape[0]) + 1)
    some, begin = [], 0
    for rows, new in parts:
        read = direction_and_length(tf.constant(reading.features(rows.source, rows.train[new]))).numpy()
        keys = run.data.sources[rows.source].keys[rows.train[new]]
        sums = sums.plus(read, rows.codes[new], keys, run.known(stage))
        some.append(read[kept[(kept >= begin) & (kept < begin + len(new))] - begin])
        begin += len(new)
    return Learnt(sums, np.concatenate(some))


def unknown_score(run: Run, stage: StageRecord) -> UnknownScore | None:
    """Returns the score that a version of a trained stage serves; None where the plan asks for none."""
    path = unknown_file(stage.folder)
    return load_score(path) if run.plan.unknown_inputs is not None and path.exists() else None


@dataclass(frozen=True)
class Scoring:
    """Scores rows by each of several scores.

    Attributes:
        reading: of the network.
        scores: by name.
    """

    reading: Reading
    scores: Mapping[str, UnknownScore]

    def rows(self, wanted: Iterable[tuple[str, np.ndarray]]) -> dict[str, ScoredRows]:
        """Returns the scores of rows by name, each row of a source once.

        Args:
            wanted: sources, each with int64 indices into it; a source may come again.
        """
        of_source: dict[str, list[np.ndarray]] = {}
        for source, rows in wanted:
            of_source.setdefault(source, []).append(rows)
        values: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in self.scores}
        groups: list[np.ndarray] = [np.empty(0, np.int64)]
        grouped = False
        for source, parts in of_source.items():
            rows = np.unique(np.concatenate(parts))
            read = self.reading.features(source, rows)
            probabilities = tf.nn.softmax(self.reading.run.network.head.dense(tf.constant(read))).numpy()
            for name, score in self.scores.items():
                values[name].append(score.scored(read, probabilities))
            own = self.reading.run.data.sources[source].groups
            grouped |= own is not None
            groups.append(np.arange(len(rows)) + sum(map(len, groups)) if own is None else own[rows])
        joined = np.concatenate(groups) if grouped else None
        return {name: ScoredRows(np.concatenate(parts), joined) for name, parts in values.items()}


def _say_missing(run: Run, stage: StageRecord, learnt: Learnt) -> None:
    counts = learnt.sums.counts
    missing = [label for label, count in zip(run.network.labels, counts, strict=True) if not count]
    if missing:
        run.display.line(
            f"{stage.name}: unknown inputs: no training row of {listed(missing)} so far, so that inputs of "
            f"{'this class' if len(missing) == 1 else 'these classes'} may count as unknown"
        )
