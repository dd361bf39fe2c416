"""Plans over images, with a small network of one's own: augmentation, sizes, statistics, resume, serving."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pictures
import pytest
import tensorflow as tf
from fitting import killed_after
from PIL import Image
from releasing import PASSES, Place, begin, copied, read, stage_folder

from progressive_tf.display import Display
from progressive_tf.models.block_model import read_weights
from progressive_tf.models.own_builder import build_own
from progressive_tf.models.request import Request
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.networks import OwnBuilder
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.answers.classes import WRONG_ROWS
from progressive_tf.reporting.page import write_report
from progressive_tf.training.answers.classes import MOST_SHOWN
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.prefix.identity import prefix_sha256
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "small_convnet.py"
AUGMENTATION = {"flip": True, "rotate": 10, "crop": 0.1, "colour": 0.2, "cutout": 0.2}


def image_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = {
        "name": "pictures",
        "task": "image-classification",
        "seed": 3,
        "model": {"builder": "small_convnet:build", "settings": {"widths": [4, 8]}},
        "data": {
            "source": "shapes",
            "split": {"validation": 0.1, "gate": 0.2, "test": 0.2},
            "quality": {"label_noise": None},
        },
        "defaults": {
            "image_size": 16,
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "schedule": "constant",
            "adaptation": {"method": "full"},
            "cache": {"dtype": "float32"},
            "augmentation": AUGMENTATION,
            "gate": [PASSES],
        },
        "stages": list(stages),
    }
    return {**plan, **changes}


STAGES = (
    {"name": "small", "data": {"take": 45}},
    {
        "name": "large",
        "data": {"take_new": 30},
        "image_size": 24,
        "adaptation": {"method": "top-blocks", "blocks": 1},
        "retention": {"replay": {"budget": 20}, "lwf": {"strength": 1.0}},
    },
    {"name": "plain", "data": {"all": True}, "adaptation": {"method": "head"}, "augmentation": None},
)


PROBES = {"take": 4, "steps": 8}


def make_place(folder: Path) -> Place:
    pictures.write_folder(folder / "shapes", 60)
    shutil.copy(EXAMPLE, folder)
    return Place(folder)


@pytest.fixture(scope="module")
def after_small(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A place where the first stage has ended; copies of it go on."""
    folder = make_place(tmp_path_factory.mktemp("small")).folder
    (folder / "shapes" / "dot" / "broken.png").write_bytes(b"")
    return begin(folder, image_plan(*STAGES, probes=PROBES), stages=1)


