"""From a trained stage to a version in the registry."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.adaptation.catalogue import merge_additions
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.evaluation.decision import GateResult
from progressive_tf.evaluation.gate import ReasonsKept, judge
from progressive_tf.files import read_json, sha256_json, write_json
from progressive_tf.models.block_model import BlockModel, weights_sha256
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.plan.schema import GateRule
from progressive_tf.registry.errors import CanaryTakenError, StableMovedError
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.registry.staged import StagedVersion
from progressive_tf.registry.versions import Version
from progressive_tf.reporting.wording import no_alias_words, stays_words
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.classes import export_saved_model, misfit, predict_exported
from progressive_tf.training.answers.predictions_file import Scored, gate_view
from progressive_tf.training.answers.served_tags import tag_exported
from progressive_tf.training.answers.tags import tag_codes
from progressive_tf.training.answers.texts import translate_exported
from progressive_tf.training.fitting.checkpoint import checkpoint_facts
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.session import Session, build_network, open_session
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.evaluation_step import score
from progressive_tf.training.stage.explaining import agreement_with_predecessor, explanations_file
from progressive_tf.training.stage.mixture import ensemble_of

NO_PREDECESSOR = ReasonsKept(None, 0)
# TensorFlow Serving reads warm-up requests from this folder of a SavedModel, and leaves other files alone.
EXTRA = "assets.extra"


@dataclass(frozen=True)
class Arrived:
    """Answers on the rows of a stream since its last candidate, each given before the row was learnt."""

    candidate: Answers
    released: Answers


def decide(session: Session, stage: StageRecord, scored: Scored, arrived: Arrived | None = None) -> GateResult:
    """Returns the gate's decision on a stage against the last released one of the run, or its start version."""
    baseline = session.baseline(stage)
    reasons = _reasons_kept(session, stage)
    if baseline is not None:
        return _judge(session, stage, scored, score(session, baseline), reasons, arrived=arrived)
    if session.start_version is not None:
        return _judge(session, stage, scored, score(session, None), reasons, arrived=arrived)
    return _judge(session, stage, scored, None, reasons, arrived=arrived)


def _reasons_kept(session: Session, stage: StageRecord) -> ReasonsKept | None:
    """Returns how a stage's reasons agree with its predecessor's; None where the plan has no probes."""
    if session.plan.probes is None:
        return None
    found = agreement_with_predecessor(session, stage)
    if found is None:
        return NO_PREDECESSOR
    return ReasonsKept(found.correlation, found.probes or len(found.of_probe))


def baseline_name(session: Session, stage: StageRecord) -> str | None:
    """Returns what a stage is compared with, in words."""
    baseline = session.baseline(stage)
    if baseline is not None:
        version = session.versions.version_of_stage(session.run.name, baseline.name)
        return f"stage {baseline.name}" + (f" (version {version.number})" if version else "")
    return None if session.start_version is None else f"version {session.start_version}"


def decision_record(session: Session, stage: StageRecord, result: GateResult) -> dict[str, Any]:
    """Returns what decision.json says of a trained stage, or candidate, that has no version yet."""
    parent = session.parent(stage)
    return {
        **result.to_json(),
        "version": None,
        "baseline": baseline_name(session, stage),
        "started_from": parent.name if parent is not None else "start",
        "weights_sha256": checkpoint_facts(stage.folder).weights_sha256,
    }


def publish(session: Session, stage: StageRecord, scored: Scored, decision: dict[str, Any]) -> tuple[Version, str]:
    """Makes a promoted stage a version; returns it, and in words what became of its callers.

    It becomes stable, or with `release` in the plan the canary, unless stable is another run's version against which
    this stage does not pass the plan's rules; rules over earlier slices then cover the stage's own slice too, since
    that version may have been better there.
    """
    schedule = session.plan.stages[stage.index].release
    staged = _staged(session, stage, decision)
    while True:
        stable = session.versions.aliases().get(STABLE)
        refusal = None
        if stable is not None and _is_unseen(session, stage, stable):
            refusal = _refused_by_stable(session, stage, scored, stable)
        try:
            if refusal is not None:
                version = session.versions.publish(staged, alias=None, when_stable_in={stable})
                return version, stays_words(stable, refusal)
            if schedule is None or stable is None:
                return session.versions.publish(staged, when_stable_in={stable}), "stable points to it"
            percent = schedule.steps[0]
            version = session.versions.publish(staged, alias=CANARY, percent=percent, when_stable_in={stable})
            return version, f"it is the canary for {percent:g} % of the callers, beside stable version {stable}"
        except StableMovedError:
            continue
        except CanaryTakenError as error:
            version = session.versions.publish(staged, alias=None)
            return version, no_alias_words(str(error))


