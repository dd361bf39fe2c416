"""Stages that learn from a stream."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from releasing import PASSES, Place, begin, copied, decision, read, small_plan, stage_folder

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry.staged import StagedVersion
from progressive_tf.reporting.page import write_report
from progressive_tf.training.fitting.checkpoint import checkpoint_facts
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.learnt import keys_of_stream
from progressive_tf.training.stage.promotion import export_stage
from progressive_tf.training.streaming import learning

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


def stream_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a plan of stages with a small network, which drops some of its outputs when it learns."""
    return tiny.of_textnet(small_plan(*stages, **changes))


def judged_plan(*further: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a plan with a stream whose candidates are judged and pass, and whose end has too few rows to pass."""
    gate = [PASSES, PASSES | {"slice": "arrived", "min_samples": 40}]
    return stream_plan(ONE, live(data={"candidate_every": 60}, retention=REPLAY, gate=gate), *further, **changes)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A place in which stage one has ended, beside a stream with a row twice and one that cannot be learnt."""
    folder = tmp_path_factory.mktemp("one")
    write_stream(folder / "stream.jsonl")
    with (folder / "stream.jsonl").open("a") as stream:
        stream.write('{"id": 3, "text": "again", "label": "positive"}\n{"text": "what", "label": "neutral"}\n')
    return begin(folder, stream_plan(ONE, live()), stages=1)


@pytest.fixture
def place(after_one: Path, tmp_path: Path) -> Place:
    return Place(copied(after_one, tmp_path / "place"))


def runs(place: Place) -> list[Path]:
    return list((place.folder / "runs").glob("*-*"))


def answers(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "stream" / "answers.jsonl").read_text().splitlines()]


def left_by(run: Path) -> tuple[str, list[bytes], list[dict[str, Any]], Any]:
    """Returns the last weights, the logs, every decision and the R matrix of a run."""
    stage = stage_folder(run, "live")
    logs = [(stage / "stream" / each).read_bytes() for each in learning.LOG_HEADERS]
    decisions = [read(path) for path in sorted(stage.rglob("decision.json"))]
    return checkpoint_facts(stage).weights_sha256, logs, decisions, read(run / "matrix.json")


@dataclass(frozen=True)
class Judged:
    """A run of `judged_plan`, in a folder to read or to copy, and its first candidate as it was exported."""

    folder: Path
    run: Path
    promoted: bool
    said: str
    candidate: StagedVersion


