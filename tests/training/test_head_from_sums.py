"""Heads that follow from sums over rows: what they say, how their sums go on, and what they cannot be combined with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitting import Killed
from releasing import Place, stage_folder
from test_rivals import head_plan
from test_scenarios import numbers_plan, session_of

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan, validate
from progressive_tf.registry.store import Registry
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting.checkpoint import load_arrays
from progressive_tf.training.fitting.linear_heads import ClassSums, discriminant
from progressive_tf.training.fitting.locations import checkpoint_file, sums_file
from progressive_tf.training.stage import lifecycle

SLDA, PROTOTYPES = {"method": "slda"}, {"method": "prototypes"}


def with_sums(plan: dict[str, Any], adaptation: dict[str, Any] = SLDA) -> dict[str, Any]:
    """Returns a plan whose stages take no steps; what is said of keys that then change nothing is not looked at."""
    plan["defaults"] |= {"adaptation": adaptation}
    return plan


def kept(run: Path, stage: str) -> ClassSums:
    return ClassSums.of_arrays(load_arrays(sums_file(stage_folder(run, stage)))[0])


def head(run: Path, stage: str) -> dict[str, np.ndarray]:
    return load_arrays(checkpoint_file(stage_folder(run, stage)))[0]


class Ran:
    """A run of two stages, each with classes of its own."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.run = self.place.run(with_sums(head_plan())).run


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Ran:
    return Ran(tmp_path_factory.mktemp("sums"))


def test_the_last_head_is_that_of_all_rows_at_once(ran: Ran) -> None:
    session = session_of(ran.place, ran.run)
    source, cache = session.source_of(session.stages[1]), session.plan.stages[1].cache
    rows = np.concatenate([record.rows()[0] for record in session.stages])
    session.load(session.stages[1])
    features, codes = session.features.read_by_head(source, rows, 1, cache), session.data.codes[source][rows]
    at_once = ClassSums.none(features.shape[1]).plus(features, codes, rows.astype(np.uint64), 4)
    for name in ("counts", "sums", "products"):
        np.testing.assert_allclose(getattr(kept(ran.run, "two-three"), name), getattr(at_once, name), rtol=1e-6)
    expected, saved = discriminant(at_once), head(ran.run, "two-three")
    temperature = np.linalg.norm(expected.kernel) / np.linalg.norm(saved["head/kernel"])
    np.testing.assert_allclose(saved["head/kernel"] * temperature, expected.kernel, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(saved["head/bias"] * temperature, expected.bias, rtol=1e-3, atol=1e-2)


def test_a_version_says_what_was_measured_and_has_the_sums_to_go_on_from(ran: Ran) -> None:
    version = Registry(ran.place.folder / "registry").model("digits").version(2)
    saved = pd.read_parquet(stage_folder(ran.run, "two-three") / "predictions.parquet")
    tested = saved[saved["part"] == "test"]
    source = session_of(ran.place, ran.run).data.sources["digits"]
    served = predict_exported(version.folder, source.inputs(tested["index"].to_numpy()))
    np.testing.assert_allclose(served, np.stack(tested["probabilities"]), atol=2e-3)
    assert (tested["label"] == tested["predicted"]).mean() > 0.9
    assert (version.folder / "assets.extra" / "class_sums.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", [SLDA, PROTOTYPES], ids=["slda", "prototypes"])
def test_a_later_run_goes_on_with_the_sums_of_a_version_and_counts_no_row_twice(
    tmp_path: Path, adaptation: dict[str, Any]
) -> None:
    place = Place(tmp_path)

    def plan(take: int, start: str) -> dict[str, Any]:
        return with_sums(numbers_plan({"name": "some", "data": {"take": take}}, start=start), adaptation)

    place.run(plan(60, "pretrained"))
    later = place.run(plan(120, "stable"), fresh=True).run
    at_once = place.run(plan(120, "pretrained"), fresh=True).run
    assert kept(later, "some").counts.sum() == 108  # and twelve to validate with
    for name in ("counts", "sums", "products", "keys"):
        np.testing.assert_allclose(getattr(kept(later, "some"), name), getattr(kept(at_once, "some"), name), rtol=1e-6)
    np.testing.assert_allclose(head(later, "some")["head/kernel"], head(at_once, "some")["head/kernel"], rtol=1e-2)
    place.run(numbers_plan({"name": "some", "data": {"take": 60}, "adaptation": {"method": "head"}}), fresh=True)
    with pytest.raises(InputError, match=r"start: version 4 has no sums of its classes .* use method head"):
        place.run(plan(120, "stable"), fresh=True)


def killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.slow
def test_a_killed_stage_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = {"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}}
    plan = with_sums(numbers_plan(first, second))
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = Place(tmp_path / "whole").run(plan).run
    place = Place(tmp_path / "killed")
    for step in ("save_checkpoint", "score"):
        with monkeypatch.context() as patch:
            patch.setattr(lifecycle, step, killed)
            with pytest.raises(Killed):
                place.run(plan)
    run = place.run(plan).run
    for name in ("one", "two"):
        for weight, value in head(whole, name).items():
            np.testing.assert_array_equal(head(run, name)[weight], value)


@pytest.mark.slow
def test_a_stage_after_trained_ones_counts_their_rows_too(tmp_path: Path) -> None:
    first = {"name": "one", "data": {"take": 40}, "adaptation": {"method": "full"}}
    run = Place(tmp_path).run(with_sums(numbers_plan(first, {"name": "two", "data": {"take_new": 30}}))).run
    assert kept(run, "two").counts.sum() == 36 + 27


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retention": {"replay": {"budget": 5}}}, r"retention.replay: adaptation slda: sums of all rows so far"),
        ({"retention": {"lwf": {}}}, r"retention.lwf: .* so nothing is forgotten"),
        ({"retention": {"average": {"kind": "ema"}}}, r"retention.average: .* these follow from sums"),
        ({"objective": "contrastive"}, r"objective: adaptation slda: trains what the head reads"),
        ({"continual_evaluation": 3}, r"continual_evaluation: .* there are none"),
        ({"tune": {"trials": 2}}, r"tune: adaptation slda: there is no rate"),
        ({"optimizer": {"carry_state": True}}, r"carry_state: .* there is no optimizer"),
        ({"adaptation": {"method": "slda", "shrinkage": 0.0}}, r"shrinkage: should be greater than 0"),
    ],
)
def test_what_makes_no_sense_with_sums_is_refused(change: dict[str, Any], message: str) -> None:
    stages = [{"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}, **change}]
    with pytest.raises(InputError, match=message):
        validate(with_sums(numbers_plan(*stages)) | {"name": "refused"}, "plan")


def test_words_and_written_texts_have_no_sums_of_classes() -> None:
    for name in ("offline-entities", "numbers-en-de"):
        with pytest.raises(InputError, match=r"adaptation.method: slda has a mean for each class of whole rows"):
            load_plan(name, ["defaults.adaptation={method: slda}"])


@pytest.mark.slow
def test_a_stage_without_a_new_row_ends_as_the_one_before(tmp_path: Path) -> None:
    stages = [{"name": name, "data": {"take": 40}} for name in ("one", "two")]
    run = Place(tmp_path).run(with_sums(numbers_plan(*stages), SLDA | {})).run
    assert kept(run, "two").counts.sum() == kept(run, "one").counts.sum() > 30
    np.testing.assert_array_equal(kept(run, "two").sums, kept(run, "one").sums)
