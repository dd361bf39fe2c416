"""The rows of files → a table of what a version answers, in parts that survive a kill."""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from heapq import merge
from pathlib import Path
from typing import Any

from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed
from progressive_tf.files import atomic_path, read_json, sha256_file, sha256_json, write_json
from progressive_tf.scoring.answered import said
from progressive_tf.scoring.answerer import DIFFERS, Answerer, kept_columns, main
from progressive_tf.scoring.beside import Beside
from progressive_tf.scoring.files import FILE, ROW, Files, named_files, usual_column
from progressive_tf.scoring.output import PROBABILITY, Output, output_of, refuse_output
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.reading import Reading
from progressive_tf.scoring.table import BadRow, BadRows, Row, SpooledRows, read_rows
from progressive_tf.scoring.unread import Unread

ROWS_AT_ONCE = 2_048
CHARACTERS_AT_ONCE = 1 << 25
MOST_SAMPLED = 5_000
PARTS_FORMAT = 2  # of what is noted of a part, and of how rows are divided into parts and batches
ABSTAINED, UNKNOWN = "abstained", "unknown"
BAD_COLUMNS = (FILE, ROW, "line", "problem")


@dataclass(frozen=True)
class Asked:
    """What is to be answered, and how it is written.

    Attributes:
        files: at least one.
        to: the table that is written.
        keep: columns of the files that are kept; None for all.
        column: the column of texts, or of the paths of images; None for the usual one.
        usual: what it is usually called, where that is known.
        probabilities: whether that of each class is written.
    """

    files: Sequence[Path]
    to: Path
    keep: Sequence[str] | None = None
    column: str | None = None
    usual: Sequence[str] = ()
    probabilities: bool = False

    @property
    def bad_file(self) -> Path:
        """Where the rows stand that have no answer."""
        return self.to.with_name(f"{self.to.stem}.bad.csv")

    @property
    def parts(self) -> Path:
        """The folder of what has been written so far."""
        return self.to.with_name(f"{self.to.name}.parts")


@dataclass
class Summary:
    """What was answered.

    Attributes:
        rows: that have an answer.
        bad: that have none.
        differ: of which the other version says something else; None without one.
        abstained: rows of which the version says that it is too unsure of their answer.
        unknown: rows that are like nothing the version has learnt, where it says so.
        answers: how often each label, or kind of entity, was said; also where it abstained.
        sample: input, answer and confidence of rows that stand evenly over all.
        unread: what was not read of the inputs.
        drift: how the sample differs from the gate rows of the version's stage, or why that is not known.
    """

    rows: int = 0
    bad: int = 0
    differ: int | None = None
    abstained: int = 0
    unknown: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)
    drift: Beside | str = "not looked for"

    def add(self, note: Mapping[str, Any]) -> None:
        """Adds what is noted of a part."""
        self.rows += note["rows"]
        self.bad += len(note["bad"])
        self.answers.update(note["answers"])
        self.sample += note["sample"]
        self.abstained += note[ABSTAINED]
        self.unknown += note[UNKNOWN]
        self.unread.add(Unread(**note["unread"]))
        if self.differ is not None:
            self.differ += note[DIFFERS]


@dataclass(frozen=True)
class _Survey:
    """What stands in the files: how many rows that can be read, and all columns in order."""

    rows: int
    columns: tuple[str, ...]


