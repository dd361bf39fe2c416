"""A stage's saved answers and what the page shows of them: a file for each kind, and the table of kinds."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import InputError, listed
from progressive_tf.plan.tasks import Task
from progressive_tf.reporting.answers.base import SavedAnswers, open_file
from progressive_tf.reporting.answers.classes import SavedClasses
from progressive_tf.reporting.answers.tags import SavedTags
from progressive_tf.reporting.answers.texts import SavedTexts

KINDS: dict[str, type[SavedAnswers]] = {"classes": SavedClasses, "tags": SavedTags, "texts": SavedTexts}
"""By the name of a kind of answer; another kind is shown as `SavedAnswers` is."""


def shown_as(task: Task) -> type[SavedAnswers]:
    """Returns how the answers of a task are read and shown."""
    return KINDS.get(task.answers.name, SavedAnswers)


def read_answers(path: Path, kind: type[SavedAnswers]) -> SavedAnswers | None:
    """Returns what a file of predictions holds, or None if there is no such file.

    Args:
        path: of the file.
        kind: of its answers.

    Raises:
        InputError: it is not Parquet, has not the columns it should, or numbers in it are no probabilities.
    """
    if not path.exists():
        return None
    # It stays open for the texts: should the run go on and replace it, they still come from what was read here.
    file = open_file(path)
    names = file.schema_arrow.names
    missing = [name for name in kind.columns if name not in names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; it has {listed(names)}")
    return kind.read(path, file)