@pytest.fixture(scope="module")
def place(after_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(copied(after_small, tmp_path_factory.mktemp("images") / "place"))


@pytest.fixture(scope="module")
def run(place: Place) -> Path:
    finished = place.run(image_plan(*STAGES, probes=PROBES))
    assert finished.promoted
    return finished.run


def weights(place: Place, run: Path, stage: str) -> dict[str, np.ndarray]:
    session = opened(place, run)
    session.load(next(record for record in session.stages if record.name == stage))
    return read_weights(session.network.named_weights())


def opened(place: Place, run: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        plan = RunFolder(run).plan()
        loaded = LoadedPlan(plan, place.folder, plan)
        return load_run(loaded, RunFolder(run), place.folder / "registry", Display())


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_what_could_not_be_read_is_a_finding_of_every_stage(run: Path) -> None:
    for name in ("small", "large", "plain"):
        findings = read(stage_folder(run, name) / "quality.json")["findings"]
        found = [each for each in findings if each["kind"] == "unreadable_images"]
        assert [each["examples"] for each in found] == [["dot/broken.png: the file is empty"]]


def test_statistics_of_frozen_blocks_stay_and_those_of_others_move(place: Place, run: Path) -> None:
    before, after, last = (weights(place, run, name) for name in ("small", "large", "plain"))
    changed = {name for name, value in after.items() if not np.array_equal(value, before[name])}
    assert {name.split("/")[0] for name in changed} == {"conv2", "head"}
    assert any(name.endswith("moving_mean") for name in changed)
    assert {name.split("/")[0] for name in last if not np.array_equal(last[name], after[name])} == {"head"}


@pytest.mark.parametrize(("stage", "version"), [("small", 1), ("large", 2), ("plain", 3)])
def test_the_served_model_takes_files_and_pixels_and_says_what_was_judged(
    stage: str, version: int, place: Place, run: Path
) -> None:
    """Which is told of the images as they are: a version never changes one, so neither did the evaluation."""
    judged = pd.read_parquet(stage_folder(run, stage) / "predictions.parquet").groupby("part").head(12)
    assert {"gate", "test"} <= set(judged["part"])
    files = [(place.folder / "shapes" / path).read_bytes() for path in judged["text"]]
    expected = np.stack(judged["probabilities"].to_list())
    folder = Registry(place.folder / "registry").model("pictures").version(version).folder
    np.testing.assert_allclose(predict_exported(folder, files), expected, atol=1e-4)
    loaded = tf.saved_model.load(str(folder))
    pixels = tf.stack([tf.io.decode_png(file, channels=3) for file in files])
    answer = loaded.signatures["pixels"](pixels=pixels)
    np.testing.assert_allclose(answer["probabilities"], predict_exported(folder, files), atol=1e-5)
    assert answer["label"].dtype == tf.string


@pytest.mark.slow
def test_a_killed_stage_ends_with_the_same_weights(after_small: Path, place: Place, run: Path, tmp_path: Path) -> None:
    """What is drawn of images depends on the seed alone, here beside rows that are replayed and old answers."""
    again = Place(copied(after_small, tmp_path / "place"))
    plan = image_plan(*STAGES, probes=PROBES)
    with killed_after(0):
        again.run(plan, stages=2)
    other = again.run(plan, stages=2).run
    histories = [pd.read_csv(stage_folder(each, "large") / "history.csv")["loss"].tolist() for each in (run, other)]
    assert histories[0] == histories[1]
    assert histories[0][0] != histories[0][1]
    first, second = weights(place, run, "large"), weights(again, other, "large")
    assert all(np.array_equal(value, second[key]) for key, value in first.items())


def test_replayed_images_and_old_answers_go_with_augmentation(run: Path) -> None:
    facts = read(stage_folder(run, "large") / "metrics.json")["retention"]
    assert facts["replay"]["rows"] == 20
    assert facts["lwf"]["flops"] > 0


def test_a_changed_builder_finds_no_outputs_of_the_old_one(tmp_path: Path) -> None:
    own = make_place(tmp_path)
    request = Request(OwnBuilder(builder="changing:build"), pictures.CLASSES, folder=own.folder, image_size=16)
    names = []
    for comment in ("", "# another\n"):
        (own.folder / "changing.py").write_text(comment + EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        sys.modules.pop("changing", None)
        names.append(prefix_sha256(build_own(request), 1, "float16"))
    assert names[0] != names[1]


def test_the_report_shows_the_images_that_are_most_confidently_wrong(run: Path, page: str) -> None:
    table = pd.read_parquet(stage_folder(run, "plain") / "predictions.parquet")
    wrong = table.query("part == 'test' and label != predicted")
    assert len(wrong), "every test image is right, so this test shows nothing"
    kept = table["image"].notna()
    assert set(table.index[kept]) <= set(wrong.index)
    probability = np.stack(wrong["probabilities"].to_list()).max(axis=1)
    most = wrong.index[np.argsort(-probability, kind="stable")[:MOST_SHOWN]]
    assert set(table.index[kept]) == set(most)
    for content in table["image"][kept]:
        assert Image.open(io.BytesIO(content)).size == (16, 16)
    assert page.count("data:image/png;base64,") == min(len(wrong), WRONG_ROWS)
    assert all(f"is {label}</li>" in page for label in wrong["label"].unique())


def test_pictures_are_explained_on_a_grid_whatever_their_size(run: Path, page: str) -> None:
    for name in ("small", "large"):
        probes = read(stage_folder(run, name) / "explanations.json")["probes"]
        assert [len(each["values"]) for each in probes] == [256] * 4
    facts = read(stage_folder(run, "large") / "metrics.json")["explanations"]
    assert -1 <= facts["correlation"] <= 1
    assert "an image" in page
