"""A version in memory says what its inputs are, and which of them said nothing to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serving_fakes import MODEL, release

from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Mlp
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.registry import Registry
from progressive_tf.serving.instances import bucket_of

STATISTICS = ColumnStatistics(
    TableColumns(numbers=("height",), categories=("colour",)), (2.0,), (1.0,), (("blue", "red"),)
)
ROWS = [("1", "red"), ("1,5", "Red"), ("", ""), ("2", "green")]


def test_a_table_is_described_and_its_unknown_cells_are_named(tmp_path: Path) -> None:
    from progressive_tf.models import mlp
    from progressive_tf.serving.loaded import LoadedVersion
    from progressive_tf.training.answers.exported import export_saved_model

    network = mlp.build(Request(Mlp(builder="mlp", units=4), ("a", "b"), 3, tmp_path, statistics=STATISTICS))
    model = Registry(tmp_path / "registry").model(MODEL)
    release(
        model,
        1,
        export=lambda folder: export_saved_model(network, folder),
        labels=("a", "b"),
        preprocessing=STATISTICS.to_json(),
    )
    loaded = LoadedVersion(model.version(1))
    described = loaded.metadata()
    assert described["labels"] == ["a", "b"]
    assert [(each["name"], each["argument"]) for each in described["inputs"]["columns"]] == [
        ("height", "height"),
        ("colour", "colour"),
    ]
    named = [{"height": np.array(height, object), "colour": np.array(colour, object)} for height, colour in ROWS]
    whole = [{"features": np.array(row, object)} for row in ROWS]
    for signature, instances in (("columns", named), ("serving_default", whole)):
        answers = loaded.answer(bucket_of(signature, instances[0]), instances)
        assert [list(answer) for answer in answers] == [["probabilities", "label", "unknown_cells"]] * len(ROWS)
        assert [answer["unknown_cells"] for answer in answers] == [[], ["height", "colour"], [], ["colour"]]
