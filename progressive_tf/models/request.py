"""What a builder is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics


@dataclass(frozen=True)
class Request:
    """What a network is to be, in the words of a plan and its data.

    Attributes:
        model: the plan's model section.
        labels: class names in the order of the logits.
        seed: the plan's seed; everything random in the network follows from it.
        folder: where relative paths in the plan start from.
        pooling: "mean" over positions, or "pooler" for BERT's own layer over [CLS].
        input_width: numbers in a row of the data; None for texts, images and tables.
        image_size: height and width of images in pixels.
        crf: whether a tagger learns which tags follow one another.
        statistics: of a table's columns, for `TablePreprocessing`; None where the data is no table.
    """

    model: Any
    labels: Sequence[str]
    seed: int = 0
    folder: Path = Path()
    pooling: str = "mean"
    input_width: int | None = None
    image_size: int = 224
    crf: bool = False
    statistics: ColumnStatistics | None = None
