"""Where the results of a check go, so that no file is lost that is not an earlier result of the same check."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.errors import InputError
from progressive_tf.files import sha256_json
from progressive_tf.inspection.subject import Subject

FINDINGS = ("file", "line", "kind", "what", "suggestion")
HEAD = 4_096  # characters of a page in which its mark stands
_ADVICE = "move it away, or name another folder with --to"
_NO_NAME = re.compile(r"[^\w]+")


@dataclass(frozen=True)
class Outputs:
    """Files of a check, for the page to name.

    Attributes:
        findings: with a line for each finding and row.
        page: for people.
        copies: of each file that is corrected, the copy and the log of its changes.
    """

    findings: Path
    page: Path
    copies: tuple[tuple[Path, Path], ...] = ()

    @property
    def fixed(self) -> tuple[Path, ...]:
        """Copies and logs, each behind its copy."""
        return tuple(path for pair in self.copies for path in pair)


def usual_folder(file: str) -> Path:
    """Returns the folder of results where none is named; tables that differ in their ending only have two."""
    return Path(f"check-{_NO_NAME.sub('-', Path(file).name).strip('-') or 'rows'}")


def mark(files: Sequence[str]) -> str:
    """Returns what a page has by which it is known again: a digest of its files, as they were named."""
    return f"check of {sha256_json([Path(file).as_posix() for file in files])[:16]}"


def outputs(folder: Path, subjects: Sequence[Subject], fix: bool) -> Outputs:
    """Returns what a check will write.

    Args:
        folder: where.
        subjects: the files.
        fix: whether corrected copies are among it.

    Raises:
        InputError: a file would be lost: one that is checked, or any that is no result of an earlier check of the same
            files.
    """
    names = [Path(subject.name) for subject in subjects] if fix else []
    copies = [(folder / f"{n.stem}-fixed{n.suffix}", folder / f"{n.stem}-fixed-log.csv") for n in names]
    made = Outputs(folder / "findings.csv", folder / "check.html", tuple(copies))
    twice = next((path for path in made.fixed if made.fixed.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"--fix: two files would become {twice.name}; correct one after the other, each --to a folder")
    checked = [place for subject in subjects for place in _places(subject)]
    for path in (made.findings, made.page, *made.fixed):
        if path.exists() and any(place.exists() and path.samefile(place) for place in checked):
            raise InputError(f"--to {folder}: {path} is a file that is checked; name another folder with --to")
    for path, is_own in ((made.findings, _is_findings(made.findings)), (made.page, _is_page(made.page, subjects))):
        if (path.exists() or path.is_symlink()) and not is_own:
            raise InputError(f"--to {folder}: {path} is there already, and is no result of this check; {_ADVICE}")
    for path in made.fixed:
        if path.exists() or path.is_symlink():
            raise InputError(f"--fix: {path} is there already; {_ADVICE}")
    return made


def _places(subject: Subject) -> list[Path]:
    files = () if subject.table is None else subject.table.resolved.files
    return [Path(subject.path).expanduser(), *(file.path for file in files)]


def _head(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(HEAD)


def _is_findings(path: Path) -> bool:
    return next(csv.reader([_head(path).partition("\n")[0]]), None) == list(FINDINGS)


def _is_page(path: Path, subjects: Sequence[Subject]) -> bool:
    return mark([subject.path for subject in subjects]) in _head(path)
