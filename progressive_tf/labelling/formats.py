"""Files of questions: lines of JSON, CSV, tasks of Label Studio, records of Argilla; and what comes back in them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from progressive_tf.data.cells import label_text
from progressive_tf.errors import InputError, listed, shortened
from progressive_tf.labelling.questions import Given, Question
from progressive_tf.scoring.output import as_text

QUESTION, WHY, INPUT, LABEL, BY = "question", "why", "input", "label", "by"
SAID, CONFIDENCE = "said", "confidence"
ROW = "row"
"""What the cells of a table are called where a tool shows one field."""
# What Label Studio writes beside a task's own columns, in its CSV and in JSON_MIN.
_OF_TASKS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}
# Of an answer in Argilla; drafts and discarded ones are none.
SUBMITTED = "submitted"
MOST_SHOWN = 5


@dataclass(frozen=True)
class Format:
    """How questions are written.

    Attributes:
        suffix: of the file.
        write: questions and the labels there are → the file's text.
        beside: the same → text of a second file, by its suffix; None where there is none.
    """

    suffix: str
    write: Callable[[Sequence[Question], Sequence[str]], str]
    beside: tuple[str, Callable[[Sequence[Question], Sequence[str]], str]] | None = None


def _lines(questions: Sequence[Question], labels: Sequence[str]) -> str:
    rows = ({QUESTION: one.id, WHY: one.why, INPUT: dict(one.input), **_shown(one), LABEL: None} for one in questions)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _table(questions: Sequence[Question], labels: Sequence[str]) -> str:
    columns = list(dict.fromkeys(name for one in questions for name in one.input))
    shown = list(_shown(questions[0])) if questions else []
    own = [QUESTION, WHY, *shown, LABEL, BY]
    both = [name for name in columns if name in (*own, *_OF_TASKS)]
    if both:
        raise InputError(f"--format csv: a column of the rows is called {both[0]!r}, as one of the file's; take jsonl")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([QUESTION, WHY, *columns, *shown, LABEL])
    for one in questions:
        cells = (as_text(one.input.get(name)) for name in columns)
        writer.writerow([one.id, one.why, *cells, *_shown(one).values(), ""])
    return text.getvalue()


def _tasks(questions: Sequence[Question], labels: Sequence[str]) -> str:
    """Returns tasks as https://labelstud.io/guide/tasks has them; what the version says as pre-annotations."""
    tasks = []
    for one in questions:
        task: dict[str, Any] = {"data": {QUESTION: one.id, WHY: one.why, **_field(one.input)}}
        if one.said is not None:
            name = next(iter(_field(one.input)))
            result = {"from_name": LABEL, "to_name": name, "type": "choices", "value": {"choices": [one.said]}}
            task["predictions"] = [{"score": one.confidence, "result": [result]}]
        tasks.append(task)
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _view(questions: Sequence[Question], labels: Sequence[str]) -> str:
    """Returns the labelling interface of these tasks, see https://labelstud.io/tags."""
    name = next(iter(_field(questions[0].input)))
    shown = f'<Table name="{name}" value="${name}"/>' if name == ROW else f'<Text name="{name}" value="${name}"/>'
    choices = "".join(f"    <Choice value={quoteattr(label)}/>\n" for label in labels)
    control = f'  <Choices name="{LABEL}" toName="{name}" choice="single" required="true">\n{choices}  </Choices>'
    return f"<View>\n  {shown}\n{control}\n</View>\n"


def _records(questions: Sequence[Question], labels: Sequence[str]) -> str:
    """Returns records as `Dataset.records.from_json` of Argilla 2 reads them."""
    records = []
    for one in questions:
        suggested = {LABEL: {"value": one.said, "score": one.confidence, "agent": None}} if one.said is not None else {}
        fields = _field(one.input)
        if ROW in fields:
            fields = {ROW: json.dumps(fields[ROW], ensure_ascii=False, indent=1)}
        records.append(
            {
                "id": one.id,
                "fields": fields,
                "metadata": {WHY: one.why},
                "suggestions": suggested,
                "responses": {},
                "vectors": {},
            }
        )
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def _shown(question: Question) -> dict[str, Any]:
    return {} if question.said is None else {SAID: question.said, CONFIDENCE: question.confidence}


