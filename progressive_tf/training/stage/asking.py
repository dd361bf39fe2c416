"""Answers of versions that other runs released, in the classes of this run."""

from __future__ import annotations

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.version import Version
from progressive_tf.training.answers.base import in_groups_of
from progressive_tf.training.answers.predictions_file import Scored, Wanted
from progressive_tf.training.run.run import Run


def asked(run: Run, version: Version, wanted: Wanted, changed: LabelMap | None = None) -> Scored:
    """Returns the answers of a version to rows.

    Args:
        run: the run.
        version: one whose inputs and answers are those of the run's network.
        wanted: the rows, by part and slice.
        changed: from the version's labels to those of the run; None where they are called alike.
    """
    answers: dict[tuple[str, str], Answers] = {}
    for key, (source, rows) in wanted.items():
        given = run.features.answering.ask(version.folder, source, rows, changed)
        answers[key] = in_groups_of(given, run.data.sources[source], rows)
    return Scored(answers, wanted, {name: run.data.sources[name].keys for name, _ in wanted.values()})


def changed_since_version(run: Run, version: Version) -> LabelMap | None:
    """Returns what became of the labels of a version, of this run or an ancestor of what it starts from.

    None where nothing did, or the version is neither.
    """
    if version.run != run.folder.name:
        return changed_since(run, version.number)
    record = next((one for one in run.with_candidates(run.stages) if one.name == version.stage), None)
    return None if record is None else run.changed_since(record)


def changed_since(run: Run, number: int) -> LabelMap | None:
    """Returns what became of the labels of an ancestor of the version that a run starts from, or of that itself.

    None where nothing did, or the version is no ancestor.
    """
    start = run.start.version
    if start is None:
        return None
    lineage = LabelLineage.read(run.versions)
    labels = lineage.of[start].labels if start in lineage.of else ()
    found = run.data.classes.changed
    if found is None:
        if labels != run.data.labels[: len(labels)]:
            return None
        found = LabelMap.unchanged(labels, run.data.labels)
    if number != start:
        since = lineage.since(number, start)
        if since is None:
            return None
        found = since.then(found)
    return found if found.changes else None
