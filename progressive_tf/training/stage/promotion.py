"""From a trained stage to a version in the registry."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from progressive_tf.adaptation.catalogue import merge_additions
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, ReasonsKept, judge
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import read_json, sha256_json, write_json
from progressive_tf.models.block_model import BlockModel, weights_sha256
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.registry.errors import CanaryTakenError, StableMovedError
from progressive_tf.registry.history import CANARY, SHADOW, STABLE
from progressive_tf.registry.staged import StagedVersion
from progressive_tf.reporting.wording import no_alias_words, stays_words
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.exported import export_saved_model
from progressive_tf.training.answers.predictions_file import Scored, gate_view
from progressive_tf.training.fitting.checkpoint import checkpoint_facts
from progressive_tf.training.fitting.locations import EXTRA, sums_file
from progressive_tf.training.run.network import build_network
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.abstention import abstention_facts, answer_rule
from progressive_tf.training.stage.evaluation_step import score
from progressive_tf.training.stage.explaining import agreement_with_predecessor, explanations_file
from progressive_tf.training.stage.learnt import learnt_by
from progressive_tf.training.stage.line import ask_version, carried, line_of, released_reference, remembered
from progressive_tf.training.stage.looking import looks_of, runs_on_test_rows
from progressive_tf.training.stage.mixture import ensemble_of
from progressive_tf.training.stage.unknown_inputs import unknown_score

NO_PREDECESSOR = ReasonsKept(None, 0)


@dataclass(frozen=True)
class Arrived:
    """Answers on the rows of a stream since its last candidate, each given before the row was learnt."""

    candidate: Answers
    released: Answers


@dataclass(frozen=True)
class Beside:
    """What a stage is judged by beside its own answers and those of the last released one.

    Attributes:
        arrived: answers on rows of a stream.
        rivals: answers of simple classifiers, by name.
    """

    arrived: Arrived | None = None
    rivals: Mapping[str, Scored] = field(default_factory=dict)


NOTHING_BESIDE = Beside()


def decide(run: Run, stage: StageRecord, scored: Scored, beside: Beside = NOTHING_BESIDE) -> Decision:
    """Returns the gate's decision on a stage against the last released one of the run, or its start version."""
    baseline = run.baseline(stage)
    compared = None
    if baseline is not None or run.start.version is not None:
        compared = score(run, baseline)
    decision = _judge(run, stage, scored, compared, beside=beside)
    return replace(decision, test_runs=runs_on_test_rows(run, stage))


def _reasons_kept(run: Run, stage: StageRecord) -> ReasonsKept | None:
    """Returns how a stage's reasons agree with its predecessor's; None where the plan has no probes."""
    if run.plan.probes is None:
        return None
    agreement = agreement_with_predecessor(run, stage)
    if agreement is None:
        return NO_PREDECESSOR
    return ReasonsKept(agreement.correlation, agreement.probes or len(agreement.of_probe))


def baseline_name(run: Run, stage: StageRecord) -> str | None:
    """Returns what a stage is compared with, in words."""
    baseline = run.baseline(stage)
    if baseline is not None:
        version = run.versions.version_of_stage(run.folder.name, baseline.name)
        return f"stage {baseline.name}" + (f" (version {version.number})" if version else "")
    return None if run.start.version is None else f"version {run.start.version}"


def with_origin(run: Run, stage: StageRecord, decision: Decision) -> Decision:
    """Returns the decision on a trained stage, or candidate, with what it was compared with and started from."""
    parent = run.parent(stage)
    return replace(
        decision,
        baseline=baseline_name(run, stage),
        started_from=parent.name if parent is not None else "start",
        weights_sha256=checkpoint_facts(stage.folder).weights_sha256,
    )


def publish(run: Run, stage: StageRecord, scored: Scored, decision: Decision) -> Decision:
    """Makes a promoted stage a version; returns the decision with its number and what became of its callers.

    It becomes stable, or with `release` in the plan the canary, or first the shadow, unless stable is another run's
    version against which this stage does not pass the plan's rules; rules over earlier slices then cover the stage's
    own slice too, since that version may have been better there. A stage that passes goes on the line of that version.
    """
    schedule = run.settings(stage).release
    while True:
        stable, refusal, judged = run.versions.aliases().get(STABLE), None, decision
        if stable is not None and _is_unseen(run, stage, stable):
            refusal, judged = _beside_stable(run, stage, scored, decision, stable)
            run.load(stage)
        staged = _staged(run, stage, judged)
        try:
            if refusal is not None:
                version = run.versions.publish(staged, alias=None, when_stable_in={stable})
                words = stays_words(stable, refusal)
            elif schedule is None or stable is None:
                version, words = run.versions.publish(staged, when_stable_in={stable}), "stable points to it"
                if STABLE not in version.aliases:
                    words = no_alias_words("stable was taken back while it was exported")
            elif schedule.shadow_first:
                version = run.versions.publish(staged, alias=SHADOW, when_stable_in={stable})
                words = f"it is the shadow until it is shown to be good enough, beside stable version {stable}"
                if not version.aliases:
                    words = no_alias_words("stable or the shadow was taken back while it was exported")
            else:
                percent = schedule.steps[0]
                version = run.versions.publish(staged, alias=CANARY, percent=percent, when_stable_in={stable})
                words = f"it is the canary for {percent:g} % of the callers, beside stable version {stable}"
                if not version.aliases:
                    words = no_alias_words("stable or the canary was taken back while it was exported")
        except StableMovedError:
            continue
        except CanaryTakenError as error:
            version, words = run.versions.publish(staged, alias=None), no_alias_words(str(error))
        return replace(judged, version=version.number, stable=words)