class Scoring:
    """A version that answers files.

    Args:
        predictor: the version.
        against: another one, which is asked the same; None for none.
        identity: what tells these versions from others, for parts that an earlier process wrote.
    """

    def __init__(self, predictor: Predictor, against: Predictor | None, identity: Mapping[str, Any]) -> None:
        self._predictor = predictor
        self._against = against
        self._identity = identity

    def run(self, asked: Asked, display: Display) -> Summary:
        """Writes the table, and beside it the rows that have no answer; goes on where an earlier process was stopped.

        Raises:
            InputError: a file cannot be read, the version cannot read such rows, none has an answer, or `asked.to`
                cannot be written, or is there already.
        """
        refuse_output(asked.to)
        with closing(SpooledRows()) as unreadable:
            return self._run(asked, display, unreadable)

    def _run(self, asked: Asked, display: Display, unreadable: SpooledRows) -> Summary:
        files = named_files(asked.files, display)
        survey = _surveyed(files, unreadable, display)
        column = asked.column or usual_column(self._predictor, asked.usual, survey.columns)
        reading = Reading.of(self._predictor, survey.columns, column)
        answerer = Answerer(self._predictor, self._against, reading)
        own, answers = [*([FILE] if len(files) > 1 else []), ROW], answerer.columns(asked.probabilities)
        kept = kept_columns(asked.keep, survey.columns, (*own, *answers))
        output = output_of(asked.to, (*own, *kept, *answers), kept)
        how = _Part(kept, reading, answerer, output, max(1, math.ceil(survey.rows / MOST_SAMPLED)))
        self._open_parts(asked, files, column, display)
        parts, summary = list[Path](), Summary(bad=len(unreadable), differ=None if self._against is None else 0)
        first, notes = 0, list[Path]()
        with display.task("predicting", survey.rows * answerer.asked_of_a_row) as tell:
            for number, rows in enumerate(_chunks(files)):
                part, note = (asked.parts / f"{number:06d}{suffix}" for suffix in (asked.to.suffix, ".json"))
                if note.exists():
                    tell(len(rows) * answerer.asked_of_a_row)
                else:
                    write_json(note, self._write_part(part, first, rows, how, tell))
                parts.append(part)
                notes.append(note)
                first += len(rows)
                summary.add(read_json(note))
        places = {name: place for place, (name, _) in enumerate(files)}
        bad = merge(unreadable, _noted(notes), key=lambda row: (places[row.file], row.number))
        if not summary.rows:
            one = next(bad)
            shutil.rmtree(asked.parts)
            why = f"the first: row {one.number}: {one.problem}"
            raise InputError(f"{listed([name for name, _ in files])}: no row has an answer; {why}")
        if summary.bad:
            _write_bad(asked.bad_file, bad)
        output.join(parts, asked.to)
        shutil.rmtree(asked.parts)
        return summary

    def _open_parts(self, asked: Asked, files: Files, column: str | None, display: Display) -> None:
        """Makes the folder of parts, or takes the one that is there if it is of the same work.

        Args:
            asked: what is to be answered.
            files: all of them.
            column: that is read, asked for or not: which is usual depends on the runs that are there.
            display: is told how much is done already.
        """
        contents = [[name, _content(path)] for name, path in files]
        options = [None if asked.keep is None else list(asked.keep), column, asked.probabilities]
        wanted = {**self._identity, "format": PARTS_FORMAT, "files": contents, "options": options}
        note = asked.parts / "asked.json"
        if note.exists() and read_json(note) != wanted:
            raise InputError(
                f"{asked.parts}: parts of another prediction, which was stopped: of another version, file or option; "
                f"remove the folder, or name another --to"
            )
        asked.parts.mkdir(parents=True, exist_ok=True)
        write_json(note, wanted)
        if done := list(asked.parts.glob("[0-9]*.json")):
            rows = sum(read_json(part)["rows"] for part in done)
            display.line(f"{asked.to}: goes on where it was stopped; answered already: {rows:,}")

    def _write_part(
        self, part: Path, first: int, rows: Sequence[tuple[str, Row]], how: _Part, tell: Callable[[int], None]
    ) -> dict[str, Any]:
        """Writes what rows are answered, the first of which is number `first`; returns what is to be known of it."""
        written, bad, sample, counts, unread = [], [], [], Counter[str](), Unread()
        answers = how.answerer.answers([row for _, row in rows], unread, tell)
        for place, ((file, row), cells) in enumerate(zip(rows, answers, strict=True), start=first):
            if isinstance(cells, str):
                bad.append(asdict(BadRow(file, row.number, row.line, cells)))
                continue
            counts.update(said(self._predictor.gives, cells))
            kept = {name: row.cells[name] for name in how.kept if name in row.cells}
            written.append({FILE: file, ROW: row.number, **kept, **cells})
            if place % how.every == 0 and how.reading.is_small:
                sample.append({"input": how.reading.sampled(row), "answer": main(cells), "confidence": _stated(cells)})
        how.output.write(part, written)
        true = {name: sum(bool(row.get(name)) for row in written) for name in (DIFFERS, ABSTAINED, UNKNOWN)}
        return {
            "rows": len(written),
            "bad": bad,
            "answers": counts,
            **true,
            "sample": sample,
            "unread": unread.to_json(),
        }


@dataclass(frozen=True)
class _Part:
    """How a part is written: with which columns of the files; every so many rows one is a sample."""

    kept: tuple[str, ...]
    reading: Reading
    answerer: Answerer
    output: Output
    every: int


def _surveyed(files: Files, bad: SpooledRows, display: Display) -> _Survey:
    """Reads all files once, so that what is wrong with them is known before anything is answered.

    Args:
        files: all of them.
        bad: where rows go that cannot be read.
        display: where progress is shown.
    """
    rows, columns = 0, dict[str, None]()
    for name, path in files:
        problems = BadRows(name, bad)
        with display.counting(f"reading {name}") as tell:
            for row in read_rows(path, problems):
                rows += 1
                columns |= dict.fromkeys(row.cells)
                tell(row.number)
    if not rows:
        first = f"; the first: row {bad.first.number}: {bad.first.problem}" if bad.first else ""
        raise InputError(f"{listed([name for name, _ in files])}: no row can be read{first}")
    return _Survey(rows, tuple(columns))


def _chunks(files: Files) -> Iterator[list[tuple[str, Row]]]:
    """Yields the rows of all files, so many, or so much text, at once, each with its file's name."""
    chunk, characters = list[tuple[str, Row]](), 0
    for name, path in files:
        for row in read_rows(path, BadRows(name, deque(maxlen=0))):  # they are known already
            chunk.append((name, row))
            characters += sum(len(cell) for cell in row.cells.values() if isinstance(cell, str))
            if len(chunk) == ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
                yield chunk
                chunk, characters = [], 0
    if chunk:
        yield chunk


def _content(path: Path) -> str:
    if path.is_file():
        return sha256_file(path)
    return sha256_json([[str(file.relative_to(path)), file.stat().st_size] for file in sorted(path.rglob("*"))])


def _stated(cells: Mapping[str, Any]) -> float | None:
    """Returns the highest probability of an answer's classes, which monitoring calls its confidence; else its own."""
    stated = [value for name, value in cells.items() if name.startswith(PROBABILITY)]
    return max(stated, default=cells.get("confidence"))


def _noted(notes: Sequence[Path]) -> Iterator[BadRow]:
    """Yields the rows without an answer of all parts."""
    for note in notes:
        yield from (BadRow(**row) for row in read_json(note)["bad"])


def _write_bad(path: Path, bad: Iterable[BadRow]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(BAD_COLUMNS)
        writer.writerows((row.file, row.number, row.line, row.problem) for row in bad)
