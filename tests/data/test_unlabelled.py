"""Sources of which no label is read: they need what rows are made of, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from progressive_tf.data.source import Source, SourceReader
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS

TEXTS = ["what is it", "Is it?", "", "who"]


def read(folder: Path, name: str, task: str = "text-classification", labelled: bool = False, **keys: str) -> Source:
    data = Data(source=name, **keys)  # type: ignore[arg-type]
    return SourceReader(data, TASKS[task], folder, folder / "cache").read(name, "unknown", None, labelled)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("further", [{}, {"label": ["a", "", "b", "c"], "stars": [1, 2, 3, 4]}])
def test_texts_need_their_column_alone_and_a_column_of_labels_says_nothing(
    tmp_path: Path, suffix: str, further: dict[str, list[object]]
) -> None:
    frame, path = pd.DataFrame({"text": TEXTS, **further}), tmp_path / f"rows{suffix}"
    records = frame.to_dict("records")
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), path)
    elif suffix.startswith(".json"):
        whole = json.dumps(records) if suffix == ".json" else "\n".join(map(json.dumps, records))
        path.write_text(whole, encoding="utf-8")
    else:
        frame.to_csv(path, sep="," if suffix == ".csv" else "\t", index=False)
    source = read(tmp_path, path.name)
    rows = np.flatnonzero(~source.empty)
    assert source.texts(rows) == [text for text in TEXTS if text]
    assert set(source.label_codes.tolist()) == {0}
    with pytest.raises(InputError):
        read(tmp_path, path.name, labelled=True)


def test_vectors_and_images_are_read_without_their_class(tmp_path: Path) -> None:
    digits = read(tmp_path, "digits", "tabular-classification")
    assert (len(digits), digits.width, set(digits.label_codes.tolist())) == (1797, 64, {0})
    for place, name in enumerate(("odd", "more")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        pixels = np.random.default_rng(place).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name / "one.png")
    (tmp_path / "table.csv").write_text("image\npictures/odd/one.png\n", encoding="utf-8")
    assert len(read(tmp_path, "pictures", "image-classification")) == 2
    assert len(read(tmp_path, "table.csv", "image-classification")) == 1


def test_a_missing_column_of_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("question\nwho\n", encoding="utf-8")
    with pytest.raises(InputError, match="text"):
        read(tmp_path, "rows.csv")
