"""The released versions before the last one that a stage is compared with, within its run and in runs before it.

Each decision says which version of its line was the first, and which were the best so far; the next gate asks these,
so that two years of runs cost no more than two stages. A decision that does not say it goes back to the whole line,
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.baselines import BEST, FIRST, Baseline, Line, Reference
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.methods import AgainstVersion
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.version import Version
from progressive_tf.training.answers.exported import misfit
from progressive_tf.training.answers.predictions_file import (
    Scored,
    Wanted,
    load_predictions,
    missing_keys,
    save_predictions,
)
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.asking import asked, changed_since
from progressive_tf.training.stage.evaluation_step import score

WAY_ON = "; restore it, or set against: released"
View = Callable[[Scored], Mapping[str, Answers]]
Remembered = tuple[Reference | None, tuple[Reference, ...]]


def line_of(
    run: Run, stage: StageRecord, rules: Sequence[GateRule], other: int | None, candidate: Scored, view: View
) -> Line:
    """Returns the versions that a stage's rules compare it with beside the last released one.

    Args:
        run: the run; its network may be put at other weights.
        stage: the stage that is judged.
        rules: that judge it.
        other: another run's version that it is compared with instead of the last released one of its own, or None.
        candidate: the stage's own answers.
        view: answers by slice as rules name them.
    """
    against = {BEST if rule.against == BEST else FIRST for rule in rules if rule.against in (BEST, FIRST)}
    numbers = {rule.against.version for rule in rules if isinstance(rule.against, AgainstVersion)}
    released = released_reference(run, stage, other)
    first, best = remembered(run, stage, other)
    wanted = {key: rows for key, rows in candidate.rows.items() if key[0] == "gate"}

    def baseline(reference: Reference) -> Baseline:
        return _asked(run, reference, wanted, view)

    return Line(
        released=released,
        first=baseline(first) if FIRST in against and first is not None else None,
        best=[baseline(one) for one in best if one != released] if BEST in against else [],
        others={number: baseline(number) for number in sorted(numbers)},
    )


def released_reference(run: Run, stage: StageRecord, other: int | None = None) -> Reference | None:
    """Returns the last released version before a stage, or the other one that it is compared with; None: none."""
    record = run.baseline(stage)
    if other is not None or record is None:
        return run.start.version if other is None else other
    return _reference(run, record)


def remembered(run: Run, stage: StageRecord, other: int | None = None) -> Remembered:
    """Returns the first version of the line that a stage stands in, None where that is the last one, and its best."""
    record = run.baseline(stage)
    number = run.start.version if other is None else other
    if other is None and record is not None:
        decision = record.decision
        if decision is not None and decision.first is not None and decision.best:
            return decision.first, decision.best
        records = run.with_candidates(run.stages[: record.index + 1])
        before = filter(run.is_promoted, records[: records.index(record)])
        line = [*([] if number is None else _lineage(run, number)), *(_reference(run, one) for one in before)]
        first = None if decision is None else decision.first
        return (line[0] if first is None and line else first), tuple(line)
    if number is None:
        return None, ()
    decided = (run.versions.version(number).manifest() or {}).get("decision") or {}
    line = _lineage(run, number)[:-1]
    return decided.get("first") or (line[0] if line else None), tuple(decided.get("best") or line)


def carried(run: Run, stage: StageRecord, other: int | None = None) -> tuple[Reference, ...]:
    """Returns the best versions that a decision has to carry on where none of its rules has said which they are.

    None where later stages and runs find the whole line by themselves: in this run, or as ancestors of its versions.
    """
    last, (_, best) = released_reference(run, stage, other), remembered(run, stage, other)
    found = [] if run.start.version is None else _lineage(run, run.start.version)
    before = [one for one in run.with_candidates(run.stages[: stage.index + 1]) if one.name != stage.name]
    found += [_reference(run, one) for one in filter(run.is_promoted, before)]
    line = tuple(dict.fromkeys([*best, *([] if last is None else [last])]))
    return () if set(line) <= set(found) else line


def ask_version(run: Run, version: Version, wanted: Wanted, same_classes: bool = False) -> Scored | str:
    """Returns the answers of another run's version to rows, or why it cannot be asked, as what follows `it`.

    Args:
        run: the run; its network says what its inputs and answers are.
        version: the version.
        wanted: the rows, by part and slice.
        same_classes: whether one that knows fewer of the classes cannot be asked; else it counts as wrong there.
    """
    if find_damage(version.folder, version.number, version.manifest_sha256):
        return "is damaged (see `python -m progressive_tf.release verify`)"
    manifest = version.manifest()
    labels = None if manifest is None else tuple(manifest["labels"])
    known = run.network.labels if same_classes or labels is None else run.data.labels[: len(labels)]
    changed = changed_since(run, version.number)
    fits = labels in (known, run.network.labels) if changed is None else not same_classes or changed.tells_all
    if not fits:
        return "predicts other classes, so the two cannot be compared"
    reason = misfit(version.folder, run.network)
    if reason is not None:
        return f"{reason}, so the two cannot be compared"
    return asked(run, version, wanted, changed)


def _asked(run: Run, reference: Reference, wanted: Wanted, view: View) -> Baseline:
    if isinstance(reference, str):
        return _of_stage(run, reference, reference, view)
    try:
        version = run.versions.version(reference)
    except InputError:
        problem = f"is not in the registry{WAY_ON}"
        return Baseline(reference, f"version {reference}", problem=problem)
    if version.run == run.folder.name:
        return _of_stage(run, reference, version.stage, view)
    name = f"version {reference}"
    if reference == run.start.version:
        changed = run.data.classes.changed
        labels = None if changed is None else changed.compared_in_words()
        return Baseline(reference, name, view(score(run, None)), labels=labels)
    path = run.folder.path / "versions" / f"{reference}.parquet"
    if missing_keys(path, wanted):
        run.display.line(f"asking {name}, which another run released")
        answers = ask_version(run, version, wanted)
        if isinstance(answers, str):
            return Baseline(reference, name, problem=f"{answers}{WAY_ON}")
        path.parent.mkdir(exist_ok=True)
        save_predictions(path, answers, run.features)
    changed = changed_since(run, reference)
    labels = None if changed is None else changed.compared_in_words()
    return Baseline(
        reference, name, view(load_predictions(path, type(run.features.answering), run.data)), labels=labels
    )


def _of_stage(run: Run, reference: Reference, name: str, view: View) -> Baseline:
    record = next(record for record in run.with_candidates(run.stages) if record.name == name)
    number = f" (version {reference})" if isinstance(reference, int) else ""
    changed = run.changed_since(record)
    labels = None if changed is None else changed.compared_in_words()
    return Baseline(reference, f"stage {name}{number}", view(score(run, record)), labels=labels)


def _reference(run: Run, record: StageRecord) -> Reference:
    version = run.versions.version_of_stage(run.folder.name, record.name)
    return record.name if version is None else version.number


def _lineage(run: Run, number: int) -> list[Reference]:
    """Returns a version's ancestors and itself, oldest first."""
    return list(reversed(run.versions.lineage(number)))
