from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.commands import run_command
from progressive_tf.registry.stage_to_promote import read_stage
from progressive_tf.train import app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command inside this process, in a folder of its own; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_command(app, list(arguments))
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return command


def plan_with(folder: Path, changes: Callable[[dict[str, Any]], None] = lambda plan: None) -> str:
    plan = tiny.of_table(tiny.raw_plan())
    changes(plan)
    return str(tiny.write_plan(folder, plan))


def test_help_answers_without_tensorflow() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "progressive_tf.train", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "progressive_tf.errors" in imported
    assert not {"tensorflow", "transformers", "pandas", "numpy"} & imported
    for word in ("--stages", "--set", "--fresh", "Exit codes"):
        assert word in result.stdout


def test_shipped_plans_are_listed(run: Run) -> None:
    code, out, _ = run("--list-plans")
    assert code == 0
    assert {"movie-reviews", "offline"} <= {line.split()[0] for line in out.splitlines()}


def test_a_run_grows_is_not_repeated_and_what_has_begun_cannot_change(run: Run, tmp_path: Path) -> None:
    plan = plan_with(tmp_path)
    code, out, err = run("--plan", plan, "--stages", "1")
    assert code == 0
    assert "one: epoch 1/3" in err
    assert "epoch" not in out
    code, _, err = run("--plan", plan, "--set", "stages.one.epochs=2")
    assert code == 2
    assert "stages that have begun cannot change:\n  stages[0].epochs: was 3, now 2" in err
    grown = ("--plan", plan, "--set", "stages.two.epochs=2")
    code, out, err = run(*grown)
    assert code == 0
    assert "two: epoch 1/2" in err
    assert "one: epoch" not in err
    report = Path(out.split("report: ")[1].splitlines()[0])
    assert report.read_text(encoding="utf-8").startswith("<!")
    assert json.loads((report.parent / "matrix.json").read_text())["stages"] == ["one", "two"]
    assert [shlex.split(line)[2:4] for line in out.splitlines()[-2:]] == [
        ["progressive_tf.release", "show"],
        ["progressive_tf.serve", "--model"],
    ]
    code, again, err = run(*grown)
    assert code == 0
    assert again == out
    assert "epoch 1/" not in err
    assert len(list((tmp_path / "runs" / "tiny").glob("2*"))) == 1
    held = ("--set", "stages.one.epochs=1", "--set", "stages.one.gate=[{metric: accuracy, at_least: 1}]")
    assert run("--plan", plan, "--fresh", "--stages", "1", *held)[0] == 3
    assert len(list((tmp_path / "runs" / "tiny").glob("2*"))) == 2


def test_a_held_gate_ends_with_3(run: Run, tmp_path: Path) -> None:
    def impossible(plan: dict[str, Any]) -> None:
        plan["defaults"] |= {"gate": [{"metric": "accuracy", "at_least": 1.0}], "epochs": 1}

    code, out, err = run("--plan", plan_with(tmp_path, impossible))
    assert code == 3
    assert "reject" in out
    assert "so two does not start (on_hold: stop)" in err
    force = [shlex.split(line) for line in out.splitlines() if "--force" in line]
    assert [Path(words[4]).name for words in force] == ["one"]
    assert read_stage(Path(force[0][4])).stage == "one"
    again = [shlex.split(line) for line in out.splitlines() if line.endswith("on_hold=continue")]
    assert run(*again[0][3:])[0] == 3
    assert sorted(each.name for each in (tmp_path / "runs").glob("*/*/stages/*")) == ["01-one", "02-two"]
    assert not (tmp_path / "registry" / "tiny" / "1").exists()