def note_forced(session: Session, stage: StageRecord) -> None:
    """Writes forced.json beside the decision that a person overruled, so that the report can show it."""
    version = session.versions.version_of_stage(session.run.name, stage.name)
    manifest = version.manifest() if version is not None else None
    if version is None or manifest is None:
        return
    reason = (manifest.get("forced") or {}).get("reason", "")
    write_json(stage.folder / "forced.json", {"version": version.number, "reason": reason, "time": version.created})


def export_stage(run: Path, stage: str) -> StagedVersion:
    """Returns a trained stage of a finished or held run, ready to become a version.

    Args:
        run: the run's folder.
        stage: the stage's name.

    Raises:
        InputError: the run has no such stage, or it is not trained yet.
    """
    folder = RunFolder(run)
    plan = folder.plan()
    environment = read_json(run / "environment.json")
    loaded = LoadedPlan(plan, Path(environment["plan_folder"]), plan)
    session = open_session(loaded, folder, Path(environment["registry"]), Display())
    found = next((record for record in session.with_candidates(session.stages) if record.name == stage), None)
    if found is None or not found.is_trained or found.decision is None:
        raise InputError(f"{run}: stage {stage} has not been trained and judged; run the plan first")
    session.load(found)
    return _staged(session, found, found.decision)


def _is_unseen(session: Session, stage: StageRecord, stable: int) -> bool:
    """Whether the gate has not compared a stage, or one it builds on, with the version that is stable now."""
    if session.versions.version(stable).run == session.run.name:
        return False
    return session.baseline(stage) is not None or stable != session.start_version


def _judge(
    session: Session,
    stage: StageRecord,
    candidate: Scored,
    baseline: Scored | None,
    reasons: ReasonsKept | None,
    of_another_run: bool = False,
    arrived: Arrived | None = None,
) -> GateResult:
    data, current = session.data, session.data.slice_of[stage.index]
    parent = session.parent(stage)
    before = session.stages[: parent.index + 1] if parent is not None else []
    released = [record for record in before if session.is_released(record)]
    previous = list(dict.fromkeys(data.slice_of[record.index] for record in released))
    if of_another_run and current not in previous:
        previous.append(current)
    named = [*session.plan.data.slices, *session.plan.data.validation_sets]

    def view(scored: Scored, of_stream: Answers | None) -> dict[str, Answers]:
        standing = gate_view(scored, current, previous, named)
        return standing if of_stream is None else standing | {ARRIVED: of_stream}

    return judge(
        _rules(session, stage, of_another_run),
        view(candidate, None if arrived is None else arrived.candidate),
        None if baseline is None else view(baseline, None if arrived is None else arrived.released),
        previous,
        derive_seed(session.plan.seed, "bootstrap", stage.name, "gate"),
        reasons=reasons,
    )


def _rules(session: Session, stage: StageRecord, of_another_run: bool) -> list[GateRule]:
    """Returns a stage's rules; against another run's version, those about rows that it can answer now."""
    rules = session.plan.stages[stage.index].gate
    return [rule for rule in rules if not (of_another_run and rule.slice == ARRIVED)]


