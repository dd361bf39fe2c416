"""Stages that learn from a stream."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from releasing import PASSES, Place, begin, decision, read, small_plan, stage_folder

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.reporting.page import write_report
from progressive_tf.training.fitting.checkpoint import checkpoint_facts
from progressive_tf.training.run.run_folder import Finished
from progressive_tf.training.stage.promotion import export_stage
from progressive_tf.training.streaming import learning

pytestmark = pytest.mark.slow

ROWS = 150
ONE = {"name": "one", "data": {"take": 40}}
REPLAY = {"replay": {"per_class": 8, "ratio": 0.25}}


def write_stream(path: Path, count: int = ROWS, seed: int = 9, first: int = 0, flip: bool = False) -> None:
    texts, labels = tiny.sentences(count, seed)
    with path.open("a") as stream:
        for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
            row = {"id": first + number, "text": text, "label": tiny.LABELS[label ^ flip]}
            stream.write(json.dumps(row) + "\n")


def live(**changes: Any) -> dict[str, Any]:
    """Returns a stage that learns from `stream.jsonl`; changes to `data` are merged."""
    data = {"stream": "stream.jsonl", "micro_batch": 8, "window": 50, **changes.pop("data", {})}
    optimizer = {"name": "adam", "learning_rate": 0.02}
    return {"name": "live", "data": data, "adaptation": {"method": "full"}, "optimizer": optimizer} | changes


def begun(folder: Path, plan: dict[str, Any]) -> Path:
    """Runs a plan's first stage beside a stream; see `begin`."""
    write_stream(folder / "stream.jsonl")
    return begin(folder, plan, stages=1)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    return begun(tmp_path_factory.mktemp("one"), small_plan(ONE, live()))


@pytest.fixture
def place(after_one: Path, tmp_path: Path) -> Place:
    """A place in which stage one has ended."""
    return Place(shutil.copytree(after_one, tmp_path / "place"))


def runs(place: Place) -> list[Path]:
    return list((place.folder / "runs").glob("*-*"))


