"""What became of the labels of a released version in those that were released after it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.registry.versions import ModelVersions


def labels_of(versions: ModelVersions, number: int) -> tuple[str, ...]:
    """Returns the labels of a version, in the order of its outputs; none where its manifest is lost."""
    return tuple((versions.version(number).manifest() or {}).get("labels", ()))


def label_step(versions: ModelVersions, number: int, parent: int) -> LabelMap | None:
    """Returns what became in a version of its parent's labels; None where they are others, and nothing says why."""
    older, labels = labels_of(versions, parent), labels_of(versions, number)
    before = (versions.version(number).manifest() or {}).get("labels_before")
    if before is not None and before["version"] == parent:
        return LabelMap(older, labels, {old: tuple(news) for old, news in before["labels"].items()})
    return LabelMap.unchanged(older, labels) if older == labels[: len(older)] else None


def earlier_words(versions: ModelVersions, number: int) -> Mapping[str, tuple[str, ...]]:
    """Returns each label of a version's ancestors → what the version calls it.

    Several where it was split, none where it was retired. A word that two ancestors had is the later one's.
    """
    words: dict[str, tuple[str, ...]] = {}
    labels = labels_of(versions, number)
    found = LabelMap.unchanged(labels, labels)
    for at, parent in pairwise(versions.lineage(number)):
        step = label_step(versions, at, parent)
        if step is None:
            break
        found = step.then(found)
        words = {**found.of, **words}
    return words
