"""The next stage, made of what users have said: its rows, its size, how it is trained, and its gate."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.source import Source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.monitoring.live_rows import LiveRows, confidence
from progressive_tf.monitoring.next_stage import (
    NewStage,
    Rows,
    Target,
    as_columns,
    free_name,
    new_rows,
    read_candidates,
    refuse_unsupported,
    write_stage,
)
from progressive_tf.plan.schema import Plan, Split
from progressive_tf.registry import Version
from progressive_tf.serving.answers import served_answers
from progressive_tf.training.fitting.locations import EXTRA
from progressive_tf.training.run.start import start_labels

FEWEST_ROWS = 40
SPLIT = Split(validation=0.1, gate=0.2, test=0.1)
# Fewer make no gate: its rule holds below 20 groups of its own, which are a fifth of all.
FEWEST_CALLERS = 100
PROPOSED = "Stage {} was proposed from feedback on released versions."
FEW_CALLERS = (
    f"Its rows are of {{}} callers, fewer than {FEWEST_CALLERS}: the gate takes rows for independent, and is surer "
    f"than it may be."
)


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that a file of such rows has beside the inputs, each another than those of the plan: what is
    right, what the model answered, its probability, the prediction's id, who asked, and whether the row is trained on.
    """

    expected: str
    said: str
    confidence: str
    id: str
    caller: str
    chosen: str

    @classmethod
    def beside(cls, plan: Plan, data: PlanData) -> _Columns:
        """Returns the names for a plan's rows."""
        expected = str(getattr(plan.data, plan.kind.answer_key))
        taken = {expected, *((plan.data.text,) if data.columns is None else data.columns.names)}
        names = []
        for name in ("said", "confidence", "id", "caller", "chosen"):
            while name in taken:
                name = f"served_{name}"
            names.append(name)
        return cls(expected, *names)


@dataclass(frozen=True)
class Proposal:
    """What was written.

    Args:
        plan_file: the plan with its new stage.
        data_file: the rows.
        stage: its name.
        train: rows chosen for training.
        rows: in the file, evaluation parts included.
        put_aside: why rows were not used → how many.
        remark: what the gate does not know of them; mostly nothing.
    """

    plan_file: Path
    data_file: Path
    stage: str
    train: int
    rows: int
    put_aside: Mapping[str, int]
    remark: str = ""


def propose(place: Target, live: LiveRows, cache: Path, start: Version | None = None) -> Proposal:
    """Writes the next stage into a copy of a plan, and its rows beside it; the plan last, each whole or not at all.

    Evaluation parts are drawn from all new rows by chance. Of the others those are chosen for training that the model
    was wrong about, the most confident first, and as many of those it was right about, the least certain first, so that
    what it knows is not left out.

    Args:
        place: where it is written.
        live: answers with their feedback.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.

    Raises:
        InputError: the task is not supported, there are too few new rows, or the copy cannot be written there.
    """
    plan, loaded = place.plan, place.loaded
    refuse_unsupported(place)
    name, data_file = free_name(place)
    learnt = None if start is None else Learnt.read(start.folder / EXTRA, f"version {start.number}")
    data = read_plan_data(loaded, cache, learnt=learnt, start=start_labels(loaded.plan, start))
    if data.input_width is not None:
        raise InputError("--propose: texts and tables are supported; the plan's rows are numbers without names")
    columns = _Columns.beside(plan, data)
    rows, put_aside = _feedback_rows(plan, data, columns, live.answers)
    with tempfile.TemporaryDirectory() as scratch:
        read = partial(read_candidates, place, data, Path(scratch) / "candidates.jsonl", cache)
        kept = new_rows(read, data, rows, put_aside)
        if len(kept) < FEWEST_ROWS:
            raise InputError(
                f"{len(kept)} new rows with a right label and their input, at least {FEWEST_ROWS} are needed"
                + "".join(f"; {count} {why}" for why, count in put_aside.items())
            )
        kept.sort(key=lambda row: _difficulty(row, columns), reverse=True)
        chosen, gate_rows = _chosen(read, columns, kept)
    split = _split(columns, kept)
    sizes = split.model_dump(include={"validation", "gate", "test"} | ({"group"} if split.group else set()))
    section = {"where": f"{columns.chosen} == 1", "split": sizes}
    remark = "" if split.group else FEW_CALLERS.format(len({row[columns.caller] for row in kept}))
    new = NewStage(name, data_file, section, int(chosen.sum()), gate_rows)
    write_stage(place, new, kept, (PROPOSED.format(name), remark))
    return Proposal(place.target, data_file, name, int(chosen.sum()), len(kept), dict(put_aside), remark)


def _chosen(read: Callable[[Rows], Source], columns: _Columns, rows: list[dict[str, Any]]) -> tuple[np.ndarray, int]:
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


def _split(columns: _Columns, rows: Rows) -> Split:
    """Returns how rows are split: what one caller asks is alike and stays together, where there are enough callers."""
    callers = len({row[columns.caller] for row in rows})
    return SPLIT.model_copy(update={"group": columns.caller if callers >= FEWEST_CALLERS else None})


def _difficulty(row: Mapping[str, Any], columns: _Columns) -> tuple[bool, float]:
    is_wrong = row[columns.said] != row[columns.expected]
    sure = row[columns.confidence] or 0.0
    return is_wrong, sure if is_wrong else -sure


def _feedback_rows(
    plan: Plan, data: PlanData, columns: _Columns, answers: pd.DataFrame
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Returns a row for each answer whose right label and input are known, and why others have none.

    Where there are two classes, "wrong" says which is right. For `answers` see `LiveRows`.
    """
    rows: list[dict[str, Any]] = []
    put_aside: Counter[str] = Counter()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    names = None if data.columns is None else data.columns.names
    renamed = {} if data.classes.changed is None else data.classes.changed.words
    judged = answers[[right is not None for right in answers["right"]]]
    read = (judged[name] for name in ("id", "caller", "label", "truth", "right", "input"))
    for prediction, caller, answer, truth, is_right, given, stated in zip(*read, confidence(judged), strict=True):
        label = truth if truth is not None else answer if is_right else None
        if isinstance(label, str):
            label = data.spelling.of(renamed.get(label, label))
        if label is None and len(labels) == 2 and answer in labels:
            label = next(other for other in labels if other != answer)
        if label is None:
            put_aside["are wrong, and nobody said what is right"] += 1
        elif not kind.is_known(label, labels):
            put_aside["have a label that the plan does not know"] += 1
        elif given is None:
            put_aside["have no input; serve with --log-inputs"] += 1
        elif data.columns is None and not isinstance(next(iter(given.values()), None), str):
            put_aside["have an input that is no text"] += 1
        elif not (kind.is_readable(label) and kind.is_readable(answer)):
            put_aside["have texts that --redact does not keep"] += 1
        else:
            sure = None if np.isnan(stated) else round(float(stated), 6)
            own = {columns.expected: label, columns.said: answer, columns.confidence: sure, columns.id: prediction}
            rows.append({**as_columns(given, plan.data.text, names), **own, columns.caller: _called(caller)})
    return rows, put_aside


def _called(caller: Any) -> str:
    """Returns a caller as a column has it: his number, which says of no one who he is."""
    return "unknown" if pd.isna(caller) else f"caller {int(caller)}"
