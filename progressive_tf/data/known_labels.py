"""Which labels a source may have: those that the plan names, and at least two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from progressive_tf.data.label_spelling import folded
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.errors import InputError, listed
from progressive_tf.plan.label_rules import CASEFOLD
from progressive_tf.plan.schema import Data

if TYPE_CHECKING:
    from progressive_tf.data.source import Source


def with_known_labels(source: Source, data: Data) -> Source:
    """Returns a source with the labels that the plan names, in its order; with those found where it names none.

    Raises:
        InputError: a row has another label, or all have the same.
    """
    if not source.class_names or source.tagged is not None:
        return source
    if data.labels is not None:
        return _with_labels(source, data.labels)
    if len(source.labels) < 2:
        raise InputError(
            f"{source.name}: every row is labelled {source.labels[0]!r}; a classifier needs at least two classes"
        )
    return source


def _with_labels(source: Source, labels: tuple[str, ...]) -> Source:
    positions = np.array([labels.index(label) if label in labels else -1 for label in source.labels], np.int32)
    codes = positions[source.label_codes]
    problems = Problems(source.name)
    meant = {folded(label): label for label in labels}
    unknown = [label for label, position in zip(source.labels, positions, strict=True) if position < 0]
    near = next((label for label in unknown if folded(label) in meant), None)
    advice = f"data.labels has {listed(labels, 20)}"
    if near is not None:
        advice += f"; {near!r} is {meant[folded(near)]!r} written in another way: set data.normalize_labels: {CASEFOLD}"
    for index in np.flatnonzero(codes < 0).tolist():
        found = source.labels[source.label_codes[index]]
        row = int(source.rows[index])
        problems.add("label outside data.labels", row, None, shorten(found), advice=advice)
    problems.raise_if_any()
    return replace(source, labels=labels, label_codes=codes)
