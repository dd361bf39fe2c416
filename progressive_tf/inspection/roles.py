"""Which column of a table is what: what a network would read, and what it would answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.inspection.columns import Column
from progressive_tf.inspection.languages import words
from progressive_tf.plan.tasks import TASKS, Task

# Words in names of columns, by how surely they name a label.
SURE_LABELS = words(
    "label labels class classes category kategorie klasse target topic thema intent sentiment species outcome y "
    "diagnosis survived churn churned spam gold"
)
LIKELY_LABELS = words(
    "type typ art status rating stars grade quality queue department abteilung tag tags priority result ergebnis group "
    "answer response verdict reason severity stimmung rubrik emotion is has"
)
TEXT_NAMES = words(
    "text message body content question review sentence comment utterance document description abstract tweet post "
    "nachricht inhalt beschreibung frage anfrage kommentar query transcript prompt title subject betreff titel"
)
SHORT_TEXTS = words("title subject betreff titel")
PAIRS = (
    *(("source", "target"), ("src", "tgt"), ("src", "trg"), ("input", "output"), ("text", "target")),
    *(("question", "answer"), ("article", "summary"), ("document", "summary"), ("original", "translation")),
    *(("original", "corrected"), ("prompt", "completion"), ("text", "summary"), ("source", "translation")),
)
NAMES_OF_LANGUAGES = words(
    "en de fr es it nl pt pl sv da no fi cs ru uk tr ar zh ja ko english german french spanish italian dutch "
    "portuguese polish swedish russian chinese japanese deutsch englisch"
)
MOST_CLASSES = 1_000
MOST_NUMBERED = 20  # classes that are written as numbers, unless the name says that they are labels
LONGEST_LABEL = 5  # words


@dataclass(frozen=True)
class Roles:
    """What the columns of a file are for.

    Attributes:
        task: what could be learnt.
        inputs: the column that is read; None where all that are left are.
        answer: the column of labels, tags or expected texts.
        lines: what was decided and what else was possible, a sentence each.
    """

    task: Task
    inputs: str | None
    answer: str
    lines: tuple[str, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """The keys of a plan's `data` that name the columns."""
        keys = {self.task.answer_key: self.answer}
        return keys if self.inputs is None else {self.task.input_key: self.inputs} | keys


def find_roles(columns: Sequence[Column], name: str, text: str | None = None, label: str | None = None) -> Roles:
    """Returns what columns are for.

    Args:
        columns: of the file.
        name: of the file, for messages.
        text: the column to be read, where a person said it.
        label: the column of labels or expected texts, likewise.

    Raises:
        InputError: there is no such column, or none that could be a label.
    """
    known = {column.name: column for column in columns}
    for flag, asked in (("--text", text), ("--label", label)):
        if asked is not None and asked not in known:
            raise InputError(f"{flag}: {name}: {unknown_name('column', asked, known)}")
    if text is not None and text == label:
        raise InputError(f"--text and --label: {text!r} is named as both; name two columns")
    usable = [column for column in columns if not column.is_empty and not column.is_index]
    return (
        _lists(usable, text, label)
        or _pair(usable, text, label)
        or _labelled(usable, name, None if text is None else known[text], None if label is None else known[label])
    )


def _lists(columns: Sequence[Column], text: str | None, label: str | None) -> Roles | None:
    """Returns the roles of a list of words and a list of their tags."""
    lists = [column.name for column in columns if column.lists > 0.5]
    if len(lists) < 2:
        return None
    tags = label or next((name for name in lists if "tag" in name.lower() or "label" in name.lower()), lists[1])
    words = text or next(name for name in lists if name != tags)
    return Roles(TASKS["token-classification"], words, tags)


def _pair(columns: Sequence[Column], text: str | None, label: str | None) -> Roles | None:
    """Returns the roles of two columns of texts, one of which is expected for the other."""
    by_name = {column.name.casefold(): column for column in columns}
    last = {column.name.casefold().rpartition(".")[2]: column for column in columns}
    named = next(
        (
            (found[first], found[second])
            for found in (by_name, last)
            for first, second in PAIRS
            if first in found and second in found
        ),
        None,
    )
    spoken = [column for name, column in last.items() if name in NAMES_OF_LANGUAGES]
    if named is None and len(spoken) == 2:
        named = (spoken[0], spoken[1])
    if text is not None and label is not None:
        wanted = {column.name: column for column in columns}
        named = (wanted[text], wanted[label]) if text in wanted and label in wanted else None
    elif text is not None or label is not None:
        return None
    if named is None or not all(_is_free_text(column) for column in named):
        return None
    sure = [column.name for column in columns if column not in named and _score(column, columns) >= 5]
    if sure and text is None:
        return None
    return Roles(TASKS["translation"], named[0].name, named[1].name)


