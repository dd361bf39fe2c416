"""The next stage, made of what users have said: its rows, its size, how it is trained, and its gate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.errors import InputError, listed
from progressive_tf.monitoring.caller_shares import MOST_OF_ONE_CALLER, TOO_MANY, shared_out
from progressive_tf.monitoring.feedback_rows import UNKNOWN_LABEL, Columns, difficulty, feedback_rows
from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.monitoring.new_classes import plan_with_classes, so_far
from progressive_tf.monitoring.next_stage import (
    NewStage,
    Rows,
    Target,
    Written,
    free_name,
    new_rows,
    read_candidates,
    read_data,
    refuse_unsupported,
    write_plan,
    write_stage,
)
from progressive_tf.monitoring.unknown_labels import FEWEST_ROWS, counted_labels
from progressive_tf.plan.refusals import SAME_OUTPUTS
from progressive_tf.plan.schema import Plan, Split
from progressive_tf.registry import Version
from progressive_tf.registry.history import STABLE
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.serving.answers import served_answers
from progressive_tf.training.run.start import learnt_by_version

SPLIT = Split(validation=0.1, gate=0.2, test=0.1)
# Fewer make no gate: its rule holds below 20 groups of its own, which are a fifth of all.
FEWEST_CALLERS = 100
PROPOSED = "Stage {} was proposed from feedback on released versions."
FEW_CALLERS = (
    f"Its rows are of {{}} callers, fewer than {FEWEST_CALLERS}: the gate takes rows for independent, and is surer "
    f"than it may be."
)


@dataclass(frozen=True)
class Proposal(Written):
    """What was written.

    Args:
        rows: in the file, evaluation parts included.
    """

    rows: int


@dataclass(frozen=True)
class Released:
    """The version whose next stage it is.

    Args:
        version: the one in use.
        lineage: the words of the model's versions.
        new_labels: so many rows with a label that no version knows make a class of it, and one caller counts for a
            tenth of them; > 0.
        most_of_one: of the rows, by one caller, see `shared_out`; in (0, 1].
    """

    version: Version
    lineage: LabelLineage = EVERY_WORD
    new_labels: int = FEWEST_ROWS
    most_of_one: float = MOST_OF_ONE_CALLER

    @property
    def other_words(self) -> dict[str, str]:
        """What other versions, earlier and later ones, called its classes → what it calls them."""
        return self.lineage.words_for(self.version.number)

    def learnt(self) -> Learnt | None:
        """Returns the rows that it was trained on; None where it does not say."""
        return learnt_by_version(self.version)


def propose(
    place: Target, live: LiveRows, cache: Path, start: Version | None = None, released: Released | None = None
) -> Proposal:
    """Writes the next stage into a copy of a plan, and its rows beside it; the plan last, each whole or not at all.

    One caller has at most a share of the rows. Evaluation parts are drawn from all of these by chance. Of the others
    those are chosen for training that the model was wrong about, the most confident first, and as many of those it was
    right about, the least certain first, so that what it knows is not left out. Where enough rows have a label that no
    version knows, the stage is the one of a plan that adds it to the released version, with the files which that was
    trained on as `data.earlier`.

    Args:
        place: where it is written.
        live: answers with their feedback.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.
        released: the version in use; None where no class is to be added.

    Raises:
        InputError: the task is not supported, there are too few new rows, or the copy cannot be written there.
    """
    plan = place.plan
    refuse_unsupported(place)
    name, data_file = free_name(place)
    data = read_data(place, cache, start, EVERY_WORD if released is None else released.lineage)
    columns = Columns.beside(plan, data)
    other_words = {} if released is None else released.other_words
    rows, put_aside = feedback_rows(plan, data, columns, live.answers, other_words)
    with tempfile.TemporaryDirectory() as scratch:
        read = partial(read_candidates, place, data, Path(scratch) / "candidates.jsonl", cache)
        checked = new_rows(read, data, rows, put_aside)
        most = MOST_OF_ONE_CALLER if released is None else released.most_of_one
        shared, shares = shared_out(checked, columns, most)
        put_aside[TOO_MANY] += len(checked) - len(shared)
        kept, added, notes = _with_new_classes(plan, data, columns, shared, released)
        put_aside[UNKNOWN_LABEL] += len(shared) - len(kept)
        notes += shares
        if len(kept) < FEWEST_ROWS:
            raise InputError(
                f"{len(kept)} new rows with a right label and their input, at least {FEWEST_ROWS} are needed"
                + "".join(f"; {count} {why}" for why, count in (+put_aside).items())
                + "".join(f"; {note}" for note in notes)
            )
        if added and place.target.exists():
            raise InputError(
                f"--propose {place.target}: {listed(added)} would be added by a plan of its own, which starts from the "
                f"released version, and this file exists; choose another"
            )
        kept.sort(key=lambda row: difficulty(row, columns), reverse=True)
        chosen, gate_rows = _chosen(read, columns, kept)
    split = _split(columns, kept)
    sizes = split.model_dump(include={"validation", "gate", "test"} | ({"group"} if split.group else set()))
    section = {"where": f"{columns.chosen} == 1", "split": sizes}
    new = NewStage(name, data_file, section, int(chosen.sum()), gate_rows)
    if not split.group:
        notes.insert(0, FEW_CALLERS.format(len({row[columns.caller] for row in kept})))
    if released is not None and added:
        begins_from = STABLE if STABLE in released.version.aliases else released.version.number
        raw, left_out = plan_with_classes(place, new, data, added, begins_from, released.learnt())
        notes += left_out
        write_plan(place, raw, data_file, kept, (PROPOSED.format(name), *notes))
    else:
        write_stage(place, new, kept, (PROPOSED.format(name), *notes))
    return Proposal(place.target, data_file, name, new.train, +put_aside, tuple(notes), len(kept))


def _with_new_classes(
    plan: Plan, data: PlanData, columns: Columns, rows: list[dict[str, Any]], released: Released | None
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Returns the rows whose labels are those of the plan or enough to be a class; these classes; and what is said of
    labels that nobody knows.
    """
    kind, needed = served_answers(plan.kind.answers), FEWEST_ROWS if released is None else released.new_labels
    is_new = [not kind.is_known(row[columns.expected], data.labels) for row in rows]
    said = [(row[columns.expected], row[columns.caller]) for row, new in zip(rows, is_new, strict=True) if new]
    found = counted_labels(said, needed)
    enough = [label for label in found if label.counted >= needed]
    few, notes, added = [label for label in found if label.counted < needed], list[str](), list[str]()
    if enough and released is not None and plan.scenario in SAME_OUTPUTS:
        added = [label.label for label in enough]
        notes.append(f"new classes of a plan that starts from version {released.version.number}: {so_far(enough)}")
    elif enough:
        notes.append(f"enough for classes, which in scenario {plan.scenario} stages bring: {so_far(enough)}")
    if few:
        notes.append(f"not enough for classes, which take {needed} rows, of one caller a tenth at most: {so_far(few)}")
    kept = [row for row, new in zip(rows, is_new, strict=True) if not new or row[columns.expected] in added]
    return kept, added, notes


