"""Which files are answered, what they are called, and which of their columns is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.table import tables_of

FILE, ROW = "file", "row"
MOST_LISTED = 10
Files = Sequence[tuple[str, Path]]
"""Files, or folders of images, each with what it is called."""


def usual_column(predictor: Predictor, usual: Sequence[str], columns: Sequence[str]) -> str | None:
    """Returns the column that the plan calls so, where the version reads a single one and the files have it."""
    return next((name for name in (() if predictor.columns else usual) if name in columns), None)


def named_files(given: Sequence[Path], display: Display | None = None) -> Files:
    """Returns the files, those of folders among them, each with its name, or its path where two have the same name.

    Args:
        given: files, folders of tables, folders of images.
        display: says what is read of a folder.

    Raises:
        InputError: one is given twice, or a folder has tables of several formats.
    """
    files = list[Path]()
    for path in given:
        tables = tables_of(path)
        files += tables
        if tables != [path] and display is not None:
            others = [other.name for other in sorted(path.iterdir()) if other not in tables]
            beside = f"; not read: {listed(others, MOST_LISTED)}" if others else ""
            display.line(f"{path}: reading {listed([table.name for table in tables], MOST_LISTED)}{beside}")
    once = Counter(file.name for file in files)
    twice = [file for file, count in Counter(files).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: given twice; name each file once")
    return [(file.name if once[file.name] == 1 else str(file), file) for file in files]
