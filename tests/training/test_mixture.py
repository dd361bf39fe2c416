"""Stages that end in a mixture with those before them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import NEVER_ENOUGH, Place, begin, copied, decision, read, small_plan, stage_folder

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.stage.promotion import export_stage

STAGES = ("one", "two", "three")


def mixing_plan(*averages: dict[str, Any] | None, **defaults: Any) -> dict[str, Any]:
    """Returns a plan over a table of one stage per entry, each with its own average."""
    stages = [
        {"name": name, "data": {"take": 40 * (index + 1)}, "retention": {"average": average} if average else {}}
        for index, (name, average) in enumerate(zip(STAGES, averages, strict=False))
    ]
    plan = tiny.of_table(small_plan(*stages, on_hold="continue"))
    plan["defaults"] |= {"adaptation": {"method": "full"}} | defaults
    return plan


def session_of(place: Place, run: Path) -> Run:
    folder = RunFolder(run)
    loaded = LoadedPlan(folder.plan(), place.folder, folder.plan())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        return load_run(loaded, folder, place.folder / "registry", Display())


def weights_after(session: Run, name: str) -> dict[str, np.ndarray]:
    session.load(next(record for record in session.stages if record.name == name))
    return read_weights(session.network.named_weights())


def predictions(run: Path, stage: str) -> pd.DataFrame:
    return pd.read_parquet(stage_folder(run, stage) / "predictions.parquet")


def probabilities(run: Path, stage: str, part: str = "test", slice_name: str = "one") -> np.ndarray:
    frame = predictions(run, stage).query("part == @part and slice == @slice_name")
    return np.stack(frame["probabilities"].to_list())


def facts(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = read(stage_folder(run, stage) / "metrics.json")["retention"]["average"]
    return found


def served(place: Place, version: int, run: Path, stage: str) -> np.ndarray:
    """Returns what a version of the registry says about the test rows of stage one."""
    return exported(place, place.folder / "registry" / "tiny" / str(version), run, stage)


def exported(place: Place, version: Path, run: Path, stage: str) -> np.ndarray:
    rows = predictions(run, stage).query("part == 'test' and slice == 'one'")["row"]
    cells = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]].iloc[rows - 1]
    return predict_exported(version, cells.to_numpy().tolist())


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where the first stage has ended; copies of it go on, as for two."""
    return begin(tmp_path_factory.mktemp("one"), mixing_plan(None))


