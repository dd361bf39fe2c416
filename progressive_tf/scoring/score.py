"""The rows of files → a table of what a version answers, in parts that survive a kill."""

from __future__ import annotations

import csv
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed
from progressive_tf.files import atomic_path, read_json, sha256_file, sha256_json, write_json
from progressive_tf.scoring.answered import AnswerCells, answer_cells, said
from progressive_tf.scoring.output import PROBABILITY, Output, output_of
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.reading import Reading
from progressive_tf.scoring.table import BadRow, BadRows, Row, read_rows
from progressive_tf.scoring.unread import Unread

ROWS_AT_ONCE, BATCH = 2_048, 64
MOST_SAMPLED = 5_000
FILE, ROW, AGAINST, DIFFERS = "file", "row", "against", "differs"
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
        remark: what was not read of the inputs.
    """

    rows: int = 0
    bad: int = 0
    differ: int | None = None
    abstained: int = 0
    unknown: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)
    remark: str = ""


@dataclass(frozen=True)
class _Survey:
    """What stands in the files: how many rows that can be read, those that cannot, and all columns in order."""

    rows: int
    bad: tuple[BadRow, ...]
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
        self._unread = Unread()

    def run(self, asked: Asked, display: Display) -> Summary:
        """Writes the table, and beside it the rows that have no answer; goes on where an earlier process was stopped.

        Raises:
            InputError: a file cannot be read, the version cannot read such rows, none has an answer, or there is
                something at `asked.to` already.
        """
        if asked.to.exists():
            raise InputError(f"--to {asked.to}: there is a file already; name another one, or remove it")
        output_of(asked.to, (), ())
        survey = _surveyed(asked.files, display)
        reading = Reading.of(self._predictor, survey.columns, asked.column or self._usual(asked, survey))
        columns = self._columns(asked, survey, reading)
        output = output_of(asked.to, columns.every, columns.kept)
        self._open_parts(asked)
        parts, summary = list[Path](), Summary(bad=len(survey.bad), differ=None if self._against is None else 0)
        bad = list(survey.bad)
        every = max(1, math.ceil(survey.rows / MOST_SAMPLED))
        with display.task("predicting", survey.rows) as tell:
            for number, rows in enumerate(_chunks(asked.files)):
                part, note = (asked.parts / f"{number:06d}{suffix}" for suffix in (asked.to.suffix, ".json"))
                if not note.exists():
                    write_json(note, self._write_part(part, number, rows, _Part(columns.kept, reading, output, every)))
                noted = read_json(note)
                parts.append(part)
                bad += [BadRow(**row) for row in noted["bad"]]
                summary.rows += noted["rows"]
                summary.answers.update(noted["answers"])
                summary.sample += noted["sample"]
                summary.abstained += noted["abstained"]
                summary.unknown += noted["unknown"]
                if summary.differ is not None:
                    summary.differ += noted["differ"]
                tell(min((number + 1) * ROWS_AT_ONCE, survey.rows))
        summary.bad, summary.remark = len(bad), self._unread.remark()
        if not summary.rows:
            shutil.rmtree(asked.parts)
            first = f"; the first: row {bad[0].number}: {bad[0].problem}" if bad else ""
            raise InputError(f"{listed([path.name for path in asked.files])}: no row has an answer{first}")
        if bad:
            names = [path.name for path in asked.files]
            _write_bad(asked.bad_file, sorted(bad, key=lambda row: (names.index(row.file), row.number)))
        output.join(parts, asked.to)
        shutil.rmtree(asked.parts)
        return summary

    def _usual(self, asked: Asked, survey: _Survey) -> str | None:
        """Returns the column that the plan calls so, where the version reads a single one and the files have it."""
        names = () if self._predictor.columns else asked.usual
        return next((name for name in names if name in survey.columns), None)

    def _open_parts(self, asked: Asked) -> None:
        """Makes the folder of parts, or takes the one that is there if it is of the same work."""
        files = [[path.name, _content(path)] for path in asked.files]
        options = [None if asked.keep is None else list(asked.keep), asked.column, asked.probabilities]
        wanted = {**self._identity, "files": files, "options": options}
        note = asked.parts / "asked.json"
        if note.exists() and read_json(note) != wanted:
            raise InputError(
                f"{asked.parts}: parts of another prediction, which was stopped: of another version, file or option; "
                f"remove the folder, or name another --to"
            )
        asked.parts.mkdir(parents=True, exist_ok=True)
        write_json(note, wanted)

    def _columns(self, asked: Asked, survey: _Survey, reading: Reading) -> _Columns:
        """Returns the columns of the table; those of answers are known from the first row that has one."""
        kept = survey.columns if asked.keep is None else asked.keep
        unknown = [name for name in kept if name not in survey.columns]
        if unknown:
            raise InputError(f"--keep-columns: no column {unknown[0]!r}; there are {listed(survey.columns)}")
        rows = (row for chunk in _chunks(asked.files) for _, row in chunk)
        first = next((cells for row in rows if isinstance(cells := self._answers([row], reading)[0], dict)), None)
        answers = [name for name in first or {} if asked.probabilities or not name.startswith(PROBABILITY)]
        own = [*([FILE] if len(asked.files) > 1 else []), ROW]
        beside = [] if self._against is None else [AGAINST, DIFFERS]
        both = [name for name in kept if name in (*own, *answers, *beside)]
        if both:
            raise InputError(
                f"the file has a column {both[0]!r}, as the answers have; leave it out: --keep-columns "
                f"{','.join(name for name in kept if name not in both) or 'none'}"
            )
        return _Columns((*own, *kept, *answers, *beside), tuple(kept))

    def _write_part(self, part: Path, number: int, rows: Sequence[tuple[str, Row]], how: _Part) -> dict[str, Any]:
        """Writes what some rows are answered; returns what is to be known of it."""
        read, answers = how.reading, self._answers([row for _, row in rows], how.reading)
        good = [place for place, cells in enumerate(answers) if isinstance(cells, dict)]
        others = self._others([rows[place][1] for place in good], read)
        written, sample, counts = [], [], Counter[str]()
        for place, other in zip(good, others, strict=True):
            (file, row), cells = rows[place], answers[place]
            assert isinstance(cells, dict)
            counts.update(said(self._predictor.gives, cells))
            beside = {} if other is None else {AGAINST: other, DIFFERS: other != _main(cells)}
            kept = {name: row.cells[name] for name in how.kept if name in row.cells}
            written.append({FILE: file, ROW: row.number, **kept, **cells, **beside})
            if (number * ROWS_AT_ONCE + place) % how.every == 0 and read.is_small:
                sample.append({"input": read.sampled(row), "answer": _main(cells), "confidence": _stated(cells)})
        how.output.write(part, written)
        bad = [
            asdict(BadRow(file, row.number, row.line, cells))
            for (file, row), cells in zip(rows, answers, strict=True)
            if isinstance(cells, str)
        ]
        differ = sum(bool(row.get(DIFFERS)) for row in written)
        abstained, unknown = (sum(bool(row.get(name)) for row in written) for name in (ABSTAINED, UNKNOWN))
        return {
            "rows": len(good),
            "bad": bad,
            "answers": counts,
            "differ": differ,
            "abstained": abstained,
            "unknown": unknown,
            "sample": sample,
        }

    def _others(self, rows: Sequence[Row], reading: Reading) -> list[Any]:
        if self._against is None:
            return [None] * len(rows)
        found = self._answers(rows, reading, self._against)
        return [f"no answer: {cells}" if isinstance(cells, str) else _main(cells) for cells in found]

    def _answers(
        self, rows: Sequence[Row], reading: Reading, predictor: Predictor | None = None
    ) -> list[AnswerCells | str]:
        """Returns the answer to each row, or why it has none."""
        found: list[AnswerCells | str] = [""] * len(rows)
        values, places = [], []
        for place, row in enumerate(rows):
            try:
                values.append((reading.value(row), reading.task(row)))
            except ValueError as error:
                found[place] = str(error)
            else:
                places.append(place)
        for place, cells in zip(places, self._of_values(values, predictor or self._predictor), strict=True):
            found[place] = cells
        return found

    def _of_values(self, values: Sequence[tuple[Any, str | None]], predictor: Predictor) -> list[AnswerCells | str]:
        """Returns the answers to values; one that the version refuses is found by halves, and spoils no other."""
        if not values:
            return []
        tasks = [task for _, task in values if task is not None]
        try:
            inputs = [value for value, _ in values]
            table = predictor.answer(inputs, tasks if predictor.has_tasks else None, BATCH, self._unread)
            return answer_cells(predictor.gives, table, len(values))
        except InputError as error:
            if len(values) == 1:
                return [str(error).removeprefix("inputs[0]: ")]
        half = len(values) // 2
        return [*self._of_values(values[:half], predictor), *self._of_values(values[half:], predictor)]


@dataclass(frozen=True)
class _Columns:
    """All columns of the table, and those of them that are of the files."""

    every: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """How a part is written: with which columns of the files; every so many rows one is a sample."""

    kept: tuple[str, ...]
    reading: Reading
    output: Output
    every: int


def _surveyed(files: Sequence[Path], display: Display) -> _Survey:
    """Reads all files once, so that what is wrong with them is known before anything is answered."""
    rows, bad, columns = 0, list[BadRow](), dict[str, None]()
    for path in files:
        problems = BadRows(path.name)
        with display.counting(f"reading {path.name}") as tell:
            for row in read_rows(path, problems):
                rows += 1
                columns |= dict.fromkeys(row.cells)
                tell(row.number)
        bad += problems.kept
    if not rows:
        first = f"; the first: row {bad[0].number}: {bad[0].problem}" if bad else ""
        raise InputError(f"{listed([path.name for path in files])}: no row can be read{first}")
    return _Survey(rows, tuple(bad), tuple(columns))


def _chunks(files: Sequence[Path]) -> Iterator[list[tuple[str, Row]]]:
    """Yields the rows of all files, so many at once, each with its file's name."""
    chunk = list[tuple[str, Row]]()
    for path in files:
        for row in read_rows(path, BadRows(path.name)):
            chunk.append((path.name, row))
            if len(chunk) == ROWS_AT_ONCE:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _content(path: Path) -> str:
    if path.is_file():
        return sha256_file(path)
    return sha256_json([[str(file.relative_to(path)), file.stat().st_size] for file in sorted(path.rglob("*"))])


def _main(cells: Mapping[str, Any]) -> Any:
    """Returns the answer itself, which comes first."""
    return next(iter(cells.values()))


def _stated(cells: Mapping[str, Any]) -> float | None:
    """Returns the highest probability of an answer's classes, which monitoring calls its confidence; else its own."""
    stated = [value for name, value in cells.items() if name.startswith(PROBABILITY)]
    return max(stated, default=cells.get("confidence"))


def _write_bad(path: Path, bad: Sequence[BadRow]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(BAD_COLUMNS)
        writer.writerows((row.file, row.number, row.line, row.problem) for row in bad)