def _chosen(read: Callable[[Rows], Source], columns: Columns, rows: list[dict[str, Any]]) -> tuple[np.ndarray, int]:
    """Marks the rows to train on with 1, all evaluation rows too, so that the plan's `where` leaves these whole.

    Of rows, the hardest first, returns whether each is chosen, bool [rows], and how many are the gate's.
    """
    parts = fixed_parts(read(rows), _split(columns, rows))
    pool = np.sort(parts.pool)
    is_wrong = np.array([row[columns.said] != row[columns.expected] for row in rows])
    wrong, right = pool[is_wrong[pool]], pool[~is_wrong[pool]]
    chosen = np.zeros(len(rows), bool)
    chosen[wrong] = True
    chosen[right[: max(len(wrong), FEWEST_ROWS - len(wrong))]] = True
    is_pool = np.isin(np.arange(len(rows)), pool)
    for row, use in zip(rows, chosen | ~is_pool, strict=True):
        row[columns.chosen] = int(use)
    return chosen, len(parts.gate)


def _split(columns: Columns, rows: Rows) -> Split:
    """Returns how rows are split: what one caller asks is alike and stays together, where there are enough callers."""
    callers = len({row[columns.caller] for row in rows})
    return SPLIT.model_copy(update={"group": columns.caller if callers >= FEWEST_CALLERS else None})
