from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.commands import run_command
from progressive_tf.registry import ModelVersions, Registry, StagedVersion
from progressive_tf.registry.traffic import Traffic
from progressive_tf.release import app
from progressive_tf.serving.served_rows import Answered, ServedRequest
from progressive_tf.serving.store import Store, store_path

MODEL = "reviews"
HELD = {
    "decision": "hold",
    "version": None,
    "baseline": None,
    "reason": "not enough rows",
    "rules": [
        {
            "rule": {"metric": "accuracy", "slice": "current", "at_least": 0.55},
            "slice": "current",
            "estimate": 0.5,
            "low": 0.4,
            "high": 0.6,
            "threshold": 0.55,
            "n": 20,
            "outcome": "hold",
            "reason": "20 rows, at least 30 are needed",
        },
        {
            "rule": {"metric": "f1_macro", "slice": "all", "at_least": 0.5},
            "slice": "all",
            "outcome": "pass",
            "reason": "fine",
        },
    ],
}


def staged(stage: str, run: str = "run-1", **changes: Any) -> StagedVersion:
    def export(folder: Path) -> None:
        (folder / "saved_model.pb").write_bytes(stage.encode())

    fields: dict[str, Any] = {
        "model": MODEL,
        "run": run,
        "stage": stage,
        "weights_sha256": f"weights of {run}/{stage}",
        "parent": None,
        "task": "text-classification",
        "input_kind": "texts",
        "labels": ("negative", "positive"),
        "plan_sha256": "plan",
        "data_sha256": "data",
        "code_sha256": "code",
        "environment": {},
        "metrics": {"accuracy": 0.75, "log_loss": None},
        "decision": {**HELD, "decision": "promote", "reason": "every rule passed"},
        "export": export,
    }
    return StagedVersion(**{**fields, **changes})


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelVersions:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Registry(Path("registry")).model(MODEL)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / MODEL / "run-1"
    for stage, decision in (("01-pilot", {**HELD, "decision": "promote"}), ("02-beta-2", HELD), ("03-full", None)):
        (folder / "stages" / stage).mkdir(parents=True)
        if decision is not None:
            (folder / "stages" / stage / "decision.json").write_text(json.dumps(decision))
    (folder / "plan.yaml").write_text(f"name: {MODEL}\n")
    return folder


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """Stands in for the training package; lists what it was asked to export."""
    asked: list[tuple[Path, str]] = []

    def export_stage(run: Path, stage: str) -> StagedVersion:
        asked.append((run, stage))
        return staged(stage, run.name, decision=HELD)

    module = types.ModuleType("progressive_tf.training.stage.promotion")
    module.export_stage = export_stage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "progressive_tf.training", types.ModuleType("progressive_tf.training"))
    monkeypatch.setitem(sys.modules, "progressive_tf.training.stage.promotion", module)
    return asked


