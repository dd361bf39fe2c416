"""Keys of a plan's `data` that change nothing with the sources that it names."""

from __future__ import annotations

from collections.abc import Mapping

from progressive_tf.data.named_parts import parts_named
from progressive_tf.data.source import Source
from progressive_tf.data.splits import NAMED
from progressive_tf.plan.schema import Data

# What a check of data quality looks at; the others look at rows of every kind.
CHECKED = {
    "empty_text": "texts",
    "broken_tags": "tags of words",
    "unreadable_images": "files of images",
    "odd_images": "files of images",
}


def idle_data_lines(data: Data, sources: Mapping[str, Source]) -> list[str]:
    """Returns one line about each key that a plan gives without any source heeding it.

    Args:
        data: the plan's section.
        sources: by the name that the plan gives them.
    """
    lines = []
    for key, words in CHECKED.items():
        asked = key in data.quality.model_fields_set and getattr(data.quality, key) is not None
        if asked and not any(key in source.checks for source in sources.values()):
            lines.append(f"no effect: data.quality.{key}: it is about {words}, and these rows are none")
    if "min_per_class" in data.split.model_fields_set and data.split.min_per_class:
        reason = (
            "the split is not stratified"
            if not data.split.stratify
            else "with data.gate_refresh each row's part is drawn by itself"
            if data.gate_refresh is not None
            else None
            if any(source.truth.in_classes for source in sources.values())
            else "rows are of no class"
        )
        if reason is not None:
            lines.append(f"no effect: data.split.min_per_class: {reason}")
    column = data.split.column
    having = [source for source in sources.values() if column is None or column in source.column_names]
    said = [(source.name, parts_named(source, data.split)) for source in having]
    for part, code in NAMED.items():
        if part not in data.split.model_fields_set:
            continue
        rows = [(name, int((parts == code).sum())) for name, parts in said if parts is not None]
        if len(rows) == len(sources) and all(count for _, count in rows):
            name, count = rows[0]
            reason = (
                f"{name} has a published {part} part, {count:,} rows, which is kept"
                if column is None
                else f"column {column!r} of {name} says which rows it has, {count:,}"
            )
            lines.append(f"no effect: data.split.{part}: {reason}")
    return lines