def answers(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "stream" / "answers.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def judged(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Finished]:
    """A stream with a row twice and one that cannot be learnt, whose candidates are judged."""
    place = Place(shutil.copytree(after_one, tmp_path_factory.mktemp("judged") / "place"))
    gate = [PASSES, PASSES | {"slice": "arrived", "min_samples": 20}]
    plan = small_plan(ONE, live(data={"candidate_every": 60}, retention=REPLAY, gate=gate))
    with (place.folder / "stream.jsonl").open("a") as stream:
        stream.write('{"id": 3, "text": "again", "label": "positive"}\n{"text": "what", "label": "neutral"}\n')
    return place, place.run(plan)


def test_rows_are_answered_then_learnt_and_candidates_are_judged(judged: tuple[Place, Finished]) -> None:
    place, finished = judged
    assert finished.promoted
    folder = stage_folder(finished.run, "live")
    said = answers(folder)
    assert [row for row, *_ in said] == list(range(1, ROWS + 1))
    labels = tiny.sentences(ROWS, 9)[1]
    assert [label for _, label, *_ in said] == [tiny.LABELS[label] for label in labels]
    facts = read(folder / "metrics.json")["stream"]
    right = np.mean([label == learner for _, label, learner, _, _ in said])
    assert facts["accuracy"]["learner"] == pytest.approx(right)
    assert (facts["learnt"], facts["duplicates"], facts["aside"]) == (ROWS, 1, 1)
    aside = [json.loads(line) for line in (folder / "stream" / "aside.jsonl").read_text().splitlines()]
    assert [(each["row"], each["line"]) for each in aside] == [(152, '{"text": "what", "label": "neutral"}')]
    assert read(folder / "data.json")["train"] == ROWS
    # 60 rows are 8 micro-batches of 8; the gate looks before the next is learnt.
    rules = read(folder / "candidates" / "000000128" / "decision.json")["rules"]
    assert [rule["n"] for rule in rules] == [60, 50]  # gate rows; of the 64 that arrived, the window's
    assert sorted(each.name for each in (folder / "candidates").iterdir()) == ["000000064", "000000128"]
    versions = sorted(path.name for path in (place.folder / "registry" / "tiny").glob("[0-9]*"))
    assert versions == ["1", "2", "3", "4"]
    assert decision(finished.run, "live")["baseline"] == "stage live.128 (version 3)"
    # The released answers are the start's until the first candidate is out, and differ from them later.
    assert all(released == start for _, _, _, released, start in said[:64])
    assert any(released != start for _, _, _, released, start in said[64:])
    assert write_report(finished.run).read_text().count("rows learnt; the window has 50") == 1
    (place.folder / "stream.jsonl").unlink()  # what was learnt from it needs it no longer
    staged = export_stage(finished.run, "live.64")
    assert staged.weights_sha256 == read(folder / "candidates" / "000000064" / "decision.json")["weights_sha256"]


def test_the_first_batch_is_answered_by_the_weights_it_began_with(judged: tuple[Place, Finished]) -> None:
    _, finished = judged
    said = answers(stage_folder(finished.run, "live"))
    assert all(learner == start for _, _, learner, _, start in said[:8])
    assert any(learner != start for _, _, learner, _, start in said[8:])


def taking(stop: int) -> Callable[[Any, Any], None]:
    """Returns what takes so many micro-batches and is interrupted then."""
    original, taken = learning.StreamFit.take, iter(range(stop))

    def take(self: Any, batch: Any) -> None:
        if next(taken, None) is None:
            raise KeyboardInterrupt
        original(self, batch)

    return take


def stopping_plan() -> dict[str, Any]:
    """Returns a plan with all that draws random numbers: dropout, and rows to replay."""
    plan = small_plan(ONE, live(data={"candidate_every": 60}, retention=REPLAY))
    plan["model"] = plan["model"] | {"config": {**tiny.CONFIG, "hidden_dropout_prob": 0.2}}
    return plan


def left_by(run: Path) -> tuple[str, list[bytes], list[dict[str, Any]], Any]:
    """Returns the last weights, the logs, every decision and the R matrix of a run."""
    stage = stage_folder(run, "live")
    logs = [(stage / "stream" / each).read_bytes() for each in learning.LOG_HEADERS]
    decisions = [read(path) for path in sorted(stage.rglob("decision.json"))]
    return checkpoint_facts(stage).weights_sha256, logs, decisions, read(run / "matrix.json")


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    return begun(tmp_path_factory.mktemp("stopping"), stopping_plan())


@pytest.fixture(scope="module")
def left_alone(
    stopping: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[bytes], list[dict[str, Any]], Any]:
    place = Place(shutil.copytree(stopping, tmp_path_factory.mktemp("alone") / "place"))
    return left_by(place.run(stopping_plan()).run)


@pytest.mark.parametrize(
    "stops", [[(9, 1000.0)], [(0, 0.0), (17, 0.0)]], ids=["behind what was saved", "at the first, then late"]
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    stopping: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left_alone: object,
    stops: list[tuple[int, float]],
) -> None:
    place = Place(shutil.copytree(stopping, tmp_path / "place"))
    for stopped_at, saved_every in stops:
        with monkeypatch.context() as patch:
            patch.setattr(learning.StreamFit, "take", taking(stopped_at))
            patch.setattr(learning, "SAVED_EVERY_SECONDS", saved_every)
            with pytest.raises(KeyboardInterrupt):
                place.run(stopping_plan())
    assert left_by(place.run(stopping_plan()).run) == left_alone


def test_a_later_stage_of_the_same_stream_goes_on_behind_it(place: Place) -> None:
    first = place.run(small_plan(ONE, live()))
    write_stream(place.folder / "stream.jsonl", 40, seed=11, first=130)  # of whose ids twenty came before
    place.run(small_plan(ONE, live()))
    waiting = "live: 40 rows have come in stream.jsonl since it ended"
    assert "since it ended" not in place.said[0]
    assert waiting in place.said[1]
    finished = place.run(small_plan(ONE, live(), live(name="later")))
    assert finished.run == first.run
    assert waiting not in place.said[2]
    folder = stage_folder(finished.run, "later")
    assert [row for row, *_ in answers(folder)] == list(range(ROWS + 21, ROWS + 41))
    assert read(folder / "metrics.json")["stream"]["duplicates"] == 20


def test_a_rejected_learner_goes_back_to_what_is_released(place: Place) -> None:
    write_stream(place.folder / "stream.jsonl", 80, seed=12, first=1000, flip=True)
    strict = [{"metric": "accuracy", "slice": "current", "drop_at_most": 0.02}]
    plan = small_plan(ONE, live(data={"stream": "stream.jsonl", "candidate_every": 40}, gate=strict))
    finished = place.run(plan)
    folder = stage_folder(finished.run, "live")
    decisions = {path.parent.name: read(path) for path in sorted(folder.glob("candidates/*/decision.json"))}
    rejected = [int(name) for name, each in decisions.items() if each["decision"] == "reject"]
    assert rejected, {name: each["decision"] for name, each in decisions.items()}
    said = answers(folder)
    for rows in rejected:
        batch = said[rows : rows + 8]
        assert all(learner == released for _, _, learner, released, _ in batch)


def test_held_candidates_let_the_learner_go_on_and_the_next_stage_starts_from_what_is_released(place: Place) -> None:
    """The first candidate passes by its few rows on `arrived`, the stage's end does not."""
    rule = {"metric": "accuracy", "slice": "arrived", "at_least": 0.0, "min_samples": 40}
    plan = small_plan(
        ONE,
        live(data={"candidate_every": 60}, gate=[rule]),
        {"name": "after", "data": {"take": 50}},
        on_hold="continue",
    )
    finished = place.run(plan)
    assert not finished.promoted  # 22 rows at the end are too few
    assert decision(finished.run, "live")["decision"] == "hold"
    after = decision(finished.run, "after")
    assert (after["decision"], after["started_from"], after["baseline"]) == (
        "promote",
        "live.128",
        "stage live.128 (version 3)",
    )


def test_standard_input_is_kept_and_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, (place.folder / "stream.jsonl").read_bytes())
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        finished = place.run(small_plan(ONE, live(data={"stream": "-"})))
    folder = stage_folder(finished.run, "live")
    assert len(answers(folder)) == ROWS
    assert (folder / "stream" / "kept.jsonl").read_bytes() == (place.folder / "stream.jsonl").read_bytes()


