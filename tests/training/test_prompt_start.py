"""A head that starts from descriptions of the classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from fitting import Killed
from releasing import Place, small_plan

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan, validate
from progressive_tf.plan.methods import PromptStart, descriptions_of
from progressive_tf.reporting.page import write_report
from progressive_tf.training.run.network import SCALE, prompt_head
from progressive_tf.training.run.run import load_run
from progressive_tf.training.run.run_folder import open_run
from progressive_tf.training.stage.lifecycle import Attempt

DESCRIBED = {"prompt": {"negative": ["bad poor", "poor"], "positive": "good fine"}}


def test_the_head_by_hand() -> None:
    texts = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
    classes = np.array([[0.0, 5.0], [0.0, 1.0]], np.float32)
    kernel, bias = prompt_head(classes, texts)
    # Texts lie around (2, 2) at length 1; the classes' directions are (0, 1) and (0, −1).
    assert kernel == pytest.approx(np.array([[0, 0], [SCALE, -SCALE]], np.float32))
    assert bias == pytest.approx([-2 * SCALE, 2 * SCALE])
    logits = np.array([2.0, 2.5]) @ kernel + bias
    assert logits == pytest.approx([0.5 * SCALE, -0.5 * SCALE])


def test_shifting_all_embeddings_changes_no_logit() -> None:
    generator = np.random.default_rng(0)
    classes, texts = generator.normal(size=(3, 8)), generator.normal(size=(40, 8))
    kernel, bias = prompt_head(classes, texts)
    moved_kernel, moved_bias = prompt_head(classes + 7, texts + 3)
    assert (texts + 3) @ moved_kernel + moved_bias == pytest.approx(texts @ kernel + bias, abs=1e-4)


def test_alike_texts_or_classes_give_no_infinity() -> None:
    kernel, bias = prompt_head(np.ones((2, 4), np.float32), np.ones((5, 4), np.float32))
    assert np.isfinite(kernel).all()
    assert np.isfinite(bias).all()


def test_names_stand_for_themselves_and_descriptions_must_be_those_of_the_classes() -> None:
    assert descriptions_of("prompt", ("card_arrival", "Top-up")) == {
        "card_arrival": ("card arrival",),
        "Top-up": ("top up",),
    }
    assert descriptions_of("pretrained", ("a", "b")) is None
    given = PromptStart(prompt={"a": "one", "b": ["two", "three"]})
    assert descriptions_of(given, ("b", "a")) == {"b": ("two", "three"), "a": ("one",)}
    for labels, wrong in ((("a", "b", "c"), "'c' has none"), (("a",), "'b' is no class")):
        with pytest.raises(ValueError, match=wrong):
            descriptions_of(given, labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": {"prompt": {"a": "one"}}}, "start"),
        ({"start": {"prompt": {"a": "", "b": "two"}}}, "start"),
        ({"start": "prompt", "scenario": "class-incremental"}, "all known from the first stage"),
        ({"start": "prompts"}, "start"),
    ],
)
def test_a_plan_that_cannot_start_so_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(tiny.raw_plan(**changes), "plan.yaml")


def test_other_tasks_are_refused() -> None:
    plan = tiny.raw_plan(start="prompt", task="tabular-classification", model={"builder": "mlp"})
    with pytest.raises(InputError, match="start: prompt describes classes of texts; the task is tabular"):
        validate(plan, "plan.yaml")


def one_layer(**changes: Any) -> dict[str, Any]:
    """Returns a plan of one stage of a BERT of one layer."""
    plan = small_plan({"name": "one", "data": {"take": 20}}, **changes)
    plan["model"] |= {"config": tiny.CONFIG | {"num_hidden_layers": 1}}
    plan["defaults"]["epochs"] = 1
    return plan


def start_of(folder: Path, plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the hash of the weights that a run of a plan would start from."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    loaded = load_plan(str(tiny.write_plan(folder, plan)))
    run, _ = open_run(folder / "runs", loaded, False)
    return load_run(loaded, run, folder / "registry", Display()).start.sha256


def test_a_run_begins_with_zero_examples_and_is_continued_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(attempt: Attempt, settle: Any) -> None:
        raise Killed

    place, whole = Place(tmp_path / "place"), Place(tmp_path / "whole")
    plan = one_layer(start=DESCRIBED)
    for each in (place, whole):
        each.folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "prepare", killed)
        with pytest.raises(Killed):
            place.run(plan, releases=False)
    run = place.run(plan, releases=False).run
    assert "continuing" in place.said[-1]
    beside = whole.run(plan, releases=False).run
    matrices = [json.loads((each / "matrix.json").read_text()) for each in (run, beside)]
    assert matrices[0] == matrices[1]
    started = [json.loads((each / "environment.json").read_text())["start"]["weights_sha256"] for each in (run, beside)]
    assert started[0] == started[1]
    page = write_report(run).read_text(encoding="utf-8")
    assert ">zero examples<" in page
    assert "descriptions of the classes" in page
    with pytest.raises(InputError, match="start: was"):
        place.run(one_layer())
    assert start_of(tmp_path / "plain", one_layer(), monkeypatch) != started[0]


def test_descriptions_of_other_classes_are_refused(tmp_path: Path) -> None:
    plan = small_plan({"name": "one", "data": {"take": 20}}, start={"prompt": {"good": "a", "bad": "b"}})
    with pytest.raises(InputError, match=r"start\.prompt: a description for each of negative, positive expected"):
        Place(tmp_path).run(plan)
