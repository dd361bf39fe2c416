"""A file of what labels were called before: lines of `old,new`, and since when, through which all labels are read."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.source import Source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError, listed
from progressive_tf.plan.label_changes import PLACE as STAGE
from progressive_tf.plan.label_changes import LabelChanges, problem_with_label_changes
from progressive_tf.plan.label_rules import LabelRule
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan

PLACE = "data.labels_file"
OLD, NEW, SINCE = "old", "new", "from"
_COLUMNS = (OLD, NEW, SINCE)


@dataclass(frozen=True)
class WordChange:
    """A line of the file.

    Attributes:
        old: the word that is no longer used.
        new: what is said in its place.
        since: from which day on, ISO 8601; a record alone: a row that has the old word means the same on any day.
        line: its number, from 1.
    """

    old: str
    new: str
    since: str | None = None
    line: int = 0


@dataclass(frozen=True)
class LabelsFile:
    """What a labels file says.

    Attributes:
        name: of the file, without its folder.
        sha256: of its content.
        changes: its lines, in their order.
    """

    name: str
    sha256: str
    changes: tuple[WordChange, ...]

    @classmethod
    def read(cls, path: Path) -> LabelsFile:
        """Returns what a file says.

        Raises:
            InputError: it cannot be read, its header is another, or its lines contradict one another.
        """
        try:
            content = path.read_bytes()
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise InputError(
                f"{PLACE}: {path} cannot be read: {error.strerror or error}; mend that, or drop the key"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(f"{PLACE}: {path.name} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        return cls(path.name, hashlib.sha256(content).hexdigest(), _changes(path.name, text))

    @cached_property
    def words(self) -> dict[str, str]:
        """Every old word → what it is called by now, through all lines."""
        step = {change.old: change.new for change in self.changes}
        words = {}
        for old in step:
            now = step[old]
            while now in step:
                now = step[now]
            words[old] = now
        return words

    def of(self, label: str, rule: LabelRule = None) -> str:
        """Returns what a label is called by now, however the plan lets it be written; itself where nothing is said."""
        old = label if label in self.words else Spelling(rule, tuple(self.words)).of(label)
        return self.words.get(old, label)

    def read_rows(self, sources: Mapping[str, Source], rule: LabelRule) -> tuple[dict[str, Source], list[str]]:
        """Returns sources with their labels in the words of now, and what was read so, a line each.

        Args:
            sources: by the name the plan gives them.
            rule: how else labels may be written.
        """
        read, lines = {}, []
        for name, source in sources.items():
            words = {label: self.of(label, rule) for label in source.truth.class_names}
            counts = source.truth.class_counts(source.store, exact=True)
            was = {label: rows for label, rows in counts.items() if rows and words[label] != label}
            if was:
                shown = listed(f"{old} as {words[old]} ({rows:,} rows)" for old, rows in was.items())
                lines.append(f"{PLACE}: {source.name}: read {shown}")
            read[name] = replace(source, truth=source.truth.with_class_names(words))
        return read, lines or [f"{PLACE}: {self.name}: no row has an old word"]

    def start_from(self, start: StartLabels, plan: Plan) -> tuple[StartLabels, list[str]]:
        """Returns the labels of a version with all that became of them, and what the file says of it, in a line.

        A word of the version that is old by now is renamed, or merged with whatever is called so too, as the first
        stage's `labels` would say it.

        Raises:
            InputError: the file and these contradict one another, or the plan cannot change its labels.
        """
        rule = plan.data.normalize_labels
        became = {label: now for label in start.labels if (now := self.of(label, rule)) != label}
        if start.changes is not None:
            self._refuse_other_words(start.changes, became, rule)
        if not became:
            return start, [f"{PLACE}: {self.name}: version {start.version} speaks no old word"]
        changes = self._together(start, became)
        said = f"{PLACE}: {self.name}: version {start.version} speaks old words; read as labels: {in_words(changes)}"
        stages = [stage.model_dump() for stage in plan.stages]
        stages[0]["labels"] = changes.model_dump()
        problem = problem_with_label_changes(plan.model_dump() | {"stages": stages})
        if problem is not None:
            raise InputError(f"{said} in the first stage\n{problem}")
        return replace(start, changes=changes), [f"{said} in the first stage"]

    def _together(self, start: StartLabels, became: Mapping[str, str]) -> LabelChanges:
        """Returns what the first stage's `labels` say of a version's labels together with what the file says."""
        said = LabelChanges.model_construct() if start.changes is None else start.changes
        by_stage = {**said.rename, **{old: new for new, of in said.merge.items() for old in of}}
        olds_of: dict[str, list[str]] = {}
        for old in dict.fromkeys((*start.labels, *by_stage)):
            new = by_stage.get(old, became.get(old))
            if new is not None:
                olds_of.setdefault(new, []).append(old)
        for new, olds in olds_of.items():
            if new in start.labels and new not in by_stage and new not in became:
                olds.insert(0, new)
        try:
            return LabelChanges.model_validate(
                {
                    "rename": {olds[0]: new for new, olds in olds_of.items() if len(olds) == 1},
                    "merge": {new: olds for new, olds in olds_of.items() if len(olds) > 1},
                    "split": {old: list(parts) for old, parts in said.split.items()},
                    "retire": list(said.retire),
                    "add": list(said.add),
                }
            )
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise InputError(f"{PLACE}: {self.name} and {STAGE} together: {reason}") from None

    def to_json(self) -> dict[str, Any]:
        """Returns it as records have it."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "changes": [{OLD: one.old, NEW: one.new, SINCE: one.since} for one in self.changes],
        }

    def _refuse_other_words(self, said: LabelChanges, became: Mapping[str, str], rule: LabelRule) -> None:
        """Raises InputError where the first stage's `labels` say something else of a word than the file does."""
        by_stage = {**said.rename, **{old: new for new, of in said.merge.items() for old in of}}
        for old, now in became.items():
            if old in said.split:
                other = f"is split into {listed(said.split[old])}"
            elif old in said.retire:
                other = "is retired"
            else:
                other = f"becomes {by_stage.get(old, now)}"
            if by_stage.get(old) != now and other != f"becomes {now}":
                raise InputError(f"{STAGE}: {old!r} {other}, and by {self.name} it is {now!r} now; drop one of the two")
        for change, new in said.new():
            if (now := self.of(new, rule)) != new:
                raise InputError(f"{STAGE}.{change}: {new!r} is an old word by {self.name}, for {now!r}; say that")


