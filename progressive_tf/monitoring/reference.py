"""What live rows are compared with: what the released stage said about its own gate rows, or earlier live rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.errors import InputError
from progressive_tf.files import read_json
from progressive_tf.monitoring.live_rows import LiveRows, confidence, one_of_each_caller
from progressive_tf.registry import Version
from progressive_tf.serving.answers import served_answers

PREDICTIONS, METRICS = "predictions.parquet", "metrics.json"
GROUP = "group"
WORDS = "tokens"  # the words of a sentence, here and where a server is asked with them


@dataclass(frozen=True)
class Rows:
    """One side of a comparison, of rows that are independent of each other.

    Args:
        name: of what it is, in words.
        inputs: by name, of the rows that have any.
        answers: of each row: a label, tags, or a text; a fingerprint of one that is not kept.
        confidence: float64 [rows], NaN where unknown.
        judged: of the rows where both are known, confidence, float64, and whether the answer was right, bool.
        unknown: whether a row was like nothing the version had learnt, bool [rows that it says so of], in any order.
    """

    name: str
    inputs: Sequence[Mapping[str, Any]]
    answers: Sequence[Any]
    confidence: np.ndarray
    judged: tuple[np.ndarray, np.ndarray]
    unknown: np.ndarray = field(default_factory=lambda: np.empty(0, bool))


def rows_of_live(live: LiveRows, name: str, seed: int) -> Rows:
    """Returns live answers as one side, of each caller one that the seed draws: of those whose input is kept, of those
    that are judged, and of all.
    """
    answers = live.answers
    is_judged = answers["right"].notna() & np.isfinite(confidence(answers))
    asked, judged, said = (
        one_of_each_caller(rows, seed) for rows in (answers[answers["input"].notna()], answers[is_judged], answers)
    )
    right = judged["right"].to_numpy().astype(bool)
    unknown = said["is_unknown"].dropna().to_numpy() > 0
    return Rows(name, list(asked["input"]), list(said["label"]), confidence(said), (confidence(judged), right), unknown)


def rows_of_stage(folder: Path, version: Version, text_name: str, slices: Sequence[str]) -> Rows | None:
    """Returns what the stage of a version answered to gate rows; None where its record is not there or no reference.

    The record has rows of every slice of the plan, those of later stages too, which may come at any time; those of the
    released stages are what it was released for. A row that stands in several is taken once. Of images and rows of a
    table it has only what a person can read, which is no input.

    Args:
        folder: of the stage in its run.
        version: that came of the stage.
        text_name: under which name a server gets the texts.
        slices: whose rows.

    Raises:
        InputError: the record is damaged.
    """
    path, task = folder / PREDICTIONS, version.task
    kind = served_answers(task.answers)
    right, stated = kind.truth_column, kind.confidence_column
    if right is None or not path.is_file():
        return None
    try:
        words, groups = ([name] if name in pq.read_schema(path).names else [] for name in (WORDS, GROUP))
        wanted = ["part", "slice", "source", "index", "text", "predicted", right, *words, *groups]
        rows = pq.read_table(path, columns=[*wanted, *([] if stated is None else [stated])]).to_pandas()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); compare with earlier live rows: --reference live"
        ) from None
    rows = rows[rows["slice"].isin(slices)].drop_duplicates(["part", "source", "index"])
    gate, test = (rows[rows["part"] == part] for part in ("gate", "test"))
    rows = one_of_each_group(as_often_as(gate, test, right) if kind.has_categories and not words else gate)
    inputs = [{text_name: text} for text in rows["text"] if text] if INPUT_KINDS[task.inputs].is_text else []
    inputs += [{WORDS: _plain(sentence)} for name in words for sentence in rows[name] if len(sentence)]
    answers, expected = ([_plain(value) for value in rows[name]] for name in ("predicted", right))
    sure = np.array([np.nan] * len(rows) if stated is None else [_confidence(value) for value in rows[stated]], float)
    is_right = np.array([one == other for one, other in zip(expected, answers, strict=True)], bool)
    known = np.isfinite(sure)
    return Rows(
        f"{len(rows):,} gate rows of stage {version.stage}, version {version.number}",
        inputs,
        answers,
        sure,
        (sure[known], is_right[known]),
        _unknown(folder / METRICS),
    )


def one_of_each_group(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row of each group, drawn, in their order: those of one author are alike, and count once."""
    if GROUP not in rows:
        return rows
    drawn = rows.sample(frac=1, random_state=0)
    kept = drawn.index[drawn[GROUP].isna() | ~drawn[GROUP].duplicated()]
    return rows[rows.index.isin(kept)]


def as_often_as(gate: pd.DataFrame, test: pd.DataFrame, label: str) -> pd.DataFrame:
    """Returns gate rows without those that rare classes have more of than their share, drawn, in their order.

    `data.split.min_per_class` gives rare classes gate rows that they have not as often in life; test rows have each
    class as often as it comes. What is usual is told by the most frequent classes, which have half of the test rows.
    """
    often = test[label].value_counts()
    most = often.index[: int((often.to_numpy().cumsum() < len(test) / 2).sum()) + 1]
    if not len(test):
        return gate
    share = gate[label].isin(most).sum() / often[most].sum()
    expected = gate[label].map(often).fillna(0) * share
    drawn = gate.sample(frac=1, random_state=0)
    place = drawn.groupby(label).cumcount().reindex(gate.index)
    has_more = gate.groupby(label)[label].transform("size") > np.ceil(expected) + 1
    return gate[~has_more | (place < np.round(expected))]


def _unknown(path: Path) -> np.ndarray:
    """Returns whether each gate row of a stage was unknown, bool [rows], in any order; nothing where none says so."""
    recorded = read_json(path).get("unknown_inputs") if path.is_file() else None
    if not recorded:
        return np.empty(0, bool)
    rows, share = recorded["gate"]["n"], recorded["gate"]["value"]
    return np.arange(rows) < round(share * rows)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return float(value) if isinstance(value, float | np.number) else str(value)


def _confidence(stated: Any) -> float:
    """Returns the probability of what was said: the highest of all classes, or that of a text; NaN for none."""
    probabilities = np.atleast_1d(np.array(np.nan if stated is None else stated, float))
    return float(probabilities.max()) if len(probabilities) else np.nan