def release(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        run_command(app, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_list_shows_every_version_and_its_aliases(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", metrics={}))
    code, out, err = release(capsys, "list")
    assert (code, err) == (0, "")
    assert "previous" in out
    assert "run-1/beta" in out
    assert "0.750" in out
    code, out, _ = release(capsys, "list", "--json")
    assert [(row["version"], row["aliases"], row["accuracy"]) for row in json.loads(out)] == [
        (1, ["previous"], 0.75),
        (2, ["stable"], None),
    ]


def test_a_version_that_writes_texts_is_listed_by_their_metric(
    model: ModelVersions, capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(
        staged("pilot", task="translation", labels=(), metrics={"exact_match": 0.5, "bleu": 30.25, "chrf": 61.5})
    )
    assert "chrf 61.500" in release(capsys, "list")[1]
    assert json.loads(release(capsys, "list", "--json")[1])[0]["chrf"] == 61.5
    assert "none: it writes texts" in release(capsys, "show", MODEL)[1]


def test_list_without_a_registry_says_so(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    assert release(capsys, "list") == (
        2,
        "",
        "error: registry: no registry here; name one with --registry, or promote a stage first\n",
    )
    Path("registry").mkdir()
    assert release(capsys, "list")[:2] == (0, "no versions in registry\n")


def test_show_tells_where_a_version_comes_from(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", parent=1))
    model.rollback("it was [bold]worse[/bold]")
    _, out, _ = release(capsys, "show", MODEL)
    assert "reviews version 1" in out  # stable after the rollback
    assert "it was [bold]worse[/bold]" in out
    _, out, _ = release(capsys, "show", MODEL, 2)
    assert "2 ← 1" in out
    assert "20 rows, at least 30 are needed" in out
    assert "it was" not in out  # the history of this version only
    _, out, _ = release(capsys, "show", MODEL, 2, "--json")
    shown = json.loads(out)
    assert shown["lineage"] == [2, 1]
    assert shown["manifest"]["weights_sha256"] == "weights of run-1/beta"
    assert [entry["event"] for entry in shown["history"]] == ["intent", "prepared", "commit", "alias"]


def test_show_is_short_and_all_of_it_is_asked_for(
    model: ModelVersions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tuple(f"intent {number}" for number in range(12))
    metrics = {"accuracy": 0.75, **{f"{kind}/{label}": 0.5 for kind in ("recall", "f1") for label in labels}}
    run = "20261129-142747-725907-f0f4da2b"
    model.publish(staged("pilot", run, labels=labels, metrics=metrics, weights_sha256="ab" * 32))
    for width in ("80", "120"):
        monkeypatch.setenv("COLUMNS", width)
        _, out, _ = release(capsys, "show", MODEL)
        for expected in (f"{run}/pilot", "ab" * 32, "registry/reviews/1", "intent 9 and 2 more, with --all"):
            assert expected in out  # whole, on one line
        assert "metrics of 12 classes or types: --all" in out
        assert "0.500" not in out
        assert "released" in out.partition("history")[2]
        assert "intent" not in out.partition("history")[2]
        _, out, _ = release(capsys, "show", MODEL, "--all")
        assert out.count("0.500") == 24
        assert "intent 11" in out
        assert "prepared" in out.partition("history")[2]
        assert f"{run}/pilot" in release(capsys, "list")[1]


def test_show_refuses_what_is_not_there(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    model.publish(staged("pilot"))
    assert "unknown version of reviews '7'" in release(capsys, "show", MODEL, 7)[2]
    assert "did you mean 'reviews'" in release(capsys, "show", "review")[2]
    assert release(capsys, "show", "../x")[0] == 2
    assert release(capsys, "show", MODEL, "first")[0] == 2


def test_list_and_show_survive_a_broken_manifest(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = model.publish(staged("pilot")).folder / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text("[")
    assert release(capsys, "list")[0] == 0
    code, out, _ = release(capsys, "show", MODEL)
    assert code == 0
    assert "missing or broken; see `release verify`" in out


def test_a_rollback_says_what_it_took_back_whatever_came_before_it(
    model: ModelVersions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary that begins while the command is on its way is the one that is taken back."""
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias=None)
    roll_back = Traffic.roll_back

    def after_a_canary_began(self: Traffic, *given: Any) -> Any:
        Traffic(self.model).start_canary(2, 5)
        return roll_back(self, *given)

    monkeypatch.setattr(Traffic, "roll_back", after_a_canary_began)
    assert release(capsys, "rollback", MODEL) == (0, "reviews: version 2 is no canary any more\n", "")


def test_rollback_moves_stable_back(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"))
    assert release(capsys, "rollback", MODEL) == (0, "reviews: stable 2 → 1, previous none\n", "")
    code, _, err = release(capsys, "rollback", MODEL)
    assert code == 2
    assert "no previous version to roll back to" in err


def test_verify_lists_damage_and_ends_with_1(model: ModelVersions, capsys: pytest.CaptureFixture[str]) -> None:
    file = model.publish(staged("pilot")).folder / "saved_model.pb"
    assert release(capsys, "verify") == (0, "versions checked: 1, damaged: none\n", "")
    file.chmod(0o600)
    file.write_bytes(b"pilos")
    for arguments in (["verify"], ["verify", MODEL]):
        code, out, _ = release(capsys, *arguments)
        assert code == 1
        assert "saved_model.pb" in out
        assert "changed" in out
    assert release(capsys, "verify", "tweets")[0] == 2


def test_lost_aliases_are_written_again_by_any_command(
    model: ModelVersions, capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("pilot"))
    (model.files.path / "aliases.json").unlink()
    code, _, err = release(capsys, "list")
    assert code == 0
    assert "rewrote the aliases' files" in err
    assert json.loads((model.files.path / "aliases.json").read_text()) == {"stable": 1}


def test_a_held_stage_is_refused_and_the_rules_that_held_are_named(
    model: ModelVersions, run_folder: Path, exports: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = release(capsys, "promote", run_folder / "beta-2")
    assert (code, out) == (2, "")
    assert "decision on stage 'beta-2' is hold: not enough rows" in err
    assert "hold: accuracy on current: 20 rows, at least 30 are needed" in err
    assert "f1" not in err
    assert "--force" in err
    assert exports == []
    assert not model.exists


@pytest.mark.parametrize("reason", [[], ["--reason", ""], ["--reason", "  "]])
def test_forcing_without_a_reason_is_refused(
    model: ModelVersions,
    run_folder: Path,
    exports: list[tuple[Path, str]],
    capsys: pytest.CaptureFixture[str],
    reason: list[str],
) -> None:
    code, _, err = release(capsys, "promote", run_folder / "beta-2", "--force", *reason)
    assert code == 2
    assert "--force needs --reason" in err
    assert exports == []


@pytest.mark.parametrize("place", ["beta-2", "stages/02-beta-2", "02-beta-2"])
def test_a_forced_promotion_is_made_and_journalled(
    model: ModelVersions,
    run_folder: Path,
    exports: list[tuple[Path, str]],
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    arguments = ["promote", run_folder / place, "--force", "--reason", "demo on Monday"]
    assert release(capsys, *arguments)[:2] == (0, "stage 'beta-2' is reviews version 1; stable points to it\n")
    assert exports == [(run_folder, "beta-2")]
    assert model.aliases() == {"stable": 1}
    commit = next(entry for entry in model.entries() if entry.event == "commit")
    assert (commit.forced, commit.reason) == (True, "demo on Monday")
    assert commit.who
    assert commit.time
    code, out, _ = release(capsys, *arguments)
    assert (code, out) == (0, "stage 'beta-2' is already reviews version 1, and stable points to it\n")
    assert len(exports) == 1
    assert "demo on Monday" in release(capsys, "show", MODEL)[1]
    assert "(forced)" in release(capsys, "list")[1]


def test_a_stage_that_the_gate_promoted_needs_no_force(
    model: ModelVersions, run_folder: Path, exports: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert release(capsys, "promote", run_folder / "pilot")[0] == 0
    assert [version.forced for version in model.versions()] == [False]


def test_without_force_stable_moves_only_from_what_the_stage_was_compared_with(
    model: ModelVersions, run_folder: Path, exports: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("pilot", run="another"))
    code, _, err = release(capsys, "promote", run_folder / "pilot")
    assert code == 1
    assert "stable of reviews now points to version 1" in err
    assert release(capsys, "promote", run_folder / "pilot", "--force", "--reason", "compared by hand")[0] == 0
    assert model.aliases() == {"stable": 2, "previous": 1}


def test_a_version_that_is_no_longer_stable_becomes_so_by_force_only(
    model: ModelVersions, run_folder: Path, exports: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("first", run="another"))
    model.publish(staged("pilot"))
    model.rollback()
    code, _, err = release(capsys, "promote", run_folder / "pilot")
    assert code == 2
    assert "already reviews version 2; stable points to version 1" in err
    arguments = ["promote", run_folder / "pilot", "--force", "--reason", "mistaken rollback"]
    assert release(capsys, *arguments)[0] == 0
    assert model.aliases() == {"stable": 2, "previous": 1}
    assert exports == []


def test_places_that_are_no_stage_are_refused(
    model: ModelVersions, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no plan.yaml" in release(capsys, "promote", "nowhere/pilot")[2]
    assert (
        "unknown stage of run-1 'pilott'; did you mean 'pilot'" in release(capsys, "promote", run_folder / "pilott")[2]
    )
    assert "no decision yet" in release(capsys, "promote", run_folder / "full")[2]
    (run_folder / "stages" / "03-full" / "decision.json").write_text("{")
    assert "not valid JSON" in release(capsys, "promote", run_folder / "full")[2]
    assert release(capsys, "promote")[0] == 2


MANUAL = "its plan has no release.steps, so that you decide on it; `release show reviews` says what is known of it\n"


def test_an_operator_tries_a_version_on_part_of_the_callers(
    model: ModelVersions, capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias=None)
    for arguments, said in (
        (["shadow", MODEL, 2], "reviews: version 2 answers in the background\n"),
        (
            ["canary", MODEL, 2, "--percent", 5, "--reason", "begun"],
            f"reviews: version 2 answers 5 % of the callers\n{MANUAL}",
        ),
        (["widen", MODEL, "--percent", 20], "reviews: version 2 answers 20 % of the callers\n"),
        (["pause", MODEL], "reviews: version 2 is paused at 20 %; everybody is answered by stable\n"),
        (["widen", MODEL], "reviews: version 2 answers 20 % of the callers\n"),
        (["rollback", MODEL, "--reason", "slow"], "reviews: version 2 is no canary any more\n"),
        (["canary", MODEL, 2, "--percent", 50], f"reviews: version 2 answers 50 % of the callers\n{MANUAL}"),
        (["widen", MODEL, "--percent", 100], "reviews: the canary is stable now: version 2\n"),
        (["rollback", MODEL, "--version", 2], "reviews: stable 2 → 1, previous none\n"),
    ):
        assert release(capsys, *arguments) == (0, said, "")
    history = release(capsys, "show", MODEL)[1]
    for said in ("canary moved to 5 %", "canary widen to 20 %", "canary pause", "canary rolled back"):
        assert said in history
    for arguments, refused in (
        (["canary", MODEL, 2], "--percent"),
        (["canary", MODEL, 2, "--percent", 100], "above 0 and below 100"),
        (["rollback", MODEL, "--alias", "canary"], "has no canary to take back"),
        (["rollback", MODEL, "--version", 2], "version 2 is neither stable nor canary nor shadow"),
        (["rollback", MODEL, "--alias", "other"], "--alias"),
    ):
        code, _, err = release(capsys, *arguments)
        assert code == 2
        assert refused in err


def test_the_steps_of_a_plan_need_the_answers_that_the_server_counted(
    model: ModelVersions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("pilot"))
    steps = {"steps": [5, 25, 100], "min_samples": 2, "max_minutes": 60}
    model.publish(staged("beta", release=steps), alias=None)
    assert release(capsys, "canary", MODEL, 2)[1] == "reviews: version 2 answers 5 % of the callers\n"
    shown = release(capsys, "show", MODEL)[1]
    assert re.search(r"canary: version 2, 5 % of the callers since .* UTC; next 25 % after 2 answers, within 60", shown)
    code, _, err = release(capsys, "widen", MODEL, "--store", tmp_path / "store")
    assert code == 2
    assert "version 2 has given 0 of the 2 answers" in err
    assert not (tmp_path / "store").exists()
    rollout = Traffic(model).rollout()
    assert rollout is not None
    store = Store(store_path(tmp_path / "store", MODEL))
    answers = [[Answered(f"{number:032x}", "positive", None)] for number in range(2)]
    of_one = ServedRequest(0.0, 2, "canary", rollout.step, 200, 0.1, answers[0], caller=1)
    store.add([of_one])
    assert "has given 1 of the 2 answers" in release(capsys, "widen", MODEL, "--store", tmp_path / "store")[2]
    store.add([replace(of_one, answers=answers[1], caller=2)])
    store.close()
    said = release(capsys, "widen", MODEL, "--store", tmp_path / "store")
    assert said == (0, "reviews: version 2 answers 25 % of the callers\n", "")
    as_json = json.loads(release(capsys, "show", MODEL, "--json", "--store", tmp_path / "store")[1])
    assert as_json["rollout"]["percent"] == 25
    assert as_json["evidence"]["decides"] == "the server"
    # Version 1 is stable: that callers of what was stable before it did not fail says nothing of it.
    rollout = Traffic(model).rollout()
    assert rollout is not None
    store = Store(store_path(tmp_path / "moved", MODEL))
    for version, alias, status in ((2, "canary", 500), (7, "stable", 200)):
        store.add(ServedRequest(0.0, version, alias, rollout.step, status, 0.1, caller=each) for each in range(40))
    store.close()
    assert (
        "fails for more callers than stable, by a likelihood ratio of 1 "
        in release(capsys, "show", MODEL, "--store", tmp_path / "moved")[1]
    )
    for command in (["show", MODEL], ["list"]):
        shown = release(capsys, *command, "--store", tmp_path / "store")[1]
        assert "wait: 0 of 2 answers" in shown
        assert ("accuracy: its accuracy differs" in shown) == ("show" in command)
        assert f"no server has kept an answer in {tmp_path}" in release(capsys, *command, "--store", tmp_path)[1]
    broken = store_path(tmp_path / "broken", MODEL)
    broken.parent.mkdir(parents=True)
    broken.write_text("no database at all, and longer than the header of one")
    code, shown, _ = release(capsys, "show", MODEL, "--store", tmp_path / "broken")
    assert (code, "no evidence: " in shown) == (0, True)


def test_what_cannot_be_exported_is_refused(
    model: ModelVersions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.publish(staged("pilot"))
    (tmp_path / "file").write_text("mine")
    for number, to, said in (
        (9, "new", "unknown version of reviews '9'"),
        (1, "file", "a folder that is new or empty"),
    ):
        code, _, err = release(capsys, "export", MODEL, number, "--to", tmp_path / to)
        assert code == 2
        assert said in err
    # The versions of these tests hold a few bytes, which TensorFlow does not take for a model.
    code, _, err = release(capsys, "export", MODEL, 1, "--to", tmp_path / "new")
    assert code == 1
    assert "reviews version 1 does not load" in err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "new"))) == []


def test_help_needs_no_tensorflow() -> None:
    script = (
        "import sys\n"
        "from progressive_tf.release import app\n"
        "from progressive_tf.commands import run_command\n"
        "import progressive_tf.registry.tables\n"
        "try:\n"
        "    run_command(app, ['--help'])\n"
        "finally:\n"
        "    sys.stderr.write(' '.join({'tensorflow', 'pydantic', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("list", "show", "promote", "canary", "rollback", "verify"))