def _refused_by_stable(session: Session, stage: StageRecord, scored: Scored, stable: int) -> str | None:
    """Returns why a stage does not replace another run's stable version, or None if it does."""
    version = session.versions.version(stable)
    if find_damage(version.folder, stable, version.manifest_sha256):
        return "it is damaged (see `python -m progressive_tf.release verify`)"
    manifest = version.manifest()
    if manifest is None or tuple(manifest["labels"]) != session.network.labels:
        return "it predicts other classes, so the two cannot be compared"
    reason = misfit(version.folder, session.network.preprocess, bool(session.data.classes.tasks))
    if reason is not None:
        return f"it {reason}, so the two cannot be compared"
    if not _rules(session, stage, of_another_run=True):
        return "it has not answered the rows that arrived, and every rule is about these"
    session.display.line(f"comparing with version {stable}, which another run released")
    theirs: dict[tuple[str, str], Answers] = {}
    for key, predictions in scored.predictions.items():
        if key[0] == "gate":
            source, rows = scored.rows[key]
            if isinstance(predictions, TagAnswers):
                tags = tag_exported(version.folder, session.data.sources[source].store.tokens(rows))
                theirs[key] = replace(predictions, predicted=tag_codes(tags, predictions.labels))
                continue
            if isinstance(predictions, TextAnswers):
                written, confidence = translate_exported(version.folder, session.data.sources[source].texts(rows))
                theirs[key] = TextAnswers(predictions.truth, written, confidence)
                continue
            known = len(session.network.labels)
            probabilities = np.zeros((len(rows), len(predictions.labels)))
            probabilities[:, :known] = predict_exported(
                version.folder,
                session.data.sources[source].inputs(rows),
                session.data.row_tasks(source, rows),
            )
            theirs[key] = ClassAnswers(predictions.labels, predictions.truth, probabilities, known)
    # Its reasons are not known: it stands in no run of this plan.
    result = _judge(session, stage, scored, Scored(theirs, scored.rows), NO_PREDECESSOR, of_another_run=True)
    return None if result.decision == "promote" else f"against it the gate says {result.decision}: {result.reason}"


def _staged(session: Session, stage: StageRecord, decision: dict[str, Any]) -> StagedVersion:
    """Returns the stage that the network is at as a version; updates kept separate are merged into the network."""
    parent = session.baseline(stage)
    parent_version = session.start_version
    if parent is not None:
        found = session.versions.version_of_stage(session.run.name, parent.name)
        parent_version = found.number if found else None
    metrics = read_json(stage.folder / "metrics.json")
    used = stage.data()
    so_far = session.plan.model_copy(update={"stages": session.plan.stages[: stage.index + 1]})
    tested = metrics["test"].get(stage.name, {})
    merge_additions(session.network, everything=True)
    others = _others(session, stage)
    schedule = session.plan.stages[stage.index].release
    return StagedVersion(
        model=session.plan.name,
        run=session.run.name,
        stage=stage.name,
        weights_sha256=weights_sha256(session.network.named_weights()),
        additions=session.network.additions(),
        inputs=session.network.preprocess.facts,
        preprocessing=session.network.preprocess.learnt(),
        parent=parent_version,
        task=session.plan.task,
        input_kind=session.plan.kind.input_kind(session.data.input_width),
        labels=session.network.labels,
        plan_sha256=sha256_json(so_far.model_dump(mode="json")),
        data_sha256=used["rows_sha256"],
        code_sha256=used["environment"]["code"],
        environment=used["environment"],
        metrics={name: value["value"] for name, value in tested.items()},
        decision=decision,
        export=lambda folder: _export(session, stage, folder, others),
        release=None if schedule is None else schedule.model_dump(mode="json"),
        ensemble=bool(others),
        normalize_labels=session.plan.data.normalize_labels,
    )


def _export(session: Session, stage: StageRecord, folder: Path, others: list[tuple[BlockModel, float]]) -> None:
    """Writes a version's files: the SavedModel, and its explanations where the plan has probes."""
    export_saved_model(session.network, folder, others)
    explanations = explanations_file(session, stage)
    if session.plan.probes is not None and explanations.exists():
        (folder / EXTRA).mkdir()
        shutil.copyfile(explanations, folder / EXTRA / explanations.name)


def _others(session: Session, stage: StageRecord) -> list[tuple[BlockModel, float]]:
    """Returns the networks of the earlier stages of an ensemble, each with its share."""
    found = []
    for record, share in ensemble_of(session, stage):
        loaded = LoadedPlan(session.plan, session.plan_folder, session.whole_plan)
        beside = replace(session, network=build_network(loaded, session.data, session.base_statistics))
        beside.load(record)
        merge_additions(beside.network, everything=True)
        found.append((beside.network, share))
    return found