def read_labels_file(
    loaded: LoadedPlan, start: StartLabels | None
) -> tuple[LabelsFile | None, StartLabels | None, list[str]]:
    """Returns a plan's labels file, the labels of the version that it starts from with what the file says became of
    them, and that in a line; None and nothing where there is none.

    Raises:
        InputError: as `LabelsFile.read` and `LabelsFile.start_from` do.
    """
    asked = loaded.plan.data.labels_file
    file = None if asked is None else LabelsFile.read(loaded.folder / asked)
    if file is None or start is None:
        return file, start, []
    return file, *file.start_from(start, loaded.plan)


def in_words(changes: LabelChanges) -> str:
    """Returns changes as a plan has them, in a line."""
    parts = []
    if changes.rename:
        parts.append(f"rename: {{{', '.join(f'{old}: {new}' for old, new in changes.rename.items())}}}")
    if changes.merge:
        parts.append(f"merge: {{{', '.join(f'{new}: [{listed(of)}]' for new, of in changes.merge.items())}}}")
    return f"{{{', '.join(parts)}}}"


def _changes(name: str, text: str) -> tuple[WordChange, ...]:
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"{PLACE}: {name}: {error}; a CSV with the columns {OLD},{NEW} expected") from None
    columns = [cell.strip() for cell in rows[0]] if rows else []
    if sorted(columns) not in (sorted(_COLUMNS), sorted(_COLUMNS[:2])):
        got = ",".join(columns) or "nothing"
        raise InputError(f"{PLACE}: {name}: the header {OLD},{NEW} or {','.join(_COLUMNS)} expected; got {got:.80}")
    changes = [_change(name, number, columns, row) for number, row in enumerate(rows[1:], 2) if any(row)]
    if not changes:
        raise InputError(f"{PLACE}: {name} has no line below its header; write some, or drop the key")
    _refuse_contradictions(name, changes)
    return tuple(changes)


def _change(name: str, number: int, columns: Sequence[str], row: Sequence[str]) -> WordChange:
    place = f"{PLACE}: {name}, line {number}"
    if len(row) > len(columns):
        raise InputError(f"{place}: {len(row)} cells, and {len(columns)} columns; put quotes around a comma in a label")
    cells = dict.fromkeys(_COLUMNS, "") | {column: cell.strip() for column, cell in zip(columns, row, strict=False)}
    old, new, since = (cells[column] for column in _COLUMNS)
    if not old or not new:
        raise InputError(f"{place}: an old and a new word expected; got {','.join(row)!r:.80}")
    if old == new:
        raise InputError(f"{place}: {old!r} keeps its name; take the line out")
    try:
        since = date.fromisoformat(since).isoformat() if since else ""
    except ValueError:
        raise InputError(f"{place}: {SINCE}: a day as 2026-03-01 expected; got {since!r:.40}") from None
    return WordChange(old, new, since or None, number)


def _refuse_contradictions(name: str, changes: Sequence[WordChange]) -> None:
    by_old: dict[str, WordChange] = {}
    for change in changes:
        first = by_old.setdefault(change.old, change)
        if first.new != change.new:
            raise InputError(
                f"{PLACE}: {name}: {change.old!r} is {first.new!r} by line {first.line} and {change.new!r} by line "
                f"{change.line}; a row could be either. To split a class, label its rows anew and say "
                f"labels: {{split: …}} in the first stage"
            )
    for change in changes:
        seen, at = [change.old], change.new
        while at in by_old and at not in seen:
            seen.append(at)
            at = by_old[at].new
        if at == change.old:
            raise InputError(
                f"{PLACE}: {name}: {' → '.join([*seen, at])}: each becomes another; a word that was given up gets no "
                f"new meaning, and does not come back. Take one of the lines out"
            )
