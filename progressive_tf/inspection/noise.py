"""Labels that look wrong, before there is a network: cleanlab on words, or on the columns of a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from progressive_tf.data.noise_finding import MOST_ROWS, NoiseSearch, find_noise
from progressive_tf.data.tables import read_tables
from progressive_tf.data.word_vectors import word_vectors
from progressive_tf.errors import InputError
from progressive_tf.inspection.found import Found, RowFinding, count_rows
from progressive_tf.inspection.subject import Subject

FEWEST = 50  # rows
MOST = 0.25  # share of rows: where more look wrong, it is not the labels that are
SURE = 0.5  # probability of the other label from which on it is suggested


def label_noise(subject: Subject) -> Iterator[Found | str]:
    """Yields rows whose label looks wrong beside those of others with the same words, or the same cells.

    A run looks again, at the outputs of its network, which know more.
    """
    source = subject.source
    if source.truth.no_noise or len(source) < FEWEST:
        return
    kind = source.input_kind
    try:
        if kind.has_columns:
            source = read_tables({subject.path: source}, subject.data)[subject.path]
    except InputError:
        return  # which is said elsewhere
    by, embeddings = ("its cells", _of_cells) if kind.has_columns else ("its words", _of_texts)
    if kind.is_file:
        yield "label noise was not looked for: a run does, by the outputs of its network"
        return
    kept = subject.rows[~source.empty]
    read = replace(subject, source=source)
    search = NoiseSearch(lambda rows: embeddings(read, rows), seed=0)
    noise = find_noise(source, kept, "warn", search)
    if noise is None:
        return
    if not noise.suspects:
        yield noise.finding.message
        return
    if len(noise.suspects) > MOST * min(len(kept), MOST_ROWS):
        yield (
            f"label noise: {by} tell too little of labels to say which are wrong ({len(noise.suspects):,} of "
            f"{min(len(kept), MOST_ROWS):,} would be); a run looks by the outputs of its network"
        )
        return
    message = noise.finding.message.removesuffix("; all of them are in findings.csv")
    rows = tuple(
        RowFinding(
            subject.line(suspect.row),
            f"label {suspect.label!r} looks wrong by {by}",
            f"{suspect.likely!r} fits better (probability {suspect.probability:.2f})"
            if suspect.probability >= SURE
            else "look at it; no other label surely fits better",
        )
        for suspect in noise.suspects
    )
    message = f"{count_rows(len(rows))} {message.partition(' ')[2].partition(' ')[2]}, judged by {by} alone"
    yield Found(subject.name, "label_noise", "warning", message, "a hint: read the rows before you change one", rows)


def _of_texts(subject: Subject, rows: np.ndarray) -> np.ndarray:
    """Returns texts as float32 [rows, width], by their words and pairs of them."""
    texts = subject.source.descriptions(rows)
    vectors = word_vectors(texts, 0, ngram_range=(1, 2), max_features=50_000)
    # A logistic regression needs numbers of about the size of 1.
    return np.sqrt(vectors.shape[1]) * vectors.astype(np.float32)


def _of_cells(subject: Subject, rows: np.ndarray) -> np.ndarray:
    """Returns cells as float32 [rows, width]: numbers with mean 0 and variance 1, categories one-hot."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.preprocessing import StandardScaler

    table = subject.source.table
    assert table is not None
    numbers = set(table.columns.numbers)
    records = [
        {
            name: float(cell) if name in numbers else cell
            for name, cell in zip(table.columns.names, cells, strict=True)
            if cell
        }
        for cells in subject.source.cells(rows)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = DictVectorizer(sparse=False).fit_transform(records)
        return StandardScaler().fit_transform(matrix).astype(np.float32)[:, :1_000]