def _is_free_text(column: Column) -> bool:
    words = not column.is_numbers and not column.is_dates and not column.is_id
    return words and (column.is_text or column.distinct > max(20, 0.5 * min(column.filled, 10_000)))


def _labelled(columns: Sequence[Column], name: str, text: Column | None, label: Column | None) -> Roles:
    lines = []
    candidates = sorted(
        (column for column in columns if column is not text and _may_be_label(column, columns)),
        key=lambda column: -_score(column, columns),
    )
    if label is None:
        if not candidates:
            raise InputError(_no_label(columns, name))
        label = candidates[0]
        also = [column.name for column in candidates[1:] if _score(column, columns) >= 2.5]
        if also:
            lines.append(f"{listed(also, 5)} could be the label too; --label names another")
    if text is None:
        text = _input(columns, label)
    left = [column for column in columns if column is not label and column is not text]
    if text is None:
        if not left:
            raise InputError(f"{name}: {label.name!r} is its only column; expected columns to tell it from")
        return Roles(TASKS["tabular-classification"], None, label.name, tuple(lines))
    also = [column.name for column in left if column.is_text]
    if also:
        lines.append(f"not read, though they hold texts: {listed(also, 5)}; --text names another column to read")
    # A column of paths is that of images, whatever is said of texts.
    kinds = [INPUT_KINDS[kind] for kind in (("images",) if text.is_images else ("texts",))]
    task = next(task for task in TASKS.values() if INPUT_KINDS[task.inputs] in kinds)
    return Roles(task, text.name, label.name, tuple(lines))


def _input(columns: Sequence[Column], label: Column) -> Column | None:
    """Returns the column that a network reads: paths of images, else the most telling texts; None for a table."""
    left = [column for column in columns if column is not label]
    paths = [column for column in left if column.is_images]
    if paths:
        return paths[0]
    texts = [column for column in left if column.is_text and not column.is_id]
    if not texts:
        measured = [column for column in left if not column.is_id and not column.is_dates]
        short = [column for column in measured if _is_free_text(column) and column.lists < 0.5]
        if not measured:  # a name in every row tells rows apart, and may be all there is to read
            short = [column for column in left if column.is_spoken]
        numbers = [column for column in measured if column.is_numbers]
        return short[0] if short and not numbers else None
    return max(texts, key=lambda column: (_text_score(column), -columns.index(column)))


def _text_score(column: Column) -> float:
    named = column.parts & TEXT_NAMES
    bonus = 2.0 if named and not named <= SHORT_TEXTS else 0.5 if named else 0.0
    return min(column.words, 40.0) / 10 + bonus


def _may_be_label(column: Column, columns: Sequence[Column]) -> bool:
    if column.counts is None or not 2 <= len(column.counts) <= MOST_CLASSES or column.lists > 0.5:
        return False
    if column.is_dates or column.is_images or column.words > LONGEST_LABEL:
        return False
    is_named = _named(column, columns) >= 3
    if (column.is_id or column.is_of_somebody) and not is_named:
        return False
    if column.is_numbers and not is_named:
        return not column.has_fractions and len(column.counts) <= MOST_NUMBERED
    return len(column.counts) <= max(2, column.filled / 2) or is_named


def _named(column: Column, columns: Sequence[Column]) -> float:
    """Returns how surely a column's name says that it is the label, from 0 to 4."""
    if column.name.casefold() in SURE_LABELS:
        return 4.0
    if column.parts & SURE_LABELS:
        return 3.0
    return 2.0 if column.parts & LIKELY_LABELS else 0.0


def _score(column: Column, columns: Sequence[Column]) -> float:
    """Returns how likely a column is the label: by its name, its place, and how few values it has."""
    if not _may_be_label(column, columns):
        return 0.0
    counts: Mapping[str, int] = column.counts or {}
    score = _named(column, columns)
    score += 1.0 if column is columns[-1] else 0.5 if column is columns[0] else 0.0
    score += 1.0 if len(counts) <= 20 else 0.5 if len(counts) <= 200 else 0.0
    score += 0.5 if not column.is_numbers else 0.0
    score += 0.5 if min(counts.values(), default=0) >= 5 else 0.0
    return score - column.missing / max(1, column.profile.rows)


def _no_label(columns: Iterable[Column], name: str) -> str:
    said = listed((f"{column.name} ({column.described()})" for column in columns), 8)
    lists = next((column.name for column in columns if column.lists > 0.5), None)
    if lists is not None:
        return (
            f"{name}: no column looks like a label; its columns: {said}; if {lists!r} has several labels of a row, "
            f"these are not there yet: keep the one that matters most, or make a column for each label with yes and no"
        )
    return (
        f"{name}: no column looks like a label, which has a few values that come again; its columns: {said}; name it "
        f"with --label, or give the rows one"
    )