@pytest.fixture(scope="module")
def after_two(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(copied(after_one, tmp_path_factory.mktemp("two")), mixing_plan(None, None), releases=False)


@pytest.fixture(scope="module")
def plain(after_two: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A run of three stages that are not mixed."""
    place = Place(copied(after_two, tmp_path_factory.mktemp("plain")))
    return place, place.run(mixing_plan(None, None, None), releases=False).run


@pytest.fixture(scope="module")
def ensembles(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A run whose second and third stage end in ensembles."""
    place = Place(copied(after_one, tmp_path_factory.mktemp("ensembles")))
    ensemble = {"kind": "ensemble", "coefficient": 0.5}
    return place, place.run(mixing_plan(None, ensemble, ensemble)).run


@pytest.mark.slow
def test_a_soup_is_the_mean_of_the_stages(plain: tuple[Place, Path], after_two: Path, tmp_path: Path) -> None:
    place = Place(copied(after_two, tmp_path))
    run = place.run(mixing_plan(None, None, {"kind": "soup", "coefficient": 0.4})).run
    apart = session_of(*plain)
    stages = [weights_after(apart, name) for name in STAGES]
    for name, value in weights_after(session_of(place, run), "three").items():
        expected = 0.6 * (stages[0][name].astype(float) + stages[1][name]) / 2 + 0.4 * stages[2][name]
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=name)
    kept = facts(run, "three")
    assert (kept["kind"], kept["coefficient"], kept["chosen"]) == ("soup", 0.4, False)
    assert kept["stages"] == ["one", "two"]
    np.testing.assert_allclose(served(place, 2, run, "three"), probabilities(run, "three"), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("coefficient", "same_as"), [(0.0, "one"), (1.0, "two")])
def test_wise_ft_at_its_ends_is_the_stage_before_and_the_stage(
    plain: tuple[Place, Path], after_one: Path, tmp_path: Path, coefficient: float, same_as: str
) -> None:
    plan = mixing_plan(None, {"kind": "wise-ft", "coefficient": coefficient})
    run = Place(copied(after_one, tmp_path)).run(plan, releases=False).run
    # Outputs of blocks that did not move are kept as float16.
    np.testing.assert_allclose(probabilities(run, "two"), probabilities(plain[1], same_as), atol=1e-4)


@pytest.mark.slow
def test_an_ensemble_answers_with_the_mean_and_is_served_as_one_model(
    plain: tuple[Place, Path], ensembles: tuple[Place, Path]
) -> None:
    place, run = ensembles
    own = [probabilities(plain[1], name) for name in STAGES]
    np.testing.assert_allclose(probabilities(run, "two"), 0.5 * own[0] + 0.5 * own[1], atol=1e-6)
    # Stage three starts from stage two's own weights, and each stage counts once.
    np.testing.assert_allclose(probabilities(run, "three"), 0.25 * (own[0] + own[1]) + 0.5 * own[2], atol=1e-6)
    for version, stage in ((2, "two"), (3, "three")):
        np.testing.assert_allclose(served(place, version, run, stage), probabilities(run, stage), atol=1e-5)
        assert decision(run, stage)["weights_sha256"] == decision(plain[1], stage)["weights_sha256"]


@pytest.mark.slow
def test_a_run_does_not_start_from_an_ensemble(ensembles: tuple[Place, Path], tmp_path: Path) -> None:
    place = Place(shutil.copytree(ensembles[0].folder, tmp_path / "place"))
    plan = mixing_plan(None) | {"start": "stable", "seed": 9}
    with pytest.raises(InputError, match="start: version 3 is an ensemble of several stages' networks"):
        place.run(plan)
    assert place.run(plan | {"start": 1}, releases=False).promoted


@pytest.mark.slow
def test_a_held_ensemble_can_be_released_by_hand(after_one: Path, tmp_path: Path) -> None:
    place = Place(copied(after_one, tmp_path))
    plan = mixing_plan(None, {"kind": "ensemble", "coefficient": 0.5})
    plan["stages"][1]["gate"] = [NEVER_ENOUGH]
    run = place.run(plan).run
    assert decision(run, "two")["decision"] == "hold"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        staged = export_stage(run, "two")
        staged.export(tmp_path / "by-hand")
    by_hand = exported(place, tmp_path / "by-hand", run, "two")
    np.testing.assert_allclose(by_hand, probabilities(run, "two"), atol=1e-5)


def mixed_adaptations(adaptations: list[dict[str, Any]], ensembles: tuple[int, ...]) -> dict[str, Any]:
    """Returns a plan of a stage for each adaptation, mixed as an ensemble or else between weights."""
    stages = [
        {
            "name": f"{each['method']}-{index}",
            "data": {"take": 40 + 4 * index},
            "adaptation": each,
            "retention": {"average": {"kind": "ensemble" if index in ensembles else "wise-ft", "coefficient": 0.5}},
        }
        for index, each in enumerate(adaptations)
    ]
    return small_plan(*stages)


@pytest.mark.slow
def test_every_adaptation_can_be_mixed(tmp_path: Path) -> None:
    """An ensemble asks every stage before it, whatever it adapts and whatever it is mixed with."""
    lora = {"method": "lora", "rank": 2, "targets": ["dense"]}
    adaptations: list[dict[str, Any]] = [
        {"method": "full"},
        lora,
        lora | {"merge": False},
        {"method": "bitfit"},
        {"method": "adapter", "size": 2, "from_block": 1},
        {"method": "top-blocks", "blocks": 1},
        {"method": "gradual", "blocks_per_phase": 2},
        {"method": "head"},
    ]
    place = Place(tmp_path)
    plan = tiny.of_table(mixed_adaptations(adaptations, ensembles=(2, 4, 7)))
    place.run(plan, stages=6, releases=False)
    assert "full-0: no" in place.said[-1]
    run = place.run(plan).run
    rows = pd.read_csv(tmp_path / "table.csv", dtype=str)[["height", "colour"]]
    for version, name in ((1, "gradual-6"), (2, "head-7")):
        said = predictions(run, name).query("part == 'test'")
        check_served(place, run, (version, name), rows.iloc[said["row"] - 1].to_numpy().tolist())
    # What is saved is what was measured: a session that loads it says the same.
    session = session_of(place, run)
    session.load(session.stages[-1])


@pytest.mark.slow
def test_a_network_with_a_prompt_is_mixed_with_those_that_had_none(tmp_path: Path) -> None:
    adaptations = [{"method": "full"}, {"method": "prompt", "length": 2}, {"method": "adapter", "size": 2}]
    plan = mixed_adaptations(adaptations, ensembles=(2,))
    plan["model"] |= {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    place = Place(tmp_path)
    run = place.run(plan).run
    texts = predictions(run, "adapter-2").query("part == 'test'")["text"].to_list()
    check_served(place, run, (3, "adapter-2"), texts)


def check_served(place: Place, run: Path, version: tuple[int, str], inputs: list[Any]) -> None:
    """Asserts that a stage became this version, which says of its test rows what the stage said."""
    number, name = version
    assert decision(run, name)["version"] == number
    expected = np.stack(predictions(run, name).query("part == 'test'")["probabilities"].to_list())
    found = predict_exported(place.folder / "registry" / "tiny" / str(number), inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)


def test_a_soup_of_networks_with_other_weights_is_refused_before_training(after_one: Path, tmp_path: Path) -> None:
    plan = mixing_plan(None, None, {"kind": "soup"})
    plan["stages"][1]["adaptation"] = {"method": "adapter", "size": 2}
    with pytest.raises(
        InputError, match=r"stages\[2\].retention.average: a soup needs the same weights .*; one has no"
    ):
        Place(copied(after_one, tmp_path)).run(plan, releases=False)


def test_a_soup_of_stages_that_did_not_start_from_one_another_is_refused(after_one: Path, tmp_path: Path) -> None:
    plan = mixing_plan(None, None, {"kind": "soup", "stages": ["two"]})
    plan["stages"][1]["gate"] = [NEVER_ENOUGH]
    with pytest.raises(InputError, match=r"three does not build on two, .*it builds on one: name some of these"):
        Place(copied(after_one, tmp_path)).run(plan, releases=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ["later"]}, "retention.average.stages: unknown earlier stage"),
        ({"coefficient": 1.5}, "coefficient"),
        ({"coefficient": 0.5, "drop_at_most": 0.1}, "drop_at_most: is for choosing the coefficient"),
        ({"decay": 0.9}, "decay"),
    ],
)
def test_what_a_plan_cannot_ask_for(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Place(tmp_path).run(mixing_plan(None, {"kind": "soup"} | change))


def test_an_ensemble_needs_outputs_for_every_row() -> None:
    load_plan("split-digits", ["scenario=task-incremental"])
    with pytest.raises(InputError, match="an ensemble needs every stage's outputs for every row"):
        load_plan("split-digits", ["scenario=task-incremental", "defaults.retention.average.kind=ensemble"])


def test_the_share_is_chosen_without_gate_or_test_rows(
    after_one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.training.stage import mixture

    seen: list[set[str]] = []
    predict = mixture.predict_rows

    def noting(features: Any, wanted: Any, *further: Any) -> Any:
        seen.append({part for part, _ in wanted})
        return predict(features, wanted, *further)

    monkeypatch.setattr(mixture, "predict_rows", noting)
    run = Place(copied(after_one, tmp_path)).run(mixing_plan(None, {"kind": "wise-ft"}), releases=False).run
    kept = facts(run, "two")
    assert kept["chosen"]
    assert [each["coefficient"] for each in kept["tried"]] == [step / 10 for step in range(11)]
    # What the parent and eleven shares say about validation rows; only then the slices that are judged.
    choosing = [parts for parts in seen if parts == {"validation"}]
    assert len(choosing) == 12
