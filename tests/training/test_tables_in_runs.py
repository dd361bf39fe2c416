"""Plans over tables: what preprocessing is adapted on, what later stages keep, resume, serving, start versions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from fitting import Killed
from releasing import PASSES, Place, begin, contents, read, stage_folder

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import read_weights
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.plan.methods import Cache
from progressive_tf.registry.store import Registry
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting.callbacks import EpochRecord
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.evaluation_step import score

NUMBERS, CATEGORIES = ("height", "weight in kg"), ("colour",)
STAGES = (
    {"name": "one", "data": {"take": 40}},
    {
        "name": "two",
        "data": {"take": 80},
        "readapt": True,
        "retention": {"average": {"kind": "ensemble", "coefficient": 0.5}},
    },
    {"name": "three", "data": {"all": True}, "adaptation": {"method": "head"}},
)


def table_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = {
        "name": "table",
        "task": "tabular-classification",
        "seed": 3,
        "model": {"builder": "mlp", "units": 6, "layers": 2},
        "data": {
            "source": "table.csv",
            "features": {"numbers": list(NUMBERS), "categories": list(CATEGORIES), "hashed": {"shop": 8}},
            "split": {"validation": 20, "gate": 60, "test": 40},
            "slices": {"north": "region == 'north'"},
            "quality": {"label_noise": None},
        },
        "defaults": {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "schedule": "constant",
            "adaptation": {"method": "full"},
            "gate": [PASSES],
        },
        "stages": list(stages),
    }
    return plan | changes


def frame(rows: int = 240) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, rows)
    made = pd.DataFrame(
        {
            "height": np.round(generator.normal(170 + 8 * labels, 5), 3),
            "weight in kg": np.round(generator.normal(60 + 5 * labels, 9), 3),
            "colour": np.where(generator.random(rows) < 0.3 + 0.4 * labels, "red", "blue"),
            "shop": [f"shop {number}" for number in generator.integers(0, 60, rows)],
            "region": np.where(generator.random(rows) < 0.5, "north", "south"),
            "label": np.where(labels == 1, "tall", "small"),
        }
    )
    for name in ("weight in kg", "colour", "shop"):
        made.loc[generator.random(rows) < 0.1, name] = None
    return made


def make_place(folder: Path, table: pd.DataFrame | None = None) -> Place:
    (frame() if table is None else table).to_csv(folder / "table.csv", index=False)
    return Place(folder)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A place where the first stage has ended; copies of it go on."""
    return begin(make_place(tmp_path_factory.mktemp("one")).folder, table_plan(*STAGES), stages=1)


