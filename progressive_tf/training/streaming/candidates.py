"""Candidates: what a stream has taught by now, as a network of its own that the gate judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.files import sha256_json
from progressive_tf.models.precision import FLOAT32, built_for, set_precision
from progressive_tf.training.run.network import build_network
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.training.stage.promotion import Arrived
from progressive_tf.training.stage.stage_data import record_no_rows
from progressive_tf.training.streaming.progress import Arrays, Counts


class Candidates:
    """Judges and releases what a stage has learnt so far, beside the network that goes on learning.

    Args:
        attempt: the stage's.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._run = attempt.run
        self._stage = attempt.stage
        self._parent = attempt.parent
        self._beside: Run | None = None

    def judge(self, weights: Arrays, counts: Counts, arrived: Arrays) -> Decision:
        """Returns the gate's decision on a candidate, which is a version if it was promoted; decided once.

        Args:
            weights: the moved weights of the learner.
            counts: what it has learnt.
            arrived: answers on the rows since the last candidate; see `Progress`.
        """
        candidate = self._stage.candidate(counts.learnt)
        known = candidate.decision
        if known is not None:
            return known
        run = self._network_beside()
        attempt = Attempt(run, candidate, self._parent)
        attempt.begin()
        run.features.forget_other_weights()
        attempt.adopt(weights)
        record_rows(run, candidate, self._parent, counts)
        metrics = attempt.measure()
        candidate.save_metrics(metrics | {"weights": {"trainable": attempt.moved.count, "total": run.network.size}})
        decision = attempt.publish(attempt.judge(arrived_of(run, arrived)))
        attempt.end(decision)
        return decision

    def _network_beside(self) -> Run:
        if self._beside is None:
            run = self._run
            with built_for(run.settings(self._stage).precision):
                network = build_network(run.loaded, run.data, run.start.statistics)
            set_precision(network, FLOAT32)
            self._beside = run.with_network(network)
        return self._beside


def arrived_of(run: Run, arrived: Arrays) -> Arrived | None:
    """Returns answers on the rows since the last candidate, as the gate compares them; None where there are none."""
    if not len(arrived["truth"]):
        return None
    labels, truth = run.data.labels, arrived["truth"]
    candidate, baseline = (
        ClassAnswers(labels, truth, arrived[name].astype(np.float64)) for name in ("learner", "released")
    )
    return Arrived(candidate, baseline)


def record_rows(run: Run, stage: StageRecord, parent: StageRecord | None, counts: Counts) -> None:
    """Writes data.json: a stream's rows stand in no source, so they are counted and known by their hash."""
    if stage.rows() is None:
        record_no_rows(run, stage, parent)
    recorded = stage.data()
    learnt = dict(zip(run.data.labels, counts.by_label, strict=True))
    stage.save_data(
        replace(
            recorded,
            train=counts.learnt,
            labels=recorded.labels | {"train": learnt},
            rows_sha256=sha256_json([recorded.source_sha256, recorded.slice, counts.sha256]),
            stream={
                "rows": counts.rows,
                "sha256": counts.sha256,
                "duplicates": counts.duplicates,
                "aside": counts.aside,
            },
        )
    )