def note_forced(run: Run, stage: StageRecord) -> None:
    """Writes forced.json beside the decision that a person overruled, so that the report can show it."""
    version = run.versions.version_of_stage(run.folder.name, stage.name)
    manifest = version.manifest() if version is not None else None
    if version is None or manifest is None:
        return
    reason = (manifest.get("forced") or {}).get("reason", "")
    write_json(stage.forced_file, {"version": version.number, "reason": reason, "time": version.created})


def export_stage(path: Path, stage: str) -> StagedVersion:
    """Returns a trained stage of a finished or held run, ready to become a version.

    Args:
        path: the run's folder.
        stage: the stage's name.

    Raises:
        InputError: the run has no such stage, or it is not trained yet.
    """
    folder = RunFolder(path)
    plan = folder.plan()
    environment = read_json(folder.environment_file)
    loaded = LoadedPlan(plan, Path(environment["plan_folder"]), plan)
    run = load_run(loaded, folder, Path(environment["registry"]), Display())
    stage_record = next((record for record in run.with_candidates(run.stages) if record.name == stage), None)
    if stage_record is None or not stage_record.is_trained or stage_record.decision is None:
        raise InputError(f"{path}: stage {stage} has not been trained and judged; run the plan first")
    run = run.at(stage_record)
    run.load(stage_record)
    return _staged(run, stage_record, stage_record.decision)


def _is_unseen(run: Run, stage: StageRecord, stable: int) -> bool:
    """Whether the gate has not compared a stage, or one it builds on, with the version that is stable now."""
    if run.versions.version(stable).run == run.folder.name:
        return False
    return run.baseline(stage) is not None or stable != run.start.version


