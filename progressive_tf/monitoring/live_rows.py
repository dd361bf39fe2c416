"""What a server has answered, and feedback on it, as rows."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.errors import InputError
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.serving.answers.texts import EXPECTED, TEXT
from progressive_tf.serving.store_schema import FORMAT, FOURTH, SECOND, ReleaseMark, read_marks, refuse_no_store

_REQUESTS = "SELECT time, version, alias, status, seconds FROM requests WHERE time >= ? AND time < ? ORDER BY id"
# Of several pieces of feedback on a prediction the newest counts; a rating says nothing of right or wrong.
_ANSWERS = """
    SELECT predictions.id, request, requests.time, requests.version, requests.alias, requests.caller, predictions.label,
           predictions.probabilities, predictions.input, feedback.label AS truth, feedback.correct,
           feedback.time AS judged_at, feedback.id AS feedback, {was_cut} AS was_cut, {abstained} AS abstained,
           {is_unknown} AS is_unknown
    FROM predictions JOIN requests ON request = requests.id
    LEFT JOIN feedback ON feedback.id = (
        SELECT max(id) FROM feedback
        WHERE prediction = predictions.id AND (label IS NOT NULL OR correct IS NOT NULL)
    )
    WHERE requests.time >= ? AND requests.time < ? ORDER BY requests.id, predictions.rowid
