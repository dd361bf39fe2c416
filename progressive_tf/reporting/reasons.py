"""What the page shows of explanations: how alike a stage's reasons are to its predecessor's, and where they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.evaluation.explanations import words_of
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.reporting.records import RunRecord

EXPLANATIONS = "explanations.json"
MOST_CHANGED, MOST_WORDS = 8, 4


@dataclass(frozen=True)
class ChangedProbe:
    """A probe whose reasons changed.

    Args:
        row: in its source, from 1.
        text: of it; empty for an image.
        label: the class that is explained.
        correlation: of its values with the predecessor's.
        before: the words that spoke for the class most, with their values.
        after: likewise now.
    """

    row: int
    text: str
    label: str
    correlation: float
    before: Sequence[tuple[str, float]]
    after: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class ReasonsView:
    """A stage's explanations.

    Args:
        stage: its name.
        probes: how many.
        error: the largest of completeness.
        predecessor: what it is compared with, or None.
        correlation: mean of the probes'.
        changed: those that changed most, the most first.
    """

    stage: str
    probes: int
    error: float
    predecessor: str | None
    correlation: float | None
    changed: Sequence[ChangedProbe]


def reasons_views(run: RunRecord) -> list[ReasonsView]:
    """Returns the explanations of each stage that has them."""
    views = []
    for stage in run.stages:
        folder = run.path / "stages" / f"{stage.number:02d}-{stage.name}"
        facts = _read(folder / "metrics.json").get("explanations")
        after = _read(folder / EXPLANATIONS).get("probes")
        if not facts or not after:
            continue
        views.append(
            ReasonsView(
                stage.name,
                len(after),
                max(each["error"] for each in after),
                facts["predecessor"],
                facts["correlation"],
                _changed(run, facts, after),
            )
        )
    return views


def _changed(run: RunRecord, facts: Mapping[str, Any], after: Sequence[Mapping[str, Any]]) -> list[ChangedProbe]:
    if facts["predecessor"] is None:
        return []
    found = next((each for each in run.stages if each.name == facts["predecessor"]), None)
    folder = run.path if found is None else run.path / "stages" / f"{found.number:02d}-{found.name}"
    before = _read(folder / EXPLANATIONS).get("probes") or []
    order = sorted((value, place) for place, value in enumerate(facts["of_probe"]) if value is not None)
    return [
        ChangedProbe(
            after[place]["row"],
            after[place]["text"],
            after[place]["label"],
            value,
            _strongest(before[place]),
            _strongest(after[place]),
        )
        for value, place in order[:MOST_CHANGED]
        if place < len(before)
    ]


def _strongest(probe: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Returns the words with the largest values, whichever way they speak; none for an image."""
    words = words_of(probe["parts"], probe["values"]) if probe["parts"] else []
    return sorted(words, key=lambda word: -abs(word[1]))[:MOST_WORDS]


def _read(path: Any) -> Mapping[str, Any]:
    try:
        found = read_json(path)
    except (FileNotFoundError, DamagedRecordError):
        return {}
    return found if isinstance(found, dict) else {}
