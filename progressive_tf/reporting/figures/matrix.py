"""Matrices as heat maps: the R matrix and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import sparse

from progressive_tf.evaluation.records import Matrix
from progressive_tf.reporting.figures.canvas import WIDTH, clear_frame, colour, draw, shorten, shorten_all
from progressive_tf.reporting.wording import decimals as digits
from progressive_tf.reporting.wording import highest, metric_words

# One hue from light to dark: order is visible without colour vision. The lightest is not the page's own colour.
BLUES = LinearSegmentedColormap.from_list("blues", ["#e3eef8", "#9cc4e4", "#4a90c8", "#14598f", "#0a3157"])
LIGHT_TEXT, DARK_TEXT = "#ffffff", "#10202f"
MOST_NUMBERED_CLASSES = 12
MOST_NAMED_CLASSES = 40
SHOWN_OF_MANY_CLASSES = 20  # of more than that
MOST_LETTERS_ACROSS = 40  # of column names that stand side by side


def accuracy_matrix(name: str, part: str, matrix: Matrix, first: str = "untrained") -> Markup:
    """Returns the R matrix of one part: a row before all stages and one after each, a column for each stage's rows.

    Args:
        name: prefix of the figure's ids.
        part: gate or test.
        matrix: of one metric.
        first: what the row before all stages is called.
    """
    stages, cells = matrix.stages, matrix.cells(part)
    metric, decimals = metric_words(matrix.metric), digits(matrix.metric)
    rows = [first, *(f"after {shorten(stage, 12)}" for stage in stages)][: len(cells)]
    values = np.array(
        [[np.nan if cell is None else cell for cell in _padded(row, len(stages))] for row in cells], dtype=float
    )
    described = "; ".join(
        f"{label}: {', '.join('none' if np.isnan(cell) else f'{cell:.{decimals}f}' for cell in row)}"
        for label, row in zip(rows, values, strict=True)
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        # Less than a fiftieth of the largest value there can be makes little difference in colour.
        most = highest(matrix.metric)
        room = max(high - low, 0.02 * most if np.isfinite(most) else 0.0) or 1.0
        texts = [["" if np.isnan(cell) else f"{cell:.{decimals}f}" for cell in row] for row in values]
        _cells(axes, (values - low + 0.1 * room) / (1.2 * room), texts)
        columns = [shorten(stage, 12) for stage in stages]
        crowded = max(map(len, columns)) * len(columns) > MOST_LETTERS_ACROSS
        _ticks(axes, columns, rows, upright=crowded)
        axes.set_xlabel(f"{metric} on the {part} rows of")
        axes.xaxis.set_label_position("top")

    height = 0.9 + 0.42 * len(rows)
    return draw(name, f"R matrix on {part} rows, {metric}. {described}", paint, height=height)


def others_of(classes: int) -> int:
    """Returns how many of so many classes stand together in the confusion matrix."""
    return classes - SHOWN_OF_MANY_CLASSES if classes > MOST_NAMED_CLASSES else 0


def confusion_matrix(name: str, stage: str, labels: Sequence[str], counts: np.ndarray | sparse.csr_array) -> Markup:
    """Returns the confusion matrix, coloured by the share of each true label's rows.

    Of more than forty classes it shows the twenty with the most errors, and the others together, last.

    Args:
        name: prefix of the figure's ids.
        stage: the stage's name.
        labels: class names, in the order of `counts`.
        counts: int [labels, labels]; row: true label, column: predicted label.
    """
    right, rows = int(counts.trace()), int(counts.sum())
    others = others_of(len(labels))
    labels, counts = _with_most_errors(labels, sparse.coo_array(counts), others)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    numbered = len(labels) <= MOST_NUMBERED_CLASSES

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        texts = [
            [_count_and_share(count, share, len(labels)) for count, share in zip(*row, strict=True)]
            for row in zip(counts, shares, strict=True)
        ]
        _cells(axes, shares, texts if numbered else None)
        shown = shorten_all(labels, 14)
        size = 10 if numbered else 8 if len(labels) <= SHOWN_OF_MANY_CLASSES + 1 else 6
        _ticks(axes, shown, shown, size=size, upright=len(labels) > 4)
        axes.set_xlabel("predicted")
        axes.xaxis.set_label_position("top")
        axes.set_ylabel("true")

    size = min(1.4 + 0.75 * len(labels), WIDTH) if numbered else WIDTH
    description = f"Confusion matrix of stage {stage}: {right} of {rows} test rows are right"
    if others:
        description += f"; the {len(labels) - 1} classes with the most errors, and {others} others together"
    return draw(name, description, paint, height=max(size - 0.6, 2.2))


def _with_most_errors(labels: Sequence[str], counts: sparse.coo_array, others: int) -> tuple[Sequence[str], np.ndarray]:
    """Returns the labels that are shown, in their order, and int [shown, shown]; the last stands for the others."""
    if not others:
        return labels, counts.toarray()
    truth, predicted = counts.row, counts.col
    wrong = truth != predicted
    ends, times = np.concatenate([truth[wrong], predicted[wrong]]), np.tile(counts.data[wrong], 2)
    errors = np.bincount(ends, times, minlength=len(labels))
    shown = np.sort(np.argsort(-errors, kind="stable")[: len(labels) - others])
    place = np.full(len(labels), len(shown))
    place[shown] = np.arange(len(shown))
    few = np.zeros([len(shown) + 1] * 2, np.int64)
    np.add.at(few, (place[truth], place[predicted]), counts.data)
    return [*(labels[label] for label in shown), f"{others:,} others"], few


def _cells(axes: Axes, shades: np.ndarray, texts: list[list[str]] | None) -> None:
    height, width = shades.shape
    gap = 0.03 if width <= MOST_NUMBERED_CLASSES else 0.0
    for row in range(height):
        for column in range(width):
            corner = (column - 0.5 + gap, row - 0.5 + gap)
            shade = shades[row, column]
            missing = bool(np.isnan(shade))
            face = colour("soft") if missing else to_hex(BLUES(float(np.clip(shade, 0, 1))))
            hatch = "////" if missing else None
            text = LIGHT_TEXT if shade > 0.5 else DARK_TEXT
            size = 1 - 2 * gap
            axes.add_patch(
                Rectangle(corner, size, size, facecolor=face, hatch=hatch, edgecolor=colour("muted"), linewidth=0)
            )
            if texts is not None:
                axes.text(column, row, texts[row][column], ha="center", va="center", color=text)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    clear_frame(axes)


def _ticks(axes: Axes, columns: Sequence[str], rows: Sequence[str], size: int = 10, upright: bool = False) -> None:
    rotation = 90 if upright else 0
    axes.set_xticks(range(len(columns)), columns, fontsize=size, rotation=rotation)
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=colour("ink"))


def _padded(row: Sequence[float | None], length: int) -> list[float | None]:
    return [*row[:length], *[None] * (length - len(row))]


def _count_and_share(count: int, share: float, classes: int) -> str:
    return f"{count:,}\n{share:.0%}" if classes <= 5 else f"{count:,}"
