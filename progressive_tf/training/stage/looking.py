"""How often the rows that decide on a stage were looked at; noted in the registry before a verdict is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from progressive_tf.files import sha256_json
from progressive_tf.plan.gate_rule import EVERY_PREVIOUS, GateRule
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.registry.looks import Judged, note_looks, note_test, rows_token
from progressive_tf.training.answers.predictions_file import Scored
from progressive_tf.training.fitting.checkpoint import checkpoint_facts
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.mixture import ensemble_of


def looks_of(
    run: Run, stage: StageRecord, scored: Scored, rules: Sequence[GateRule], previous: Sequence[str], beside: object
) -> dict[str, int]:
    """Returns which look a candidate is on each slice that rules are about; none where a run releases nothing.

    Rows of a stream that arrive between two candidates come once and are not counted.

    Args:
        run: the run.
        stage: the candidate.
        scored: its answers.
        rules: that judge it.
        previous: slices of the earlier promoted stages, and of runs before.
        beside: the number of the version that it is compared with, if it is one.
    """
    if not run.releases:
        return {}
    current = run.data.slice_of[stage.index]
    slices = {"current": [current], "all": [*previous, current], **{name: [name] for name in previous}}
    named = {name: [name] for name in run.plan.data.named_slices}
    wanted = {name for rule in rules for name in (previous if rule.slice == EVERY_PREVIOUS else [rule.slice])}
    known = {name: parts for name, parts in (named | slices).items() if name in wanted - {ARRIVED}}
    known = {name: parts for name, parts in known.items() if all(("gate", part) in scored.rows for part in parts)}
    tokens = [rows_token(_keys(run, [scored.rows["gate", part] for part in parts])) for parts in known.values()]
    number = beside if isinstance(beside, int) else None
    judged = Judged(run.folder.name, stage.name, _candidate_sha256(run, stage), number)
    return dict(zip(known, note_looks(run.versions, judged, tokens), strict=True))


def runs_on_test_rows(run: Run, stage: StageRecord) -> int | None:
    """Returns how many runs, with this one, were measured on a stage's test rows; None where that is not counted."""
    part = run.data.slices[run.data.slice_of[stage.index]]
    if not run.releases or not len(part.test):
        return None
    return note_test(run.versions, run.folder.name, rows_token(_keys(run, [(part.source, part.test)])))


def _candidate_sha256(run: Run, stage: StageRecord) -> str:
    """Returns what tells a candidate from others: the hash of its weights, and of all that an ensemble adds."""
    own = checkpoint_facts(stage.folder).weights_sha256
    others = [(checkpoint_facts(one.folder).weights_sha256, share) for one, share in ensemble_of(run, stage)]
    return sha256_json([own, *others]) if others else own


def _keys(run: Run, parts: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([run.data.sources[source].keys[rows] for source, rows in parts])
