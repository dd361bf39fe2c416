"""What stages beside changed labels do: held ones, methods, sweeps, versions to start from, texts."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import NEVER_ENOUGH, PASSES, Place, decision, read, stage_folder
from rich.console import Console
from test_changed_labels import CHANGES, DROP, NEW, plan, rows
from test_labels_inside import MERGED, months_in, months_plan

from progressive_tf.display import Display
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry.store import Registry
from progressive_tf.training.fitting.checkpoint import load_arrays
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run_plan import Options, run_plan
from progressive_tf.training.stage.promotion import export_stage
from progressive_tf.tuning.tune_plan import sweep_for_train

pytestmark = pytest.mark.slow


def loaded(place: Place, run: Path) -> Run:
    found = load_plan(str(place.folder / "plan.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        return load_run(found, RunFolder(run), place.folder / "registry", Display(Console(file=io.StringIO())))


def test_a_stage_after_a_held_one_goes_through_both_changes_in_turn(tmp_path: Path) -> None:
    place = months_in(tmp_path / "held")
    (place.folder / "3.csv").write_text(rows(("fax",), MERGED | {"transfer-in": "secure", "pin": "secure"}, 3))
    made = months_plan(on_hold="continue")
    made["stages"][1]["gate"] = [NEVER_ENOUGH]
    made["stages"][2]["labels"] = {"merge": {"secure": ["security", "transfer-in"]}}
    run = place.run(made).run
    assert decision(run, "march")["decision"] == "hold"
    april = decision(run, "april")
    assert (april["decision"], april["started_from"]) == ("promote", "february")
    heads = [
        sorted(path.parent.parent.name for path in run.glob(f"stages/*-{name}/heads/*")) for name in ("march", "april")
    ]
    assert heads == [["02-march"], ["03-april"]], "one after the other"
    versions = Registry(place.folder / "registry").model("tiny")
    before = (versions.version(2).manifest() or {})["labels_before"]
    assert before["version"] == 1
    assert before["labels"]["transfer"] == ["secure", "transfer-out"]
    assert before["labels"]["pin"] == ["secure"]

    there = loaded(place, run)
    february, april_stage = there.stages[0], there.stages[2]
    late = there.at(april_stage)
    train = np.sort(late.data.stages[2].train)
    first = there.at(february)
    first.load(february)
    was = first.features.probabilities(first.features.examples("3.csv", train, 0, there.plan.stages[0].cache))
    late.load(february)
    assert late.network.labels == ("balance", "refund", "secure", "transfer-out")
    now = late.features.probabilities(late.features.examples("3.csv", train, 0, there.plan.stages[0].cache))
    said = dict(zip(first.data.labels, was.T, strict=True))
    left = 1 - said["fax"]
    # The part of the class that was split, not the whole of it, went into the one that was merged then.
    assert now[:, 2].mean() == pytest.approx(((said["pin"] + said["transfer"] / 2) / left).mean(), abs=0.02)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        staged = export_stage(run, "march")
    assert staged.labels == NEW
    assert staged.labels_before is not None
    assert staged.labels_before["version"] == 1


def test_a_run_from_a_version_changes_labels_twice(tmp_path: Path) -> None:
    place = months_in(tmp_path / "start")
    place.run(plan("1.csv", None, [PASSES], "pretrained"))
    (place.folder / "3.csv").write_text(rows(("fax",), MERGED | {"pin": "secret"}, 3))
    made = months_plan(start=1, seed=4, costs={"balance": {"refund": 5.0}})
    made["data"]["source"] = "2.csv"
    made["data"]["earlier"] = {"before": "1.csv"}
    made["stages"] = [
        {"name": "march", "data": {"all": True}, "labels": CHANGES, "gate": [DROP]},
        {
            "name": "april",
            "data": {"source": "3.csv", "all": True},
            "labels": {"rename": {"security": "secret"}},
            "gate": [DROP | {"against": "first"}, DROP | {"slice": "every-previous"}],
            "retention": {"replay": {"budget": 12}},
        },
    ]
    run = place.run(made).run
    versions = Registry(place.folder / "registry").model("tiny")
    manifest = versions.version(3).manifest() or {}
    assert manifest["labels_before"]["version"] == 2
    assert manifest["labels_before"]["labels"]["security"] == ["secret"]
    costly = [read(stage_folder(run, name) / "metrics.json")["gate"] for name in ("march", "april")]
    assert all("expected_cost" in costs[name] for costs, name in zip(costly, ("march", "april"), strict=True))
    april = decision(run, "april")
    assert "stage march (version 2): security counts as secret" in april["labels"]
    assert "version 1: " in april["labels"]
    assert "pin counts as secret" in april["labels"]
    assert {rule["slice"] for rule in april["rules"]} == {"current", "march", "before"}
    words = read(run / "matrix.json")["labels"]
    assert "version 1: " in words
    assert "march: security counts as secret" in words
    replayed = pd.read_parquet(stage_folder(run, "april") / "retention" / "replay.parquet")
    assert "secret" in set(replayed["label"])
    assert not {"pin", "security", "fax", "transfer"} & set(replayed["label"])


def test_what_ends_a_stage_reads_rows_of_before_in_the_words_of_now(tmp_path: Path) -> None:
    place = months_in(tmp_path / "ends")
    made = months_plan(rivals=["ncm", "logistic-regression"], unknown_inputs={"score": "mahalanobis"})
    made["defaults"]["adaptation"] = {"method": "head"}
    made["defaults"] |= {"calibrate": "temperature", "abstain": {"error_at_most": 0.4}, "continual_evaluation": 2}
    made["stages"][1]["head"] = {"init": "prototypes"}
    made["stages"][1]["retention"] = {"average": {"kind": "ema"}, "distill": {"teacher": "stable"}, "lwf": {}}
    run = place.run(made).run
    facts = read(stage_folder(run, "march") / "metrics.json")
    own = [pd.read_parquet(stage_folder(run, name) / "rows.parquet") for name in ("february", "march")]
    known = pd.read_csv(place.folder / "1.csv")["label"].isin(["transfer", "fax"])
    of_february = own[0][~known.iloc[own[0]["index"]].to_numpy()]
    validation = sum((one["part"] == "validation").sum() for one in (of_february, own[1]))
    assert facts["calibration"]["rows"] == facts["abstain"]["rows"] == validation
    assert facts["unknown_inputs"]["validation"] == validation
    train = sum((one["part"] == "train").sum() for one in (of_february, own[1]))
    assert {rival["rows"] for rival in facts["rivals"].values()} == {train}
    assert facts["unknown_inputs"]["train"] == train
    assert set(facts["rivals"]["ncm"]["slices"]["gate"]) == {"february", "march"}
    assert facts["recency"]["true"] > 0
    earlier = pd.read_csv(stage_folder(run, "march") / "continual.csv")
    assert any("february" in column for column in earlier.columns)
    taught = load_arrays(stage_folder(run, "march") / "retention" / "distill.safetensors")[1]
    assert taught["became"]["transfer"] == ["transfer-in", "transfer-out"]
    assert facts["retention"]["lwf"]["rows"] == facts["retention"]["distill"]["rows"] == 112


def test_a_changed_stage_is_swept_from_the_changed_head(tmp_path: Path) -> None:
    place = months_in(tmp_path / "swept")
    made = months_plan()
    made["stages"] = made["stages"][:2]
    made["stages"][1]["tune"] = {"trials": 2, "drop_at_most": 1.0}
    found = load_plan(str(tiny.write_plan(place.folder, made)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        places = place.folder / "runs", place.folder / "registry"
        run = run_plan(found, *places, False, Display(Console(quiet=True)), Options(sweep=sweep_for_train)).run
    trials = [read(path) for path in sorted(run.glob("sweeps/02-march/trial_*/result.json"))]
    assert {trial["status"] for trial in trials} == {"feasible"}
    assert [set(trial["drops"]) for trial in trials] == [{"february"}] * len(trials)
    assert decision(run, "march")["decision"] == "promote"
