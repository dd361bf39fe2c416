"""Rows of a stage whose label looks wrong, or the reason why nothing was looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from progressive_tf.data.findings import Finding, Suspect, about_rows
from progressive_tf.data.label_noise import Embeddings, suspected_label_noise
from progressive_tf.data.source import Source
from progressive_tf.plan.quality import Action

KIND = "label_noise"


@dataclass(frozen=True, eq=False)
class NoiseFinding:
    """What is said of labels that look wrong.

    Attributes:
        finding: what was found, or why nothing was looked for.
        positions: int64, of the suspects among the given rows.
        suspects: all of them.
    """

    finding: Finding
    positions: np.ndarray
    suspects: tuple[Suspect, ...] = ()


def find_noise(
    source: Source, rows: np.ndarray, action: Action | None, place: str, embeddings: Embeddings | str | None, seed: int
) -> NoiseFinding | None:
    """Returns which labels look wrong, or why that is not known; None where nothing is to be said.

    Args:
        source: the rows' source.
        rows: int64, the rows to train on.
        action: what the plan says to do about such rows; None to look for none.
        place: where the checks stand in the plan; errors begin with it.
        embeddings: frozen embeddings of rows, float32 [n, width]; or why there are none.
        seed: for the folds.

    Raises:
        InputError: the action is `fail` and there are such rows.
    """
    if action is None or not len(rows):
        return None
    if source.tagged is not None:
        return _not_looked_for("it is found in labels of whole rows, and these are tags of words")
    if source.expected is not None:
        return _not_looked_for("it is found in classes, and these are texts")
    if embeddings is None or isinstance(embeddings, str):
        return _not_looked_for(embeddings or "there are no outputs of a network to look at")
    noise = suspected_label_noise(source.label_codes[rows], rows, embeddings, seed)
    if noise.skipped:
        return _not_looked_for(noise.skipped)
    if not len(noise.positions):
        if not noise.limits:
            return None
        message = f"no label looks wrong, {noise.limits}"
        return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), noise.positions)
    finding = about_rows(source, rows[noise.positions], KIND, "whose label looks wrong", action, place)
    limits = f", {noise.limits}" if noise.limits else ""
    finding = replace(finding, message=f"{finding.message}{limits}; all of them are in findings.csv")
    return NoiseFinding(finding, noise.positions, _suspects(source, rows[noise.positions], noise.likely, noise.sure))


def _suspects(source: Source, rows: np.ndarray, likely: np.ndarray, sure: np.ndarray) -> tuple[Suspect, ...]:
    own = source.label_codes[rows].tolist()
    found = zip(source.rows[rows].tolist(), source.descriptions(rows), own, likely.tolist(), sure.tolist(), strict=True)
    return tuple(
        Suspect(row, text, source.labels[label], source.labels[better], round(probability, 4))
        for row, text, label, better, probability in found
    )


def _not_looked_for(because: str) -> NoiseFinding:
    message = f"label noise was not looked for: {because}"
    return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), np.empty(0, np.int64))
