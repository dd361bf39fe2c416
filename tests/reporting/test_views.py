from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from progressive_tf.errors import InputError
from progressive_tf.evaluation.records import Measure, StageMetrics
from progressive_tf.reporting.records import RunRecord, SavedStage, read_run
from progressive_tf.reporting.views import StageView, class_curves_view, per_class, stage_views

from .records_builder import SCRIPT, force, write_run


def test_classes_are_collected_from_metric_names() -> None:
    one, two = Measure(0.1), Measure(0.2)
    found = per_class({"accuracy": one, "precision/a/b": one, "recall/a/b": two, "f1_macro": two, "other/a": one})
    assert found == {"a/b": {"precision": one, "recall": two}}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Sequence[StageView]:
    return stage_views(read_run(write_run(tmp_path_factory.mktemp("views") / "run")))


def test_a_stage_starts_from_what_is_recorded(views: Sequence[StageView]) -> None:
    assert [view.started_from for view in views] == ["pretrained weights", "pilot (version 1)", "beta (version 2)"]


def test_an_undecided_stage_starts_from_the_newest_promoted_one(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", decisions=("promote", "hold", "hold"))
    (path / "stages/03-full/decision.json").unlink()
    assert stage_views(read_run(path))[-1].started_from == "pilot (version 1)"


def test_an_undecided_stage_starts_from_one_that_was_forced(tmp_path: Path) -> None:
    path = force(write_run(tmp_path / "run", decisions=("promote", "hold", "hold")), "02-beta", version=2)
    (path / "stages/03-full/decision.json").unlink()
    assert stage_views(read_run(path))[-1].started_from == "beta (version 2)"


def test_test_rows_are_those_of_the_stages_slice(views: Sequence[StageView]) -> None:
    assert [view.answers.rows for view in views if view.answers] == [1000, 1000, 1000]


def test_twenty_wrong_texts_the_surest_first(views: Sequence[StageView]) -> None:
    answers = views[-1].answers
    assert answers is not None
    assert len(answers.wrong) == 20
    assert answers.wrong[0].text == SCRIPT
    assert [error.probability for error in answers.wrong] == sorted(
        (error.probability for error in answers.wrong), reverse=True
    )


def test_numbers_that_are_no_probabilities_are_refused_by_file(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "stages/01-pilot/predictions.parquet"
    table = pq.read_table(path)
    wrong = pa.array(np.full((table.num_rows, 2), 0.9).tolist(), pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.column_names.index("probabilities"), "probabilities", wrong), path)
    with pytest.raises(InputError, match=r"01-pilot/predictions\.parquet: probabilities\[0\]"):
        stage_views(read_run(run))


def test_classes_are_followed_on_the_rows_of_the_last_stage() -> None:
    def stage(number: int, name: str, scores: dict[str, float | None]) -> SavedStage:
        measures = {f"f1/{label}": Measure(value=value) for label, value in scores.items()}
        return SavedStage(number, name, metrics=StageMetrics(test={"second": measures, name: measures}))

    def run_of(stages: tuple[SavedStage, ...]) -> RunRecord:
        return RunRecord(Path("run"), {}, "", stages)

    stages = (stage(1, "first", {"a": 0.5, "b": None}), stage(2, "second", {"a": 0.25, "b": 0.75}))
    drawn = class_curves_view(run_of(stages))
    assert "b: none, 0.750; a: 0.500, 0.250" in str(drawn)
    assert class_curves_view(run_of(stages[:1])) is None
