"""Tables in memory are answered as files are, and keep their index."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from first_letter import Version

from progressive_tf.errors import InputError
from progressive_tf.scoring.frame import AskedOfFrame, answered_frame


def answered(rows: Any, version: Version | None = None, against: Version | None = None, **asked: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return answered_frame(cast(Any, version or Version()), cast(Any, against), rows, AskedOfFrame(**asked))


def test_a_frame_keeps_its_index_its_columns_and_their_types() -> None:
    index = pd.Index(["x", "y", "x"], name="key")
    frame = pd.DataFrame({"text": ["good", "bad", "gold"], "n": np.array([1, 2, 3], np.int8)}, index=index)
    table = answered(frame)
    assert list(table.columns) == ["text", "n", "predicted", "confidence", "problem"]
    assert table.index.equals(index)
    assert table["n"].dtype == np.int8
    assert table["predicted"].tolist() == ["good", "bad", "good"]
    assert table["confidence"].tolist() == [0.9, 0.8, 0.9]
    assert table["problem"].isna().all()
    assert list(answered(frame, keep=["n"], probabilities=True).columns) == [
        *("n", "predicted", "confidence", "probability/good", "probability/bad", "problem")
    ]


def test_a_row_without_an_answer_keeps_its_place_and_is_named() -> None:
    frame = pd.DataFrame({"text": ["good", None, "!", pd.NA, "?", 3]}, index=range(10, 16))
    with pytest.warns(UserWarning, match="5 rows have no answer, of 6; the first at index 11: no text in column text"):
        table = answered_frame(cast(Any, Version()), cast(Any, Version("x")), frame, AskedOfFrame(keep=[]))
    assert table.index.tolist() == list(range(10, 16))
    none = "no text in column text"
    assert table["problem"].tolist() == [
        *(None, none, "refused", none, "the version gives no finite number", none),
    ]
    assert table["predicted"].tolist() == ["good", *[None] * 5]
    assert table["differs"].tolist() == [True, *[pd.NA] * 5]
    assert table["against"].tolist() == ["bad", *[None] * 5]


@pytest.mark.parametrize("texts", [[], ["good"], ["good", ""], [""]])
def test_columns_and_types_are_the_same_whatever_the_batch(texts: Sequence[str]) -> None:
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = AskedOfFrame(probabilities=True)
        table = answered_frame(cast(Any, Version()), cast(Any, Version("b")), frame, asked)
    assert table.dtypes.astype(str).to_dict() == {
        "text": "object",
        "predicted": "object",
        "confidence": "float64",
        "probability/good": "float64",
        "probability/bad": "float64",
        "against": "object",
        "differs": "boolean",
        "problem": "object",
    }


def test_mappings_and_files_are_tables_too(tmp_path: Path) -> None:
    mappings = [{"text": "good", "id": 7}, {"text": "bad"}]
    assert answered(mappings)["predicted"].tolist() == ["good", "bad"]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, mappings)), encoding="utf-8")
    (tmp_path / "b.csv").write_text("text,id\ngood,1\none,too,many\nbad,3\n", encoding="utf-8")
    assert answered(tmp_path / "a.jsonl").columns.tolist() == [
        *("row", "text", "id", "predicted", "confidence", "problem")
    ]
    with pytest.warns(UserWarning, match="1 row has no answer, of 5"):
        table = answered_frame(
            cast(Any, Version()), None, [tmp_path / "a.jsonl", str(tmp_path / "b.csv")], AskedOfFrame(keep=["id"])
        )
    assert table[["file", "row"]].to_numpy().tolist() == [
        *(["a.jsonl", 1], ["a.jsonl", 2], ["b.csv", 1], ["b.csv", 2], ["b.csv", 3])
    ]
    assert table["predicted"].tolist() == ["good", "bad", "good", None, "bad"]
    assert "other than the header's 2 fields" in table["problem"][3]


def test_answers_are_those_of_the_command_in_its_order(tmp_path: Path) -> None:
    from progressive_tf.display import Display
    from progressive_tf.scoring.score import Asked, Scoring

    frame = pd.DataFrame({"text": ["good", "bad", "", "gold"], "id": [1, 2, 3, 4]})
    frame.to_csv(tmp_path / "in.csv", index=False)
    asked = Asked([tmp_path / "in.csv"], tmp_path / "out.csv", probabilities=True)
    Scoring(cast(Any, Version()), cast(Any, Version("b")), {}).run(asked, Display())
    written = pd.read_csv(tmp_path / "out.csv")
    with pytest.warns(UserWarning, match="1 row has no answer"):
        table = answered_frame(cast(Any, Version()), cast(Any, Version("b")), frame, AskedOfFrame(probabilities=True))
    good = table[table["problem"].isna()].drop(columns="problem").reset_index(drop=True)
    pd.testing.assert_frame_equal(good, written.drop(columns="row"), check_dtype=False)


@pytest.mark.parametrize(
    ("rows", "asked", "message"),
    [
        (pd.DataFrame({"text": ["good"], "predicted": [1]}), {}, "the rows have a column 'predicted', as the answers"),
        (pd.DataFrame({"text": ["good"], "problem": [1]}), {}, "the rows have a column 'problem', as the answers"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), {}, "rows: column 'text' stands twice"),
        (pd.DataFrame({"text": ["good"]}), {"keep": ["no"]}, "no column 'no'; there are text"),
        (pd.DataFrame({"a": [1], "b": [2]}), {}, "no column 'text'; name the column of texts"),
        (["good", "bad"], {}, "good: a folder of images or one of .csv"),
        (3, {}, "a DataFrame, mappings from column to cell, or files expected; got int; predict takes texts"),
        ([], {}, "a DataFrame, mappings from column to cell, or files expected; got list"),
    ],
)
def test_what_is_no_table_for_this_version_is_refused(rows: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        answered(rows, **asked)
