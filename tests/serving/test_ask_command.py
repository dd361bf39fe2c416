"""`monitor NAME --ask N`, and what `release show` says of a canary and a shadow that wait for a proof."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from serving_fakes import MODEL, release

from progressive_tf.commands import run_command
from progressive_tf.monitor import app as monitor
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.traffic import Traffic
from progressive_tf.release import app as releases
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.store import Store, store_path

PROVING = {"steps": [5, 100], "min_samples": 1, "proof": "required"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A registry of two versions, of which 1 is stable, and a store in which they disagree for 10 of 40 callers."""
    model = Registry(tmp_path / "registry").model(MODEL)
    release(model, 1)
    release(model, 2, alias=None, plan_release=PROVING)
    store = Store(store_path(tmp_path / "serving", MODEL))
    said = {True: "positive", False: "negative"}
    store.add([], [], [Pair(1.0, TwoVersions(1, 2), caller, "negative", said[caller % 4 == 0]) for caller in range(40)])
    store.close()
    return tmp_path


def model_of(place: Path) -> ModelVersions:
    return Registry(place / "registry").model(MODEL)


def run(app: Any, place: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    folders = ["--registry", str(place / "registry"), "--store", str(place / "serving")]
    with pytest.raises(SystemExit) as stop:
        run_command(app, [*arguments, *folders])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_it_prints_a_line_of_json_for_each_question(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Traffic(model_of(place)).start_canary(2)
    code, out, err = run(monitor, place, capsys, MODEL, "--ask", "3")
    asked = [json.loads(line) for line in out.splitlines()]
    assert (code, len(asked)) == (0, 3)
    assert all("question_id" in each and not {"choices", "label"} & set(each) for each in asked)
    assert "labels: negative, positive" in err
    assert "3 disagreements wait for a label" in err
    assert len(run(monitor, place, capsys, MODEL, "--ask", "99")[1].splitlines()) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((MODEL, "--ask", "3"), "there is no canary and no shadow beside stable"),
        (("--ask", "3"), "--ask: name one model"),
        ((MODEL, "--ask", "3", "--propose", "next.yaml"), "--ask: name one model"),
        ((MODEL, "--ask", "0"), "--ask"),
    ],
)
def test_what_cannot_be_asked_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(monitor, place, capsys, *arguments)
    assert (code, out, said in err, "Traceback" in err) == (2, "", True, False)


@pytest.mark.parametrize("alias", ["canary", "shadow"])
def test_show_says_what_a_proof_lacks(place: Path, capsys: pytest.CaptureFixture[str], alias: str) -> None:
    traffic = Traffic(model_of(place))
    if alias == "canary":
        traffic.start_canary(2)
    else:
        traffic.start_shadow(2)
    shown = run(releases, place, capsys, "show", MODEL)[1]
    assert "proof: it is not shown yet to be at most 2 points less accurate than stable" in shown
    assert "40 callers, 10 disagreements, 0 of them judged" in " ".join(shown.split())
    assert "no proof yet: about" in shown
    assert "stable by" not in shown
    assert ("next 100 % after 1 answers and a proof" in shown) == (alias == "canary")
    as_json = json.loads(run(releases, place, capsys, "show", MODEL, "--json")[1])
    assert as_json["stable_by"] == "gate"


def test_a_proof_that_the_journal_has_is_shown_whatever_the_store_says(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traffic = Traffic(model_of(place), "the server")
    traffic.start_canary(2)
    traffic.prove("canary", 2, 1, "it is shown to be good enough")
    shown = run(releases, place, capsys, "show", MODEL)[1]
    assert "proof: it is shown to be good enough" in shown
    assert "canary proved" in shown
    traffic.widen(100, answers=1)
    assert re.search(r"stable by +proof", run(releases, place, capsys, "show", MODEL)[1])
