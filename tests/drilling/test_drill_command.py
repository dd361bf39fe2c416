"""The command: its table, its page, its exit codes; on made-up rows, and on versions that are released."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from made_up import reference, subject
from releasing import PASSES, begin
from rich.console import Console

from progressive_tf.commands import run_command
from progressive_tf.drill import app
from progressive_tf.drilling import choosing
from progressive_tf.drilling.saboteurs import SABOTEURS, Saboteur
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import validate

BY_NAME = {saboteur.name: saboteur for saboteur in SABOTEURS}
HARMLESS = Saboteur("a millionth slower", "nobody notices", slowness=lambda scene: 1.000001 + 0 * scene.asked.right)
QUICK = {"steps": [50, 100], "min_samples": 40, "max_minutes": 5}


def drill(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run_command(app, arguments)
    return int(ended.value.code or 0)


class MadeUp:
    """A registry with one made-up model."""

    name = "made-up"

    def __init__(self, root: Path) -> None:
        pass

    def existing_model(self, name: str) -> MadeUp:
        return self

    def aliases(self) -> dict[str, int]:
        return {"stable": 1}

    def version(self, number: int) -> Any:
        if number != 1:
            raise InputError(f"unknown version {number}")
        return subject().version


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Drills a made-up version with some saboteurs."""
    of = subject()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("progressive_tf.registry.Registry", MadeUp)
    found = of, reference(of), validate(tiny.raw_plan(), "plan")
    monkeypatch.setattr("progressive_tf.drilling.subject.read_subject", lambda *given: found)

    def called(saboteurs: tuple[Saboteur, ...], *arguments: str) -> int:
        monkeypatch.setattr(choosing, "SABOTEURS", saboteurs)
        return drill("made-up", "--orders", "1", *arguments)

    return called


def test_all_caught_is_exit_code_0_with_a_table_and_a_page(
    play: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    caught = BY_NAME["slow tail"], BY_NAME["swapped classes"]
    assert play(caught, "--page", "drill.html") == 0
    said, page = capsys.readouterr(), Path("drill.html").read_text(encoding="utf-8")
    for part in ("canary: latency", "gate: reject", "unharmed control", "all 2 saboteurs were caught in all 1 orders"):
        assert part in said.out
        assert part in page
    assert "page: drill.html" in said.err
    assert "users label 10% of the answers" in said.err


def test_one_that_gets_through_is_exit_code_3_and_the_same_again(
    play: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for _ in range(2):
        assert play((HARMLESS,), "--json") == 3
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    read = json.loads(said[0])
    assert read["verdict"] == "a millionth slower got through in 1 of 1 orders"
    assert [row["outcomes"][0]["by"] for row in read["rows"]] == ["nobody", "nobody"]


def test_what_is_asked_for_wrongly_is_refused(play: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--version", "7"], "unknown version 7"),
        (["--replay", "gone.csv"], "--replay gone.csv: there is no such file"),
        (["--feedback", "2"], "--feedback"),
        (["--orders", "0"], "--orders"),
    ):
        assert play((HARMLESS,), *arguments) == 2
        assert message in capsys.readouterr().err


def released(folder: Path, plan: dict[str, Any]) -> Path:
    changes: dict[str, Any] = {"stages": [{"name": "one", "data": {"take": 100}}]}
    changes["defaults"] = plan["defaults"] | {"gate": [PASSES], "release": QUICK}
    return begin(folder, plan | changes)


@pytest.mark.slow
def test_a_released_version_of_a_table_is_drilled_and_its_registry_left_alone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = released(tmp_path_factory.mktemp("table"), tiny.of_table(tiny.raw_plan()))
    monkeypatch.chdir(place)
    before = {path: path.read_bytes() for path in place.glob("registry/**/*") if path.is_file()}
    assert drill("tiny", "--orders", "1") in (0, 3)
    said = capsys.readouterr()
    for name in ("swapped classes", "slow tail", "leaked labels", "unharmed control"):
        assert name in said.out
    assert "lost lower-casing: left out, the rows are no texts, or not kept" in said.err
    assert "release.max_minutes is left out" in said.err
    assert {path: path.read_bytes() for path in place.glob("registry/**/*") if path.is_file()} == before
    assert drill("tiny", "--orders", "1", "--replay", "table.csv") in (0, 3)
    assert "callers ask 240 rows of table.csv" in capsys.readouterr().err
    other = (place / "table.csv").read_text(encoding="utf-8").replace("height", "size")
    (place / "other.csv").write_text(other, encoding="utf-8")
    for arguments, message in (
        (["other"], "unknown model 'other'"),
        (["tiny", "--runs", "nowhere"], "is not there, or its stage one kept no predictions"),
        (["tiny", "--replay", "other.csv"], "has no column 'height'"),
    ):
        assert drill(*arguments) == 2
        assert message in capsys.readouterr().err
    script = (
        "import sys; from progressive_tf.commands import run_command; from progressive_tf.drill import app\n"
        "try: run_command(app, ['tiny', '--replay', 'gone.csv'])\n"
        "except SystemExit as ended: print(ended.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"], done.stderr


@pytest.mark.slow
def test_texts_lose_their_lower_casing_and_a_file_is_replayed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = released(tmp_path_factory.mktemp("texts"), tiny.of_textnet(tiny.raw_plan()))
    monkeypatch.chdir(place)
    tiny.write_csv(place / "mine.csv", 80, seed=9)
    assert drill("tiny", "--orders", "1", "--replay", "mine.csv", "--json") in (0, 3)
    said = json.loads(capsys.readouterr().out)
    assert "lost lower-casing" in {row["name"] for row in said["rows"]}
    assert "callers ask 80 rows of mine.csv" in said["notes"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "rows"), [("offline", 13), ("offline-entities", 9)])
def test_the_saboteurs_of_a_plan_without_a_network_are_caught(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plan: str,
    rows: int,
) -> None:
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan

    place = tmp_path_factory.mktemp(plan)
    monkeypatch.chdir(place)
    quiet = Display(Console(file=io.StringIO()))
    run_plan(load_plan(plan), place / "runs" / plan, place / "registry", False, quiet)
    code = drill(plan, "--orders", "1", "--json")
    said = json.loads(capsys.readouterr().out)
    by = {row["name"]: row["outcomes"][0]["by"] for row in said["rows"]}
    assert len(by) == rows
    through = {name for name, who in by.items() if who == "nobody"}
    assert through == {"unharmed control"}, by
    assert code == 0
