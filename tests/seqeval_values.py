"""What seqeval says about tags, kept in seqeval_values.json: the package itself cannot be had built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

VALUES: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
KINDS: tuple[str, ...] = tuple(VALUES["kinds"])
SCORES: list[dict[str, Any]] = VALUES["scores"]
"""Of each case: truth and predicted, tags of sentences; precision, recall and F1 as micro, macro and of each type, with
the number of true entities as a fourth; token accuracy."""


def spans_of(scheme: str) -> list[tuple[list[str], list[list[Any]]]]:
    """Returns tags and their entities as [start, end, type]; scheme is "bio", any tags, or "bioes", valid ones."""
    return [(tags.split(), found) for tags, found in VALUES[scheme]]


def sentences(case: dict[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the true and the predicted tags of a case."""
    truth, predicted = ([tags.split() for tags in case[side]] for side in ("truth", "predicted"))
    return truth, predicted


def spans_by_pattern(tags: list[str]) -> list[tuple[int, int, str]]:
    """Returns start, end and kind of the spans of BIO tags: B of a kind, then all I of it, by a regular expression."""
    letters = {tag: chr(0x100 + position) for position, tag in enumerate(dict.fromkeys(tags))}
    written = "".join(map(letters.__getitem__, tags))
    return sorted(
        (match.start(), match.end(), tag[2:])
        for tag in letters
        if tag.startswith("B-")
        for match in re.finditer(f"{letters[tag]}{letters.get(f'I-{tag[2:]}', chr(1))}*", written)
    )
