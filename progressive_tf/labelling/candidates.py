"""Inputs that could be asked about: what callers sent, as a server kept it, or rows of files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.alike_rows import near_pairs
from progressive_tf.data.cells import cell_text
from progressive_tf.data.near_duplicates import fold_number, hash_number
from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed
from progressive_tf.monitoring.live_rows import LiveRows
from progressive_tf.monitoring.next_stage import as_columns
from progressive_tf.scoring.output import PROBABILITY
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.reading import TEXT, Reading
from progressive_tf.scoring.table import BadRows, Row, read_rows
from progressive_tf.scoring.unread import Unread

# Of more, so many are drawn by the seed.
MOST = 20_000
ROWS_AT_ONCE, BATCH = 2_048, 64
Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """An input.

    Attributes:
        cells: what it is, by column; of a text the only one.
        value: the same as a version reads it.
        key: in [0, 2**64), equal for inputs that count as the same.
        caller: who sent it; None where that is not known.
        judged: whether a user has said of it what is right; such an input is asked about by chance only.
    """

    cells: Cells
    value: Any
    key: int
    caller: int | None = None
    judged: bool = False

    @property
    def words(self) -> str:
        """What a person reads."""
        cells = list(self.cells.items())
        return str(cells[0][1]) if len(cells) == 1 else ", ".join(f"{name}={value}" for name, value in cells)


@dataclass
class Candidates:
    """Inputs that could be asked about, and what is not asked about: why → how many."""

    kept: list[Candidate] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def key_of(cells: Cells) -> int:
    """Returns a number in [0, 2**64) that is equal for inputs which count as the same.

    They are texts, but for case, spaces and punctuation, or the cells of a row.
    """
    if len(cells) == 1:
        return fold_number(str(next(iter(cells.values()))))
    texts = {name: cell_text(value) for name, value in cells.items()}
    return hash_number(json.dumps(texts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def from_log(live: LiveRows, predictor: Predictor, text: str) -> Candidates:
    """Returns what callers sent; what is judged anywhere counts as judged wherever it was sent.

    What is judged is there too: users judge mostly what was wrong, so that a draw without it is easier than what
    callers ask.

    Args:
        live: what a server has kept.
        predictor: the version that is to answer.
        text: how the column of texts is called.
    """
    found = Candidates()
    names = predictor.columns or None
    answers = live.answers
    read = [_cells(given, text, names) for given in answers["input"]]
    judged = {
        key_of(cells)
        for cells, right in zip(read, answers["right"], strict=True)
        if cells is not None and right is not None
    }
    for given, cells, caller in zip(answers["input"], read, answers["caller"], strict=True):
        if given is None:
            found.left_out["have no input; serve with --log-inputs"] += 1
        elif cells is None:
            found.left_out["have an input that is no text, or not the columns that the version reads"] += 1
        else:
            value, key = cells if names else cells[text], key_of(cells)
            who = None if pd.isna(caller) else int(caller)
            found.kept.append(Candidate(cells, value, key, who, key in judged))
    return found


def _cells(given: Any, text: str, names: Sequence[str] | None) -> dict[str, Any] | None:
    """Returns an input that a server kept by column; None where it is nothing that a version of this kind reads."""
    if not isinstance(given, Mapping):
        return None
    if names is None:
        value = next(iter(given.values()), None)
        return {text: value} if isinstance(value, str) and value.strip() else None
    try:
        return as_columns(given, text, names)
    except (KeyError, ValueError):
        return None


def from_files(files: Sequence[Path], predictor: Predictor, asked: str | None, usual: Sequence[str]) -> Candidates:
    """Returns the rows of files, read as `predict` reads them; labels that they may have are not looked at.

    Args:
        files: at least one.
        predictor: the version that is to answer.
        asked: the column of texts; None for the usual one.
        usual: what it is usually called.

    Raises:
        InputError: a file cannot be read, or the version cannot read such rows.
    """
    found, rows, bad = Candidates(), list[tuple[str, Row]](), list[str]()
    for path in files:
        problems = BadRows(path.name)
        rows += [(path.name, row) for row in read_rows(path, problems)]
        bad += [f"{path.name}, row {row.number}: {row.problem}" for row in problems.kept]
    columns = list(dict.fromkeys(name for _, row in rows for name in row.cells))
    if not rows:
        first = f"; the first: {bad[0]}" if bad else ""
        raise InputError(f"{listed([path.name for path in files])}: no row can be read{first}")
    column = asked or next((name for name in usual if name in columns and not predictor.columns), None)
    reading = Reading.of(predictor, columns, column)
    called = (usual or [TEXT])[0]
    for name, row in rows:
        try:
            value = reading.value(row)
        except ValueError as error:
            bad.append(f"{name}, row {row.number}: {error}")
            continue
        cells = dict(value) if isinstance(value, Mapping) else {called: value}
        found.kept.append(Candidate(cells, value, key_of(cells)))
    if bad:
        found.left_out[f"cannot be read; the first: {bad[0]}"] += len(bad)
    return found


def worth_asking(found: Candidates, known: np.ndarray, seed: int) -> Candidates:
    """Returns inputs that have no label yet, each once, and at most `MOST` of them.

    Args:
        found: all of them.
        known: uint64, keys of inputs that have a label, or are being asked about.
        seed: of the draw.
    """
    left, out = list[Candidate](), Counter(found.left_out)
    seen, labelled = set[int](), set(known.tolist())
    for candidate in found.kept:
        if candidate.key in labelled:
            out["have a label, or were asked about"] += 1
        elif candidate.key in seen:
            out["stand more than once"] += 1
        else:
            left.append(candidate)
        seen.add(candidate.key)
    if len(left) > MOST:
        drawn = np.sort(np.random.default_rng(seed).choice(len(left), MOST, replace=False))
        out[f"are beyond the {MOST:,} that are drawn by the seed"] += len(left) - MOST
        left = [left[place] for place in drawn.tolist()]
    # Rows of a table that share most cells may differ in the one that matters.
    texts = [candidate.value for candidate in left if isinstance(candidate.value, str)]
    near = {second for _, second in near_pairs(texts)} if len(texts) == len(left) else set()
    if near:
        out["have nearly the same words as another"] += len(near)
        left = [candidate for place, candidate in enumerate(left) if place not in near]
    return Candidates(left, out)


def probabilities_of(candidates: Sequence[Candidate], predictor: Predictor, display: Display) -> np.ndarray:
    """Returns what a version answers, the probabilities of its classes, float64 [candidates, classes]."""
    parts = []
    with display.task("answering", len(candidates)) as tell:
        for begin in range(0, len(candidates), ROWS_AT_ONCE):
            chunk = candidates[begin : begin + ROWS_AT_ONCE]
            table = predictor.answer([candidate.value for candidate in chunk], None, BATCH, Unread())
            stated = [name for name in table.columns if name.startswith(PROBABILITY)]
            parts.append(table[stated].to_numpy(np.float64))
            tell(begin + len(chunk))
    return np.concatenate(parts)
