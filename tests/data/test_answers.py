"""A kind of answer that is not in the package: read by the table, and never taken for classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from progressive_tf.data.answers import TRUTHS, Truth
from progressive_tf.data.class_space import UsedRows, class_space
from progressive_tf.data.quality import examine
from progressive_tf.data.settled_labels import settle_labels
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.source_lines import source_lines
from progressive_tf.data.splits import fixed_parts
from progressive_tf.data.store import Store
from progressive_tf.data.tables import read_tables
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.plan.schema import Data, Split
from progressive_tf.plan.tasks import Task

NUMBERS = AnswerKind("numbers", {}, ("error",))
PRICES = Task("prices", "columns", NUMBERS, "features", "label", ("mlp",))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class NumberTruth(Truth):
    form = "numbers"
    word = "number"

    def values(self, store: Store, indices: Iterable[int]) -> list[Any]:
        return list(map(float, super().values(store, indices)))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setitem(TRUTHS, "numbers", NumberTruth)
    rows = {"size": np.arange(60) % 50, "label": np.arange(60) % 50 / 4}
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    data = Data(source="a.csv")
    read = SourceReader(data, PRICES, tmp_path, tmp_path / "cache").read("a.csv")
    return read_tables({"a.csv": read}, data)["a.csv"]


def test_numbers_are_no_classes(source: Source) -> None:
    assert source.expected([2, 1]) == [0.5, 0.25]
    assert np.flatnonzero(source.query("label == '0.25'", "where")).tolist() == [1, 51]
    settled = settle_labels({"a.csv": source}, Data(source="a.csv", labels=("a", "b"), normalize_labels="casefold"))
    assert settled.findings == ()
    parts = fixed_parts(source, Split(validation=0.2, gate=0.2, test=0.2))
    assert len(parts.gate) == len(parts.test) == 12
    assert source_lines([source]) == ["columns of a.csv: numbers: size"]


def test_what_concerns_all_answers_is_found_and_nothing_of_classes(source: Source) -> None:
    quality = Quality(duplicates="warn", class_imbalance="fail", too_few_per_class="fail", label_noise="fail")
    findings = examine(source, np.arange(60), quality, np.empty(0, np.uint64)).findings
    assert [finding.message for finding in findings] == [
        "10 rows that repeat an earlier row's row of values and number",
        "label noise was not looked for: it is found in classes, and these are values",
    ]
    assert findings[0].examples[0] == "size=0 → 0.0"


def test_a_network_has_one_output_in_every_stage(source: Source) -> None:
    plan: Any = SimpleNamespace(data=Data(source="a.csv"), scenario="class-incremental")
    used = [UsedRows(name, "a.csv", np.arange(9), None, "") for name in ("one", "two")]
    space = class_space(plan, {"a.csv": source}, {"a.csv": "data.source"}, used)
    assert space.known == (1, 1)
    assert (space.outputs, space.tags, space.codes["a.csv"].tolist()) == (("value",), (), [0] * 60)