def test_a_registry_that_is_a_file_is_refused_before_training(run: Run, tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("not a folder")
    code, _, err = run("--plan", plan_with(tmp_path))
    assert code == 2
    assert "--registry registry: cannot be written" in err
    assert not (tmp_path / "runs").exists()


def weights_folder(folder: Path, config: str = '{"model_type": "bert"}', content: bytes = b"short") -> None:
    weights = folder / "weights"
    weights.mkdir()
    (weights / "config.json").write_text(config)
    (weights / "vocab.txt").write_text("\n".join(tiny.VOCABULARY))
    (weights / "model.safetensors").write_bytes(content)


def use_weights(plan: dict[str, Any], name: str = "weights") -> None:
    plan["model"] = {"builder": "bert", "weights": name, "max_length": 16}


BAD_INPUTS: dict[str, tuple[Callable[[Path, dict[str, Any]], object], str]] = {
    "unknown key": (lambda folder, plan: plan.update(stagse=1), "stagse: unknown key"),
    "wrong type": (lambda folder, plan: plan["stages"][0].update(epochs="many"), "stages[0].epochs: should be"),
    "no stages": (lambda folder, plan: plan.update(stages=[]), "stages: should have at least 1"),
    "duplicate names": (lambda folder, plan: plan["stages"][1].update(name="one"), "stages[1].name"),
    "threshold": (lambda folder, plan: plan["defaults"]["gate"][0].update(at_least=1.5), "between 0 and 1; got 1.5"),
    "take too many": (lambda folder, plan: plan["stages"][1]["data"].update(take=900), "stages[1].data.take: 900"),
    "missing file": (lambda folder, plan: plan["data"].update(source="gone.csv"), "gone.csv"),
    "empty file": (lambda folder, plan: (folder / "data.csv").write_bytes(b""), "data.csv"),
    "binary file": (lambda folder, plan: (folder / "data.csv").write_bytes(b"\x00\x01" * 500), "data.csv"),
    "wrong encoding": (
        lambda folder, plan: (folder / "data.csv").write_bytes("text,label\ncaf\xe9,a\ntea,b\n".encode("latin-1")),
        "UTF-8",
    ),
    "one class": (
        lambda folder, plan: (folder / "data.csv").write_text(
            "text,label\n" + "".join(f"text {index},a\n" for index in range(200))
        ),
        "at least two",
    ),
    "all duplicates": (
        lambda folder, plan: (folder / "data.csv").write_text("text,label\n" + "same text,a\nsame text,b\n" * 150),
        "data",
    ),
    "weights that are not there": (lambda folder, plan: use_weights(plan, "nowhere"), "is no asset"),
    "truncated weights": (
        lambda folder, plan: (weights_folder(folder), use_weights(plan)),
        "damaged or truncated",
    ),
    "another architecture": (
        lambda folder, plan: (weights_folder(folder, '{"model_type": "gpt2"}'), use_weights(plan)),
        "model_type 'gpt2'",
    ),
    "more blocks than there are": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "top-blocks", "blocks": 9}),
        "stages[1].adaptation.blocks: 9 asked, the network has 3",
    ),
    "rank zero": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "lora", "rank": 0}),
        "stages[1].adaptation.rank: should be greater than or equal to 1; got 0",
    ),
    "updates that are kept and differ": (
        lambda folder, plan: [
            stage.update(adaptation={"method": "lora", "rank": 1 + index, "merge": False})
            for index, stage in enumerate(plan["stages"])
        ],
        "stages[1].adaptation: query has an update",
    ),
    "a role that is not there": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "lora", "rank": 1, "targets": ["gate"]}),
        "stages[1].adaptation.targets: unknown role 'gate'; known: ffn, key, output, query, value",
    ),
    "a prompt without room for text": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "prompt", "length": 20}),
        "stages[1].adaptation.length: 20 asked, model.max_length is 16",
    ),
    "two methods in one stage": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "lora", "rank": 1, "blocks": 2}),
        "stages[1].adaptation.blocks: unknown key",
    ),
    "a list of methods": (
        lambda folder, plan: plan["stages"][1].update(adaptation=[{"method": "lora"}, {"method": "bitfit"}]),
        "stages[1].adaptation",
    ),
    "two objectives' phases in one stage": (
        lambda folder, plan: plan["stages"][1].update(adaptation={"method": "gradual"}, objective="contrastive"),
        "stages[1].objective: contrastive has phases of its own",
    ),
    "a cache folder that is a file": (
        lambda folder, plan: (
            (folder / "cache").mkdir(exist_ok=True),
            (folder / "cache" / "prefix").write_text("in the way"),
            plan["stages"][1].update(adaptation={"method": "head"}),
        ),
        "cache",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_ends_with_2_and_one_message(run: Run, tmp_path: Path, case: str) -> None:
    spoil, expected = BAD_INPUTS[case]
    plan = tiny.raw_plan()
    tiny.write_plan(tmp_path, plan)
    spoil(tmp_path, plan)
    code, out, err = run("--plan", str(tiny.write_plan(tmp_path, plan)))
    assert code == 2
    assert expected in err
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert out == ""
    assert not list((tmp_path / "runs").glob("tiny/2*")), "a run that never began is left behind"


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sends this process SIGINT, as Ctrl-C does, each time that the second epoch of a stage has been kept."""
    from progressive_tf.training.fitting.checkpoint import Backup

    save = Backup.save

    def save_and_interrupt(backup: Backup, path: Path) -> None:
        save(backup, path)
        if backup.epochs_done == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Backup, "save", save_and_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_control_c_saves_and_says_how_to_resume(ctrl_c: None, run: Run, tmp_path: Path) -> None:
    plan = plan_with(tmp_path)
    code, _, err = run("--plan", plan, "--stages", "1")
    assert code == 130
    assert "The same command continues there" in err
    assert "Traceback" not in err
    history = next(tmp_path.glob("runs/tiny/*/stages/01-one/history.csv")).read_text().splitlines()
    assert len(history) == 3
    code, _, err = run("--plan", plan, "--stages", "1")
    assert code == 0
    assert "one: epoch 3/3" in err
    assert "one: epoch 2/3" not in err, "a finished epoch was repeated"


def test_a_second_training_in_the_same_folder_is_refused(run: Run, tmp_path: Path) -> None:
    from progressive_tf.training.run.run_folder import locked

    with locked(tmp_path / "out"):  # as another process does it: tests/training/test_run_folder.py
        code, _, err = run("--plan", plan_with(tmp_path), "--out", "out")
    assert code == 1
    assert "another process is training here" in err