@pytest.fixture(scope="module")
def judged(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    place = Place(copied(after_one, tmp_path_factory.mktemp("judged") / "place"))
    finished = place.run(judged_plan())
    stream = place.folder / "stream.jsonl"
    without = stream.rename(stream.with_name("elsewhere"))  # what was learnt from it needs it no longer
    candidate = export_stage(finished.run, "live.64")
    without.rename(stream)
    folder = place.folder.rename(place.folder.with_name("ended"))  # as `begin` does
    run = folder / finished.run.relative_to(place.folder)
    return Judged(folder, run, finished.promoted, place.said[0], candidate)


def test_rows_are_answered_then_learnt_and_candidates_are_judged(judged: Judged) -> None:
    folder = stage_folder(judged.run, "live")
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
    versions = sorted(path.name for path in (judged.folder / "registry" / "tiny").glob("[0-9]*"))
    assert versions == ["1", "2", "3"]
    assert decision(judged.run, "live")["baseline"] == "stage live.128 (version 3)"
    # The released answers are the start's until the first candidate is out, and differ from them later.
    assert all(released == start for _, _, _, released, start in said[:64])
    assert any(released != start for _, _, _, released, start in said[64:])
    assert write_report(judged.run).read_text().count("rows learnt; the window has 50") == 1
    first = read(folder / "candidates" / "000000064" / "decision.json")
    assert judged.candidate.weights_sha256 == first["weights_sha256"]


def test_the_first_batch_is_answered_by_the_weights_it_began_with(judged: Judged) -> None:
    said = answers(stage_folder(judged.run, "live"))
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


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    judged: Judged, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first batch, one behind what was saved, which is before a candidate, and late with all saved."""
    for stopped_at, saved_every in ((0, 0.0), (9, 1000.0), (9, 0.0)):
        with monkeypatch.context() as patch:
            patch.setattr(learning.StreamFit, "take", taking(stopped_at))
            patch.setattr(learning, "SAVED_EVERY_SECONDS", saved_every)
            with pytest.raises(KeyboardInterrupt):
                place.run(judged_plan())
    assert left_by(place.run(judged_plan()).run) == left_by(judged.run)


@pytest.fixture(scope="module")
def gone_on(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """The judged run with forty rows more, of whose ids twenty came before, and two stages more."""
    place = Place(copied(judged.folder, tmp_path_factory.mktemp("on") / "place"))
    write_stream(place.folder / "stream.jsonl", 40, seed=11, first=130)
    place.run(judged_plan())
    after = {"name": "after", "data": {"take": 50}}
    finished = place.run(judged_plan(after, live(name="later"), on_hold="continue"))
    assert finished.run.name == judged.run.name
    return place, finished.run


@pytest.mark.slow
def test_a_later_stage_of_the_same_stream_goes_on_behind_it(judged: Judged, gone_on: tuple[Place, Path]) -> None:
    place, run = gone_on
    waiting = "live: 40 rows have come in stream.jsonl since it ended"
    assert "since it ended" not in judged.said
    assert waiting in place.said[0]
    assert waiting not in place.said[1]
    folder = stage_folder(run, "later")
    assert [row for row, *_ in answers(folder)] == list(range(ROWS + 23, ROWS + 43))
    assert read(folder / "metrics.json")["stream"]["duplicates"] == 20
    later = decision(run, "later")
    assert (later["decision"], later["version"]) == ("promote", 5)


@pytest.mark.slow
def test_held_candidates_let_the_learner_go_on_and_the_next_stage_starts_from_what_is_released(
    judged: Judged, gone_on: tuple[Place, Path]
) -> None:
    """The first candidates pass by their few rows on `arrived`, the stage's end does not."""
    assert not judged.promoted  # 22 rows at the end are too few
    assert decision(judged.run, "live")["decision"] == "hold"
    after = decision(gone_on[1], "after")
    assert (after["decision"], after["started_from"], after["baseline"]) == (
        "promote",
        "live.128",
        "stage live.128 (version 3)",
    )


@pytest.mark.slow
def test_a_rejected_learner_goes_back_to_what_is_released(place: Place) -> None:
    stream = place.folder / "turning.jsonl"
    write_stream(stream, 64)
    write_stream(stream, 96, seed=12, first=1000, flip=True)
    strict = [{"metric": "accuracy", "slice": "current", "drop_at_most": 0.02}]
    fast = {"name": "adam", "learning_rate": 0.1}  # a few rows then change what is answered
    data = {"stream": "turning.jsonl", "candidate_every": 40}
    plan = stream_plan(ONE, live(data=data, gate=strict, optimizer=fast))
    folder = stage_folder(place.run(plan).run, "live")
    decisions = {path.parent.name: read(path) for path in sorted(folder.glob("candidates/*/decision.json"))}
    rejected = [int(name) for name, each in decisions.items() if each["decision"] == "reject"]
    assert rejected, {name: each["decision"] for name, each in decisions.items()}
    assert decisions["000000040"]["decision"] == "promote", "what is released is then not what it began with"
    said = answers(folder)
    for rows in rejected:
        batch = said[rows : rows + 8]
        assert all(learner == released for _, _, learner, released, _ in batch)


@pytest.mark.slow
def test_standard_input_is_kept_and_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, (place.folder / "stream.jsonl").read_bytes())
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        finished = place.run(stream_plan(ONE, live(data={"stream": "-"})), releases=False)
    folder = stage_folder(finished.run, "live")
    assert len(answers(folder)) == ROWS
    assert (folder / "stream" / "kept.jsonl").read_bytes() == (place.folder / "stream.jsonl").read_bytes()


def test_a_stream_that_is_not_there_is_refused_before_anything_is_trained(place: Place) -> None:
    before = runs(place)
    with pytest.raises(InputError, match=r"stages\[1\]\.data\.stream: .*gone\.jsonl: cannot be read: No such file"):
        place.run(stream_plan(ONE, live(data={"stream": "gone.jsonl"})), fresh=True)
    assert runs(place) == before


def test_a_stream_without_a_row_to_learn_is_refused(place: Place) -> None:
    (place.folder / "stream.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(
        InputError, match=r"stages\[1\]\.data\.stream: stream\.jsonl has no new row to learn; 0 dupl.*1 rows"
    ):
        place.run(stream_plan(ONE, live()))


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


@pytest.mark.slow
def test_a_stage_of_rows_after_a_stream_has_rivals_and_one_of_sums_is_refused(judged: Judged, tmp_path: Path) -> None:
    place = Place(copied(judged.folder, tmp_path / "place"))
    later = {"name": "later", "data": {"take": 80}, "adaptation": {"method": "head"}}
    run = place.run(judged_plan(later)).run
    assert read(stage_folder(run, "later") / "metrics.json")["rivals"]
    last = {"name": "last", "data": {"take": 80}, "adaptation": {"method": "slda"}}
    with pytest.raises(InputError, match="stage live learnt from a stream, whose rows are not kept"):
        place.run(judged_plan(later, last))


def test_rows_that_came_in_a_stream_decide_on_no_later_stage(place: Place) -> None:
    """As those of a stage with a source do not."""
    place.run(stream_plan(ONE, live()))
    (run,) = runs(place)
    keys = keys_of_stream(StageRecord(1, "live", stage_folder(run, "live")))
    assert len(keys) == len(answers(stage_folder(run, "live")))
    lines = [json.loads(line) for line in (place.folder / "stream.jsonl").read_text().splitlines()[:ROWS]]
    rows = [{"text": row["text"], "label": row["label"]} for row in lines]
    (place.folder / "collected.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    split = {"validation": 0.2, "gate": 0.2, "test": 0.2}
    later = {"name": "later", "data": {"source": "collected.jsonl", "split": split}}
    with pytest.raises(InputError, match=r"gate or test rows of collected.jsonl .* were trained on in stage live"):
        place.run(stream_plan(ONE, live(), later))
