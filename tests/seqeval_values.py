"""What seqeval says about tags, kept in seqeval_values.json: the package itself cannot be had built."""

from __future__ import annotations

import json
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