def _field(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an input as one field: a text under a name that both tools take, or all cells of a row."""
    return {"text": next(iter(cells.values()))} if len(cells) == 1 else {ROW: dict(cells)}


FORMATS: dict[str, Format] = {
    "jsonl": Format(".jsonl", _lines),
    "csv": Format(".csv", _table),
    "label-studio": Format(".json", _tasks, (".xml", _view)),
    "argilla": Format(".json", _records),
}
"""By the name that `--format` takes."""


def read_given(path: Path) -> tuple[list[Given], str]:
    """Returns what people said, and which format the file has, in words.

    Args:
        path: `.jsonl`, `.csv`, or `.json`: tasks or JSON_MIN of Label Studio, records of Argilla, flat or not.

    Raises:
        InputError: it is no such file; the place of what is wrong is named.
    """
    readers = {".jsonl": _read_lines, ".csv": _read_table, ".json": _read_json}
    reads = readers.get(path.suffix.lower())
    if reads is None:
        raise InputError(f"--import {path}: a file called {', '.join(readers)} expected")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"--import {path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"--import {path}: a file expected; this is a folder") from None
    except UnicodeDecodeError as error:
        raise InputError(f"--import {path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    found, words = reads(text, path)
    if not found:
        raise InputError(f"--import {path}: no question is in it")
    return found, words


def _read_lines(text: str, path: Path) -> tuple[list[Given], str]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):  # a text may hold other ends of lines
        if not line.strip():
            continue
        place = f"--import {path}: line {number}"
        row = _object(_parsed(line, place), place)
        cells = row.get(INPUT)
        if not isinstance(cells, Mapping) or not cells:
            raise InputError(f"{place}: {INPUT!r} expected, as the questions have it")
        found.append(_given(row, cells, row.get(LABEL), row.get(BY), place))
    return found, "lines of JSON"


def _read_table(text: str, path: Path) -> tuple[list[Given], str]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # some spreadsheets write others than they read
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found = []
    try:
        columns = reader.fieldnames or []
        _refuse_columns(columns, path)
        inputs = [name for name in columns if name not in {QUESTION, WHY, LABEL, BY, SAID, CONFIDENCE, *_OF_TASKS}]
        for number, row in enumerate(reader, 1):
            place = f"--import {path}: row {number}"
            if None in row or None in row.values():
                raise InputError(f"{place}: {len(columns)} fields expected, as the header has; save it as CSV again")
            cells = {name: row[name] for name in inputs}
            found.append(_given(row, cells, row[LABEL], row.get(BY) or row.get("annotator"), place))
    except csv.Error as error:
        raise InputError(f"--import {path}: no CSV after row {len(found)} ({error}); save it as CSV again") from None
    return found, "CSV"


def _refuse_columns(columns: Sequence[str], path: Path) -> None:
    missing = [name for name in (QUESTION, WHY, LABEL) if name not in columns]
    if missing:
        raise InputError(
            f"--import {path}: no column {missing[0]!r}, as the questions have; there are {listed(columns)}"
        )


def _read_json(text: str, path: Path) -> tuple[list[Given], str]:
    place = f"--import {path}"
    content = _parsed(text, place)
    if not isinstance(content, list) or not content:
        raise InputError(f"{place}: a list of tasks of Label Studio, or of records of Argilla, expected")
    rows = [_object(row, f"{place}: item {number}") for number, row in enumerate(content, 1)]
    for shape in SHAPES:
        if shape.fits(rows[0]):
            read = (shape.read(row, f"{place}: item {number}") for number, row in enumerate(rows, 1))
            return [given for of_row in read for given in of_row], shape.words + shape.remark(rows)
    raise InputError(
        f"{place}: neither tasks of Label Studio (data, annotations) nor records of Argilla (fields, responses); its "
        f"items have {listed(rows[0])}"
    )


@dataclass(frozen=True)
class Shape:
    """A kind of JSON.

    Attributes:
        words: what it is called.
        fits: whether an item is of it.
        read: an item, and its place in messages → what people said of it, one open where nobody did.
        remark: items → what they do not say, of which nothing can be known; mostly nothing.
    """

    words: str
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str], Iterator[Given]]
    remark: Callable[[Sequence[Mapping[str, Any]]], str] = lambda items: ""


def _of_task(task: Mapping[str, Any], place: str) -> Iterator[Given]:
    data = _object(task.get("data"), f"{place}.data")
    cells, any_given = _cells(data, place), False
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        results = [one for one in annotation.get("result") or () if one.get("type") == "choices"]
        named = [one for one in results if one.get("from_name") == LABEL] or results
        choices = [choice for one in named for choice in (one.get("value") or {}).get("choices") or ()]
        who = annotation.get("completed_by")
        who = who.get("email") or who.get("id") if isinstance(who, Mapping) else who
        any_given = True
        yield _given(data, cells, _one_of(choices, place), who, place)
    if not any_given:
        yield _given(data, cells, None, None, place)


def _of_small_task(row: Mapping[str, Any], place: str) -> Iterator[Given]:
    label = row.get(LABEL)
    choices = label.get("choices") if isinstance(label, Mapping) else [] if label is None else [label]
    yield _given(row, _cells(row, place), _one_of(choices or [], place), row.get("annotator"), place)


def _of_record(record: Mapping[str, Any], place: str) -> Iterator[Given]:
    fields, metadata = (_object(record.get(name), f"{place}.{name}") for name in ("fields", "metadata"))
    asked = {QUESTION: record.get("id"), WHY: metadata.get(WHY)}
    responses = (record.get("responses") or {}).get(LABEL) or []
    given = [response for response in responses if response.get("status", SUBMITTED) == SUBMITTED]
    for response in given or [{}]:
        yield _given(asked, _cells(fields, place), response.get("value"), response.get("user_id"), place)


def _says_not_what_was_submitted(records: Sequence[Mapping[str, Any]]) -> str:
    answers = [one for record in records for one in (record.get("responses") or {}).get(LABEL) or []]
    if all("status" in one for one in answers):
        return ""
    return ", which do not say what was submitted: drafts and discarded answers count; export flat records"


def _of_flat_record(record: Mapping[str, Any], place: str) -> Iterator[Given]:
    asked = {QUESTION: record.get("id"), WHY: record.get(WHY, record.get(f"metadata.{WHY}"))}
    labels = record.get(f"{LABEL}.responses") or []
    people = record.get(f"{LABEL}.responses.users") or [None] * len(labels)
    statuses = record.get(f"{LABEL}.responses.status") or [SUBMITTED] * len(labels)
    if not len(labels) == len(people) == len(statuses):
        raise InputError(
            f"{place}: {len(labels)} responses, of {len(people)} users with {len(statuses)} states; as many of each "
            f"expected"
        )
    given = [(label, who) for label, who, status in zip(labels, people, statuses, strict=True) if status == SUBMITTED]
    for label, who in given or [(None, None)]:
        yield _given(asked, _cells(record, place), label, who, place)


SHAPES = (
    Shape("tasks of Label Studio", lambda row: "data" in row, _of_task),
    Shape("records of Argilla", lambda row: "fields" in row, _of_record, _says_not_what_was_submitted),
    Shape("flat records of Argilla", lambda row: QUESTION not in row and "id" in row, _of_flat_record),
    Shape("JSON_MIN of Label Studio", lambda row: QUESTION in row, _of_small_task),
)


def _cells(fields: Mapping[str, Any], place: str) -> dict[str, Any]:
    if isinstance(fields.get("text"), str):
        return {"text": fields["text"]}
    row = fields.get(ROW)
    row = _parsed(row, f"{place}.{ROW}") if isinstance(row, str) else row
    if not isinstance(row, Mapping) or not row:
        raise InputError(f"{place}: neither a text nor a row of a table, as the questions have it")
    return dict(row)


def _one_of(choices: Sequence[Any], place: str) -> Any:
    if len(choices) > 1:
        raise InputError(f"{place}: {len(choices)} labels ({listed(choices, MOST_SHOWN)}); one expected of each person")
    return choices[0] if choices else None


def _given(row: Mapping[str, Any], cells: Mapping[str, Any], label: Any, by: Any, place: str) -> Given:
    question, why = row.get(QUESTION), row.get(WHY)
    if not isinstance(question, str) or not question:
        raise InputError(f"{place}: {QUESTION!r} expected, the id that the questions have; keep it in the export")
    if not isinstance(why, str):
        raise InputError(f"{place}: {WHY!r} expected, as the questions have it; keep it in the export")
    label = label_text(label)
    if label is not None and not isinstance(label, str):
        raise InputError(f"{place}: a label expected; got {type(label).__name__} {shortened(repr(label), 40)}")
    return Given(question, why, dict(cells), label.strip() or None if label else None, "" if by is None else str(by))


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: an object expected; got {type(value).__name__}")
    return value


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({shortened(str(error))})") from None