def _judge(
    run: Run,
    stage: StageRecord,
    candidate: Scored,
    baseline: Scored | None,
    other: int | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Decision:
    """Judges a stage beside the last released one, or beside another run's version, whose answers are `baseline`."""
    # Reasons of another run's version are not known: it stands in no run of this plan.
    of_another_run = other is not None
    reasons = NO_PREDECESSOR if of_another_run else _reasons_kept(run, stage)
    data, current = run.data, run.data.slice_of[stage.index]
    parent = run.parent(stage)
    previous = [*run.plan.data.earlier, *(data.slice_of[record.index] for record in run.released_until(parent))]
    previous = [name for name in dict.fromkeys(previous) if name in data.slices]  # its classes may be no more
    beside_version = of_another_run or (parent is None and run.start.version is not None)
    if beside_version and current not in previous:
        previous.append(current)
    named = run.plan.data.named_slices
    arrived = beside.arrived

    def view(scored: Scored, of_stream: Answers | None) -> dict[str, Answers]:
        standing = gate_view(scored, current, previous, named)
        return standing if of_stream is None else standing | {ARRIVED: of_stream}

    classes = {name: data.classes_meant(name) for name in {*previous, *named, current}}
    classes["current"] = classes[current]
    classes["all"] = tuple({label for name in (*previous, current) for label in classes[name]})
    rules, last = _rules(run, stage, of_another_run), released_reference(run, stage, other)
    line = line_of(run, stage, rules, other, candidate, lambda scored: view(scored, None))
    looks = looks_of(run, stage, candidate, rules, previous, last)  # noted before there is a verdict
    decision = judge(
        rules,
        Compared(
            view(candidate, None if arrived is None else arrived.candidate),
            None if baseline is None else view(baseline, None if arrived is None else arrived.released),
            previous,
            reasons,
            classes,
            line=line,
            looks=looks,
            rivals={name: gate_view(scored, current, previous, named) for name, scored in beside.rivals.items()},
            unasked=data.earlier.missing,
        ),
        derive_seed(run.plan.seed, "bootstrap", stage.name, "gate"),
    )
    first, _ = remembered(run, stage, other)
    best = decision.best or carried(run, stage, other)
    changed = None if of_another_run or baseline is None else _changed_since(run, parent)
    read = {} if changed is None else {str(baseline_name(run, stage)): changed.compared_in_words()}
    older = (one for one in (line.first, *line.best, *line.others.values()) if one is not None)
    read |= {one.name: one.labels for one in older if one.labels is not None}
    labels = "; and ".join(f"{name}: {words}" for name, words in read.items()) or None
    return replace(decision, first=last if first is None else first, best=best, labels=labels)


def _changed_since(run: Run, parent: StageRecord | None) -> LabelMap | None:
    """Returns what became of the labels of the stage, or the version, that another starts from; None: nothing."""
    return run.data.classes.changed if parent is None else run.changed_since(parent)


def _rules(run: Run, stage: StageRecord, of_another_run: bool) -> list[GateRule]:
    """Returns a stage's rules; against another run's version, those about it, and about rows that it can answer now."""
    rules = run.settings(stage).gate
    return [
        rule for rule in rules if not (of_another_run and (rule.slice == ARRIVED or rule.at_least_rival is not None))
    ]


def _beside_stable(
    run: Run, stage: StageRecord, scored: Scored, decision: Decision, stable: int
) -> tuple[str | None, Decision]:
    """Returns why a stage does not replace another run's stable version, None if it does, and the decision then."""
    version = run.versions.version(stable)
    if not _rules(run, stage, of_another_run=True):
        if not any(rule.slice == ARRIVED for rule in run.settings(stage).gate):
            first, best = remembered(run, stage, stable)  # every rule is about rivals, and was passed
            return None, replace(decision, first=stable if first is None else first, best=best)
        return "it has not answered the rows that arrived, and no other rule can be asked of it", decision
    run.display.line(f"comparing with version {stable}, which another run released")
    wanted = {key: rows for key, rows in scored.rows.items() if key[0] == "gate"}
    theirs = ask_version(run, version, wanted, same_classes=True)
    if isinstance(theirs, str):
        return f"it {theirs}", decision
    result = _judge(run, stage, scored, theirs, stable)
    if not result.promoted:
        return f"against it the gate says {result.decision}: {result.reason}", decision
    return None, replace(decision, first=result.first, best=result.best)


def _staged(run: Run, stage: StageRecord, decision: Decision) -> StagedVersion:
    """Returns the stage that the network is at as a version; updates kept separate are merged into the network."""
    parent = run.baseline(stage)
    parent_version = run.start.version
    if parent is not None:
        version = run.versions.version_of_stage(run.folder.name, parent.name)
        parent_version = version.number if version else None
    metrics = read_json(stage.folder / "metrics.json")
    used = stage.data()
    so_far = run.plan.model_copy(update={"stages": run.plan.stages[: stage.index + 1]})
    tested = metrics["test"].get(stage.name, {})
    merge_additions(run.network, everything=True)
    others = _others(run, stage)
    schedule = run.settings(stage).release
    return StagedVersion(
        model=run.plan.name,
        run=run.folder.name,
        stage=stage.name,
        weights_sha256=weights_sha256(run.network.named_weights()),
        additions=run.network.additions(),
        inputs=run.network.preprocess.facts,
        preprocessing=run.network.preprocess.learnt(),
        parent=parent_version,
        task=run.plan.task,
        input_kind=run.plan.kind.input_kind(run.data.input_width),
        labels=run.network.labels,
        plan_sha256=sha256_json(so_far.model_dump(mode="json")),
        data_sha256=str(used.rows_sha256),
        code_sha256=used.environment["code"],
        environment=used.environment,
        metrics={name: value["value"] for name, value in tested.items()},
        decision=decision.to_json(),
        export=lambda folder: _export(run, stage, folder, others),
        release=None if schedule is None else schedule.model_dump(mode="json"),
        ensemble=bool(others),
        normalize_labels=run.plan.data.normalize_labels,
        abstain=abstention_facts(stage),
        costs=None if run.data.classes.costs is None else run.data.classes.costs.to_json(),
        labels_before=_labels_before(run, stage),
        labels_file=None if run.data.labels_file is None else run.data.labels_file.to_json(),
    )


def _labels_before(run: Run, stage: StageRecord) -> dict[str, Any] | None:
    """Returns what became of the labels of the nearest version before a stage that had others, as a manifest has it:
    of an earlier stage, or what the run starts from; None where none had others.
    """
    before = run.parent(stage)
    while before is not None and run.list_of(before) == run.number:
        before = run.parent(before)
    changed, number = _changed_since(run, before), run.start.version
    if before is not None:
        version = run.versions.version_of_stage(run.folder.name, before.name)
        number = None if version is None else version.number
    if changed is None or number is None:
        return None
    return {"version": number, "labels": {old: list(news) for old, news in changed.of.items()}}


def _export(run: Run, stage: StageRecord, folder: Path, others: list[tuple[BlockModel, float]]) -> None:
    """Writes a version's files: the SavedModel, and beside it what it was trained on, explanations, sums of classes."""
    export_saved_model(run.network, folder, others, answer_rule(run, stage), unknown_score(run, stage))
    learnt_by(run, stage).write(folder / EXTRA)
    explanations, sums = explanations_file(run, stage), sums_file(stage.folder)
    beside = [explanations] if run.plan.probes is not None and explanations.exists() else []
    for path in [*beside, *([sums] if sums.exists() else [])]:
        shutil.copyfile(path, folder / EXTRA / path.name)


def _others(run: Run, stage: StageRecord) -> list[tuple[BlockModel, float]]:
    """Returns the networks of the earlier stages of an ensemble, each with its share."""
    networks = []
    for record, share in ensemble_of(run, stage):
        beside = run.with_network(build_network(run.loaded, run.data, run.start.statistics))
        beside.load(record)
        merge_additions(beside.network, everything=True)
        networks.append((beside.network, share))
    return networks
