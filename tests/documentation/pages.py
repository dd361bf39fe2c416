"""README, CONTRIBUTING and docs/ as snippets: fenced blocks, and commands that stand in running text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.M | re.S)
_CODE = re.compile(r"`([^`]+)`")
_IN_TEXT = re.compile(
    r"progressive-tf [a-z]|(\.venv/bin/)?python (-m (progressive_tf|benchmarks)\b|scripts/)|make [a-z]|scripts/|--[a-z]"
    rf"|({'|'.join(COMMANDS)}) (--|[a-z]+$|[a-z]+ [-\w/]+)"
)


@dataclass(frozen=True)
class Snippet:
    """A block of a page, or a command in its text.

    Attributes:
        page: its path from the repository's root.
        line: where it begins, from 1.
        language: of a block; `sh` for a command in the text.
        title: the file that a reader is told to write, if any.
        text: what it says.
    """

    page: str
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Returns every page, as paths from the repository's root."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [file.relative_to(ROOT).as_posix() for file in files]


def blocks(page: str) -> list[Snippet]:
    """Returns a page's fenced blocks in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, found.start()) + 1, found["language"], found["title"], found["text"])
        for found in _FENCE.finditer(text)
    ]


def commands_in_text(page: str) -> list[Snippet]:
    """Returns what stands between backticks outside of blocks and is a command or a flag."""
    text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), (ROOT / page).read_text(encoding="utf-8"))
    return [
        Snippet(page, text.count("\n", 0, found.start()) + 1, "sh", None, " ".join(found[1].split()))
        for found in _CODE.finditer(text)
        if _IN_TEXT.match(" ".join(found[1].split()))
    ]


def command_lines(text: str) -> list[str]:
    """Returns the commands of a shell block: continued lines joined, comments and `&` at the end left out."""
    joined = text.replace("\\\n", " ")
    lines = (re.sub(r"\s+#.*$", "", line).strip().removesuffix("&").strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