"""


@dataclass(frozen=True)
class LiveRows:
    """What was asked and answered during some time.

    Args:
        requests: a row each: time (seconds since 1970), version, alias, status, seconds.
        answers: a row each: id, request (its number, which rises), time, version, alias, caller (who asked, a number),
            label (what was said), probabilities (float64, one where a text was said; or None), input (by name, or None
            where it is not kept), truth (the right label, or None), right (True, False, or None where no user has
            judged it, or in a word that no version knows), unknown_words (of the right label), judged_at (seconds since
            1970), feedback (its number, which rises), was_cut (1 where a part of the text was not read, 0 where all
            was, NaN where that is not known), abstained (1 where the version did, 0 where it answered, NaN where it
            always does), is_unknown (1 where the input was like nothing its version had learnt, 0 where it was, NaN
            where the version did not say). Texts among labels and truths are texts where their input is kept, and else
            fingerprints.
        releases: where each version was released among these rows, as far as a server has noted it.
    """

    requests: pd.DataFrame
    answers: pd.DataFrame
    releases: Mapping[int, ReleaseMark] = field(default_factory=dict)

    def by(self, version: int) -> LiveRows:
        """Returns what one version was asked and answered."""
        requests, answers = (rows[rows["version"] == version] for rows in (self.requests, self.answers))
        return LiveRows(requests, answers, self.releases)

    def between(self, since: float, until: float) -> LiveRows:
        """Returns what was answered from a time on, before another."""
        requests, answers = (
            rows[(rows["time"] >= since) & (rows["time"] < until)] for rows in (self.requests, self.answers)
        )
        return LiveRows(requests, answers, self.releases)

    def mark(self, version: int) -> ReleaseMark | None:
        """Returns the last rows before a version was released; None of one from before servers noted releases."""
        if version in self.releases or version < max(self.releases, default=version + 1):
            return self.releases.get(version)
        # No server has run since it was released.
        last = (self.answers[name].max() for name in ("request", "feedback"))
        return ReleaseMark(*(0 if pd.isna(number) else int(number) for number in last))


def read_live_rows(
    path: Path,
    since: float = 0.0,
    until: float = float("inf"),
    lineage: LabelLineage = EVERY_WORD,
    version: int | None = None,
) -> LiveRows:
    """Returns what a store has kept; it may be read while a server writes it.

    Args:
        path: the store's file, see `serving.store.store_path`.
        since: seconds since 1970.
        until: the same; before it.
        lineage: the words of the model's versions, by which answers are judged.
        version: in whose words answers of other ones are given; None for each in those of the version that said it.

    Raises:
        InputError: there is no store, or it cannot be read.
    """
    refuse_no_store(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            written = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if written > FORMAT:
                raise InputError(f"{path} was written by a newer release (format {written}); update progressive-tf")
            requests = pd.read_sql_query(_REQUESTS, connection, params=[since, until])
            is_second = written >= SECOND
            columns = {
                name: f"predictions.{name}" if written >= since_format else "NULL"
                for name, since_format in (("was_cut", SECOND), ("abstained", FOURTH), ("is_unknown", FOURTH))
            }
            answers = pd.read_sql_query(_ANSWERS.format(**columns), connection, params=[since, until])
            releases = read_marks(connection) if is_second else {}
    except (sqlite3.Error, pd.errors.DatabaseError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); is it the store of a server?") from None
    answers = answers.astype(dict.fromkeys(("was_cut", "abstained", "is_unknown"), float))

    def by_row(function: Callable[..., Any], *names: str) -> pd.Series:
        values = [function(*row) for row in answers[list(names)].itertuples(index=False)]
        return pd.Series(values, answers.index, dtype=object)

    def by_kind_of_row(function: Callable[..., Any], *names: str) -> pd.Series:
        """As `by_row`, of values that can be told apart: of like rows, of which there are many, one is asked about."""
        rows = list(answers[list(names)].itertuples(index=False, name=None))
        found = {row: function(*row) for row in dict.fromkeys(rows)}
        return pd.Series([found[row] for row in rows], answers.index, dtype=object)

    # Before the values are read, since lists of tags are no keys; and nothing is unlike itself, as NaN is.
    answers["correct"] = by_row(
        lambda correct: None if correct is None or np.isnan(correct) else bool(correct), "correct"
    )
    answers["right"] = by_kind_of_row(partial(_is_right, lineage), "version", "label", "truth", "correct")
    answers["unknown_words"] = by_kind_of_row(lambda truth: lineage.strange(_value(truth)), "truth")
    if version is None:
        answers["label"] = by_row(_value, "label")
    else:
        answers["label"] = by_kind_of_row(partial(_in_words_of, lineage, version), "version", "label")
    for name in ("probabilities", "input", "truth"):
        answers[name] = by_row(_value, name)
    texts = by_row(_texts, "label", "truth", "input")
    for place, name in enumerate(("label", "truth")):
        answers[name] = pd.Series([pair[place] for pair in texts], answers.index, dtype=object)
    return LiveRows(requests, answers.drop(columns="correct"), releases)


def one_of_each_caller(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Returns one answer of each caller, drawn by the seed, in their order: what one caller asks is alike, so that no
    test may count it more than once.
    """
    drawn = answers.sample(frac=1, random_state=seed).drop_duplicates("caller").index
    return answers[answers.index.isin(drawn)]


def confidence(answers: pd.DataFrame) -> np.ndarray:
    """Returns the probability of what was said, float64 [rows]; NaN where there are no probabilities."""
    return np.array([max(stated) if stated else np.nan for stated in answers["probabilities"]], np.float64)


def _value(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else None


def _texts(label: Any, truth: Any, kept: dict[str, Any] | None) -> tuple[Any, Any]:
    """Returns label and truth, texts taken from beside the input in place of their fingerprints."""
    if not isinstance(label, dict) or kept is None:
        return label, truth
    text, expected = kept.pop(TEXT, None), kept.pop(EXPECTED, None)
    return label if text is None else text, truth if truth is None or expected is None else expected


def _is_right(lineage: LabelLineage, version: int, label: Any, truth: Any, correct: bool | None) -> bool | None:
    return lineage.is_right(version, _value(label), _value(truth)) if isinstance(truth, str) else correct


def _in_words_of(lineage: LabelLineage, version: int, number: int, label: Any) -> Any:
    return lineage.in_words_of(version, number, _value(label))