def test_a_stream_that_is_not_there_is_refused_before_anything_is_trained(place: Place) -> None:
    before = runs(place)
    with pytest.raises(InputError, match=r"stages\[1\]\.data\.stream: .*gone\.jsonl: cannot be read: No such file"):
        place.run(small_plan(ONE, live(data={"stream": "gone.jsonl"})), fresh=True)
    assert runs(place) == before


def test_a_stream_without_a_row_to_learn_is_refused(place: Place) -> None:
    (place.folder / "stream.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(
        InputError, match=r"stages\[1\]\.data\.stream: stream\.jsonl has no new row to learn; 0 dupl.*1 rows"
    ):
        place.run(small_plan(ONE, live()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"take": 5}}, r"stages\[1\].data: take: a stream's rows are learnt as they come"),
        ({"data": {"stream": None, "take": 5}}, r"micro_batch: is for a stream"),
        ({"epochs": 3}, r"stages\[1\].epochs: a stream has no epochs"),
        ({"schedule": "constant"}, r"stages\[1\].schedule: a stream has no epochs"),
        ({"adaptation": {"method": "gradual"}}, r"gradual has phases of several epochs"),
        ({"objective": "contrastive"}, r"objective: goes over a stage's rows several times"),
        ({"tune": {"trials": 2}}, r"tune: goes over a stage's rows several times"),
        ({"retention": {"lwf": {}}}, r"retention.lwf: is prepared on rows that are known beforehand"),
        ({"distribute": "mirrored"}, r"distribute"),
    ],
)
def test_what_a_stream_cannot_have_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    plan = small_plan(ONE, live(**changes))
    with pytest.raises(InputError, match=message):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_ewc_after_a_stream_is_refused(tmp_path: Path) -> None:
    plan = small_plan(ONE, live(), {"name": "after", "data": {"take": 50}, "retention": {"ewc": {}}})
    with pytest.raises(InputError, match=r"stages\[2\]\.retention\.ewc: .* those of live came from a stream"):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_the_slice_of_arrived_rows_is_a_streams(tmp_path: Path) -> None:
    plan = small_plan(ONE | {"gate": [PASSES | {"slice": "arrived"}]}, live())
    with pytest.raises(InputError, match=r"stages\[0\]\.gate\[0\]\.slice: arrived is of a stage that learns"):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_the_defaults_of_epochs_do_not_reach_a_stream(tmp_path: Path) -> None:
    loaded = load_plan(str(tiny.write_plan(tmp_path, small_plan(ONE, live()))))
    assert [stage.epochs for stage in loaded.plan.stages] == [2, 20]
    assert load_plan(str(tiny.write_plan(tmp_path, loaded.to_json()))).plan == loaded.plan