@pytest.fixture(scope="module")
def place(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(shutil.copytree(after_one, tmp_path_factory.mktemp("tables") / "place"))


@pytest.fixture(scope="module")
def run(place: Place) -> Path:
    finished = place.run(table_plan(*STAGES))
    assert finished.promoted
    return finished.run


def opened(place: Place, run: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        plan = RunFolder(run).plan()
        loaded = LoadedPlan(plan, place.folder, plan)
        return load_run(loaded, RunFolder(run), place.folder / "registry", Display())


def weights(place: Place, run: Path, stage: str) -> dict[str, np.ndarray]:
    session = opened(place, run)
    session.load(next(record for record in session.stages if record.name == stage))
    return read_weights(session.network.named_weights())


def plan_data(folder: Path, plan: dict[str, Any]) -> PlanData:
    return read_plan_data(load_plan(str(tiny.write_plan(folder, plan))), folder / "cache")


def statistics(run: Path, stage: str) -> ColumnStatistics:
    return ColumnStatistics.from_json(read(stage_folder(run, stage) / "preprocessing.json"))


def moments(rows: pd.DataFrame) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(rows[list(NUMBERS)].mean()), tuple(rows[list(NUMBERS)].var(ddof=0))


def version(place: Place, number: int) -> Path:
    return Registry(place.folder / "registry").model("table").version(number).folder


def test_a_stage_keeps_what_the_first_has_measured_unless_it_measures_again(place: Place, run: Path) -> None:
    data = plan_data(place.folder, table_plan(*STAGES))
    found = {name: statistics(run, name) for name in ("one", "two", "three")}
    for name, index in (("one", 0), ("two", 1)):
        means, variances = moments(frame().iloc[data.stages[index].train])
        np.testing.assert_allclose(found[name].means, means)
        np.testing.assert_allclose(found[name].variances, variances)
    assert found["one"].means != found["two"].means
    assert found["three"] == found["two"]
    assert {each.vocabularies for each in found.values()} == {(("blue", "red"),)}


def test_rows_that_decide_say_nothing_about_means(tmp_path: Path) -> None:
    """An outlier is planted in one row after the other, until one of each part has had it."""
    plan, clean = table_plan(*STAGES), frame()
    wanted, seen = ("gate", "test", "validation", "first", "second"), set()
    for row in range(len(clean)):
        folder = tmp_path / str(row)
        folder.mkdir()
        planted = clean.copy()
        planted.loc[row, "height"] = 1e9
        make_place(folder, planted)
        data = plan_data(folder, plan)
        parts = vars(data.parts["table.csv"]) | {"first": data.stages[0].train, "second": data.stages[1].train}
        part = next((name for name in wanted if row in parts[name]), "")
        if part not in seen:
            seen.add(part)
            cells = data.training_cells(0)
            assert (max(float(each[0]) for each in cells) > 1e8) == (part == "first")
        if seen >= set(wanted):
            return
        shutil.rmtree(folder)
    pytest.fail(f"only {seen} had the outlier")


@pytest.mark.parametrize(("stage", "number"), [("one", 1), ("two", 2), ("three", 3)])
def test_the_served_model_says_what_the_gate_judged(stage: str, number: int, place: Place, run: Path) -> None:
    judged = pd.read_parquet(stage_folder(run, stage) / "predictions.parquet").query("part == 'gate'").head(30)
    rows = frame().iloc[judged["row"] - 1].astype(object)
    cells = rows[[*NUMBERS, *CATEGORIES, "shop"]].map(lambda cell: "" if pd.isna(cell) else str(cell))
    expected = np.stack(judged["probabilities"].to_list())
    folder = version(place, number)
    np.testing.assert_allclose(predict_exported(folder, cells.to_numpy().tolist()), expected, atol=2e-3)
    named = {
        argument: tf.constant(cells[name].to_list())
        for argument, name in (("height", "height"), ("weight_in_kg", "weight in kg"), ("colour", "colour"))
    }
    answer = tf.saved_model.load(str(folder)).signatures["columns"](shop=tf.constant(cells["shop"].to_list()), **named)
    np.testing.assert_allclose(answer["probabilities"], predict_exported(folder, cells.to_numpy().tolist()), atol=1e-6)
    assert set(answer["label"].numpy()) <= {b"tall", b"small"}
    assert answer["unknown_cells"].shape[0] == len(rows)


def test_the_served_model_answers_unseen_categories_and_missing_values(place: Place, run: Path) -> None:
    rows = [
        ["", "", "", ""],
        ["170", "60", "purple", "a new shop"],
        ["not measured", "1e300", "größe", "shop 1"],
        ["170", "60", "red", "shop 1"],
    ]
    for number in (1, 2, 3):
        probabilities = predict_exported(version(place, number), rows)
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        alone = np.concatenate([predict_exported(version(place, number), [row]) for row in rows])
        np.testing.assert_allclose(alone, probabilities, atol=1e-6)


def test_people_read_names_and_values_and_slices_use_other_columns(run: Path) -> None:
    judged = pd.read_parquet(stage_folder(run, "one") / "predictions.parquet")
    assert judged["text"].str.match(r"height=\d+\.\d+, weight in kg=[\d.]*, colour=(red|blue|), shop=").all()
    north = judged.query("part == 'gate' and slice == 'north'")
    assert (frame().iloc[north["row"] - 1]["region"] == "north").all()
    assert len(north) > 10


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights_and_statistics(
    place: Place, run: Path, after_one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Place(shutil.copytree(after_one, tmp_path / "place"))
    finish = EpochRecord.on_epoch_end

    def stop(self: EpochRecord, epoch: int, logs: Any = None) -> None:
        finish(self, epoch, logs)
        if epoch == 0:
            raise Killed

    for _ in STAGES[1:]:
        with monkeypatch.context() as patch:
            patch.setattr(EpochRecord, "on_epoch_end", stop)
            with pytest.raises(Killed):
                again.run(table_plan(*STAGES), releases=False)
    other = again.run(table_plan(*STAGES), releases=False).run
    for name in ("one", "two", "three"):
        first, second = weights(place, run, name), weights(again, other, name)
        assert all(np.array_equal(value, second[key]) for key, value in first.items()), name
        assert statistics(run, name) == statistics(other, name)
    assert read(run / "matrix.json") == read(other / "matrix.json")


@pytest.mark.slow
def test_what_a_stage_left_before_it_began_does_not_count(
    after_one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its files, it may take other rows when the run goes on."""
    place = Place(shutil.copytree(after_one, tmp_path / "place"))
    begin = StageRecord.save_rows

    def stop(self: StageRecord, *further: Any) -> None:
        if self.index == 1:
            raise Killed
        begin(self, *further)

    with monkeypatch.context() as patch:
        patch.setattr(StageRecord, "save_rows", stop)
        with pytest.raises(Killed):
            place.run(table_plan(*STAGES[:2]))
    plan = table_plan(STAGES[0], STAGES[1] | {"data": {"take": 60}})
    run = place.run(plan, releases=False).run
    expected, _ = moments(frame().iloc[plan_data(place.folder, plan).stages[1].train])
    np.testing.assert_allclose(statistics(run, "two").means, expected)


def test_an_earlier_stage_is_scored_by_its_own_statistics(
    place: Place, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stage_folder(run, "one") / "predictions.parquet"
    kept = pd.read_parquet(path)
    path.unlink()
    monkeypatch.chdir(place.folder)
    session = opened(place, run)
    for stage in (session.stages[1], session.stages[0], session.stages[2]):
        session.load(stage)
        assert session.network.preprocess.statistics == statistics(run, stage.name)
    score(session, session.stages[0])
    again = pd.read_parquet(path)
    # Other rows may stand beside each in a batch, which changes the order of additions.
    np.testing.assert_allclose(np.stack(again["probabilities"]), np.stack(kept["probabilities"]), atol=1e-6)


def test_outputs_of_frozen_blocks_are_those_of_the_statistics_in_use(
    place: Place, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for rows that are asked for only after the network was at another stage and came back."""
    monkeypatch.chdir(place.folder)
    session, cache = opened(place, run), Cache(dtype="float32")
    for stage, rows in zip((0, 1, 0, 1), np.arange(80).reshape(4, 20), strict=True):
        session.load(session.stages[stage])
        found, expected = (
            session.features.probabilities(session.features.examples("table.csv", rows, depth, cache))
            for depth in (1, 0)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_a_plan_that_starts_from_a_version_reads_as_it_does(place: Place, run: Path, tmp_path: Path) -> None:
    """Its own rows have other means, and a category that the version has never seen."""
    moved = frame()
    moved["height"] += 100
    moved.loc[::3, "colour"] = "green"
    shutil.copytree(place.folder / "registry", tmp_path / "registry")
    new = make_place(tmp_path, moved)
    finished = new.run(table_plan({"name": "later", "data": {"take": 40}}, start=3), releases=False)
    assert statistics(finished.run, "later") == statistics(run, "three")
    session = opened(new, finished.run)
    session.load(None)
    served = read_weights(session.network.named_weights())
    assert all(np.array_equal(value, served[name]) for name, value in weights(place, run, "three").items())

    with pytest.raises(InputError, match=r"stages\[0\].readapt: column 'colour' has 'green', which the first stage's"):
        new.run(table_plan({"name": "later", "data": {"take": 40}, "readapt": True}, start=3), fresh=True)


def test_a_version_that_reads_other_columns_is_refused(place: Place, run: Path) -> None:
    plan = table_plan({"name": "later", "data": {"take": 40}}, start="stable")
    plan["data"]["features"] = {"numbers": ["height"], "categories": ["colour", "region"]}
    with pytest.raises(InputError, match=r"start: version 3 reads other columns .*weight in kg.* name the version's"):
        place.run(plan)


@pytest.fixture(scope="module")
def renamed(
    place: Place, run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, Path, dict[str, str], dict[str, str]]:
    """A run beside the versions of another, on a table whose names TensorFlow does not take, nor two of them that
    differ in upper and lower case; also what version 3 held before and afterwards.
    """
    names = {"height": "Äpfel", "weight in kg": "_id", "colour": "self", "shop": "SHOP", "region": "shop"}
    folder = tmp_path_factory.mktemp("renamed")
    shutil.copytree(place.folder / "registry", folder / "registry")
    new = make_place(folder, frame().rename(columns=names))
    before = contents(folder / "registry" / "table" / "3")
    finished = new.run(table_plan({"name": "one", "data": {"take": 40}}, data={"source": "table.csv"}))
    assert finished.promoted
    return new, finished.run, before, contents(folder / "registry" / "table" / "3")


@pytest.mark.slow
def test_a_stable_version_of_other_columns_stays(
    renamed: tuple[Place, Path, dict[str, str], dict[str, str]],
) -> None:
    new, _, before, after = renamed
    assert "it reads the columns height, weight in kg, colour, shop, this plan's network" in new.said[-1]
    assert Registry(new.folder / "registry").model("table").aliases()["stable"] == 3
    assert after == before


@pytest.mark.slow
def test_columns_need_not_be_named_and_have_any_names(
    renamed: tuple[Place, Path, dict[str, str], dict[str, str]],
) -> None:
    place, run, _, _ = renamed
    columns = statistics(run, "one").columns
    assert columns.numbers == ("_id", "Äpfel")
    assert columns.categories == ("SHOP", "self", "shop")
    folder = version(place, 4)
    called = read(folder / "manifest.json")["preprocessing"]["arguments"]
    named = [*columns.numbers, *columns.categories]
    assert called == dict(zip(named, ["column_id", "column_pfel", "SHOP", "column_self", "shop_2"], strict=True))
    row = {"_id": "60", "Äpfel": "170", "SHOP": "shop 1", "self": "red", "shop": "north"}
    asked = {called[name]: tf.constant([cell]) for name, cell in row.items()}
    answer = tf.saved_model.load(str(folder)).signatures["columns"](**asked)
    np.testing.assert_allclose(answer["probabilities"], predict_exported(folder, [list(row.values())]), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"data": {"source": "digits", "features": {"numbers": ["x"]}, "quality": {"label_noise": None}}},
            "data.features: digits holds vectors",
        ),
        ({"stages": [{"name": "one", "data": {"take": 4}}]}, r"stages\[0\].data: column 'shop' is empty in all"),
    ],
)
def test_what_cannot_be_adapted_is_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    table = frame()
    table.loc[5:, "shop"] = None
    table["shop"] = table["shop"].where(table.index == 0)
    with pytest.raises(InputError, match=expected):
        make_place(tmp_path, table).run(table_plan(*STAGES, **changes))


def test_vectors_have_nothing_to_adapt(tmp_path: Path) -> None:
    data = {"source": "digits", "split": {"gate": 100, "test": 100}}
    with pytest.raises(InputError, match=r"stages\[1\].readapt: digits holds vectors"):
        Place(tmp_path).run(table_plan(*STAGES, data=data))
