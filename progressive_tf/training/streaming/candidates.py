"""Candidates: what a stream has taught by now, as a network of its own that the gate judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.files import cache_folder, sha256_json
from progressive_tf.models.block_model import assign_weights
from progressive_tf.models.precision import FLOAT32, built_for, set_precision
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.training.answers.features import Features
from progressive_tf.training.fitting.checkpoint import save_checkpoint
from progressive_tf.training.run.session import Session, build_network, total_weights
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.evaluation_step import score, stage_metrics
from progressive_tf.training.stage.explaining import explanation_facts
from progressive_tf.training.stage.promotion import Arrived, decide, publish, with_origin
from progressive_tf.training.stage.stage_data import record_no_rows
from progressive_tf.training.streaming.progress import Arrays, Counts


class Candidates:
    """Judges and releases what a stage has learnt so far, beside the network that goes on learning.

    Args:
        session: the run.
        stage: the stage.
        parent: the stage it started from.
    """

    def __init__(self, session: Session, stage: StageRecord, parent: StageRecord | None) -> None:
        self._session = session
        self._stage = stage
        self._parent = parent
        self._beside: Session | None = None

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
        session = self._network_beside()
        base_sha256 = session.load(self._parent)
        session.features.forget_other_weights()
        moved = session.adapt(candidate.index)[-1]
        assign_weights(moved.weights, weights)
        save_checkpoint(candidate.folder, session.network, moved, base_sha256)
        record_rows(session, candidate, self._parent, counts)
        scored = score(session, candidate, loaded=True)
        metrics = stage_metrics(session, candidate, scored)
        if session.plan.probes is not None:
            metrics |= {"explanations": explanation_facts(session, candidate)}
        metrics |= {"weights": {"trainable": moved.count, "total": total_weights(session.network)}}
        candidate.save_metrics(metrics)
        result = decide(session, candidate, scored, arrived_of(session, arrived))
        decision = with_origin(session, candidate, result)
        if decision.promoted and session.releases:
            session.load(candidate)
            version, stable = publish(session, candidate, scored, decision)
            decision = replace(decision, version=version.number, stable=stable)
        candidate.save_decision(decision)
        session.run.log("decided", stage=candidate.name, decision=decision.decision, version=decision.version)
        return decision

    def _network_beside(self) -> Session:
        if self._beside is None:
            session = self._session
            loaded = LoadedPlan(session.plan, session.plan_folder, session.whole_plan)
            with built_for(session.plan.stages[self._stage.index].precision):
                network = build_network(loaded, session.data, session.base_statistics)
            set_precision(network, FLOAT32)
            features = Features(
                network, session.data.sources, session.data.classes, session.display, cache_folder() / "prefix"
            )
            self._beside = replace(session, network=network, features=features)
        return self._beside


def arrived_of(session: Session, arrived: Arrays) -> Arrived | None:
    """Returns answers on the rows since the last candidate, as the gate compares them; None where there are none."""
    if not len(arrived["truth"]):
        return None
    labels, truth = session.data.labels, arrived["truth"]
    candidate, baseline = (
        ClassAnswers(labels, truth, arrived[name].astype(np.float64)) for name in ("learner", "released")
    )
    return Arrived(candidate, baseline)


def record_rows(session: Session, stage: StageRecord, parent: StageRecord | None, counts: Counts) -> None:
    """Writes data.json: a stream's rows stand in no source, so they are counted and known by their hash."""
    if stage.rows() is None:
        record_no_rows(session, stage, parent)
    found = stage.data()
    learnt = dict(zip(session.data.labels, counts.by_label, strict=True))
    stage.save_data(
        replace(
            found,
            train=counts.learnt,
            labels=found.labels | {"train": learnt},
            rows_sha256=sha256_json([found.source_sha256, found.slice, counts.sha256]),
            stream={
                "rows": counts.rows,
                "sha256": counts.sha256,
                "duplicates": counts.duplicates,
                "aside": counts.aside,
            },
        )
    )
