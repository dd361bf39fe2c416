"""Sources of pairs of texts: what is read, what is found wrong with them, and how they are divided."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from progressive_tf.data.quality import QualityReport, examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Data, Split
from progressive_tf.plan.tasks import TASKS

PAIRS = [("one", "eins"), ("two", "zwei"), ("Two!", "zwo"), ("ONE", "eins"), ("", "nichts"), ("three", " drei ")]
OFF = dict.fromkeys(Quality.model_fields)


def write(folder: Path, name: str, pairs: list[tuple[str, str]] = PAIRS) -> str:
    table = pd.DataFrame(pairs, columns=["text", "target"]).assign(length=[len(target) for _, target in pairs])
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")), encoding="utf-8")
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return name


def read(folder: Path, name: str, task: str = "translation") -> Source:
    return read_source(name, Data(source=name), base=folder, cache=folder / "cache", task=TASKS[task])


def report(source: Source, **actions: str | None) -> QualityReport:
    quality = Quality(**OFF | actions)  # type: ignore[arg-type]
    no_keys = np.empty(0, np.uint64)
    return examine(source, np.arange(len(source)), quality, no_keys)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_every_file_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    source = read(tmp_path, write(tmp_path, name))
    every = range(len(PAIRS))
    assert list(zip(source.inputs(every), source.expected(every), strict=True)) == PAIRS
    assert (source.kind, source.labels) == ("texts", ("pair",))
    assert source.column_names == ["length", "target", "text"]
    assert np.flatnonzero(source.query("target == 'eins' and length < 9", "where")).tolist() == [0, 3]
    assert np.flatnonzero(source.query("text == 'two'", "where")).tolist() == [1]


def test_a_file_can_be_read_as_pairs_and_as_classes(tmp_path: Path) -> None:
    name = write(tmp_path, "a.csv")
    assert read(tmp_path, name).expected([0]) == ["eins"]
    classes = read_source(name, Data(source=name, label="target"), base=tmp_path, cache=tmp_path / "cache")
    assert (classes.kind, len(classes.labels)) == ("texts", 5)


def test_other_targets_of_the_same_text_are_conflicts_and_the_same_are_repeats(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, "a.csv"))
    (conflict,) = report(source, conflicting_labels="warn").findings
    assert conflict.rows == (2, 3)
    assert conflict.message == "2 rows whose text also has another expected text"
    assert conflict.examples == ("two → zwei", "Two! → zwo")
    repeats = report(source, duplicates="drop")
    assert repeats.findings[0].message == "1 row that repeats an earlier row's text and expected text; dropped"
    assert repeats.kept.tolist() == [0, 1, 2, 4, 5]
    (empty,) = report(source, empty_text="drop").findings
    assert empty.rows == (5,)


def test_nothing_is_said_of_classes_that_are_not_there(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, "a.csv"))
    (noise,) = report(source, label_noise="warn", class_imbalance="fail", too_few_per_class="fail").findings
    assert noise.message == "label noise was not looked for: it is found in classes, and these are texts"


def test_a_group_is_divided_as_a_whole(tmp_path: Path) -> None:
    pairs = [(f"{language} {number}", f"word {number}") for number in range(40) for language in ("en", "de")]
    table = pd.DataFrame(pairs, columns=["text", "target"]).assign(
        number=[number for number in range(40) for _ in "ab"]
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    source = read(tmp_path, "a.csv")
    parts = fixed_parts(source, Split(validation=8, gate=20, test=20, group="number"))
    where = {int(row): name for name in ("validation", "gate", "test", "pool") for row in getattr(parts, name)}
    assert len(where) == len(pairs)
    assert all(where[2 * number] == where[2 * number + 1] for number in range(40))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,target\none,\n", r"a.csv: .*empty expected text \(column 'target'\)"),
        ("text,label\none,eins\n", r"a.csv: unknown column 'target'"),
        ("text,target\n", r"a.csv: the file has no rows below its header"),
    ],
)
def test_what_cannot_be_pairs_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path, "a.csv")
    with pytest.raises(InputError, match=r"data.source: sample-reviews is .*; expected pairs of texts"):
        read(tmp_path, "sample-reviews")
    with pytest.raises(InputError, match=r"data.source: sample-numbers is .*; expected labelled rows"):
        read(tmp_path, "sample-numbers", "text-classification")
