from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import PASSES, Place, decision, read, stage_folder
from rich.console import Console
from test_scenarios import PAIRS, digits_plan, session_of

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import validate
from progressive_tf.reporting.page import write_report
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.rivals import rival_table
from progressive_tf.training.stage import rivals

NAMES = ["ncm", "slda", "logistic-regression"]
HEAD = {"method": "head"}


def head_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a plan of two stages with new classes, that trains the head of a random layer so little that it loses."""
    plan = digits_plan("class-incremental", {}, **changes)
    plan["stages"] = list(stages) or [{"name": name, "data": {"classes": PAIRS[name]}} for name in list(PAIRS)[:2]]
    plan["defaults"] |= {"epochs": 1, "batch_size": 256, "adaptation": HEAD, "gate": [PASSES]}
    return plan


class Ran:
    """A run whose second stage moves its blocks too in the third."""

    def __init__(self, folder: Path) -> None:
        third = {"name": "four-five", "data": {"classes": PAIRS["four-five"]}, "adaptation": {"method": "full"}}
        plan = head_plan()
        plan["stages"].append(third)
        self.place = Place(folder)
        self.run = self.place.run(plan | {"rivals": NAMES}).run
        self.said = self.place.said[-1].splitlines()

    def rivals(self, name: str) -> dict[str, Any]:
        return read(stage_folder(self.run, name) / "metrics.json").get("rivals", {})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Ran:
    return Ran(tmp_path_factory.mktemp("rivals"))


def test_a_stage_has_the_rivals_of_its_rows_so_far(ran: Ran) -> None:
    session = session_of(ran.place, ran.run)
    first, second, _ = session.stages
    session.load(second)
    data, source = session.data, session.source_of(second)
    trained = np.concatenate([record.rows()[0] for record in (first, second)])
    tested = np.concatenate([data.slices[name].test for name in data.slice_of[:2]])
    cache = session.settings(second).cache
    features = {
        name: session.features.read_by_head(source, rows, 1, cache)
        for name, rows in (("trained", trained), ("tested", tested))
    }
    codes = data.codes[source]
    means = np.stack([features["trained"][codes[trained] == code].mean(axis=0) for code in range(4)])
    peer = np.linalg.norm(features["tested"][:, np.newaxis] - means, axis=2).argmin(axis=1)
    ncm = ran.rivals("two-three")["ncm"]
    assert (ncm["rows"], ncm["of"]) == (len(trained), len(trained))
    assert ncm["test"]["value"] == pytest.approx((peer == codes[tested]).mean())
    assert ncm["test"]["n"] == len(tested)

    saved = pd.read_parquet(second.predictions)
    own = saved[(saved["part"] == "test") & saved["slice"].isin(data.slice_of[:2])]
    right = (own["label"] == own["predicted"]).mean()
    for rival in ran.rivals("two-three").values():
        assert rival["test"]["more"] == pytest.approx(rival["test"]["value"] - right)
        assert rival["test"]["low"] < rival["test"]["more"] < rival["test"]["high"]
        assert set(rival["slices"]["test"]) == set(data.slice_of[:2])
    of_first = ran.rivals("zero-one")["slda"]["slices"]["test"]
    assert set(of_first) == {data.slice_of[0]}
    assert ran.rivals("two-three")["slda"]["test"]["value"] > 0.9


def test_a_stage_that_loses_says_so_in_its_last_line_and_the_table_shows_all(ran: Ran) -> None:
    line = next(line for line in ran.said if line.startswith("two-three: promote"))
    assert " on the same kept outputs: 0.9" in line
    assert line.endswith("more")
    console = Console(file=io.StringIO(), width=120)
    console.print(rival_table(read_run(ran.run)))
    table = console.file.getvalue()
    assert [name in table for name in ("zero-one", "two-three", "four-five")] == [True, True, False]
    assert f"{ran.rivals('two-three')['slda']['test']['value']:.3f}" in table


def test_blocks_that_move_leave_nothing_to_fit_on_and_a_line_says_so_where_rivals_are_named(ran: Ran) -> None:
    assert ran.rivals("four-five") == {}
    assert "four-five: no rivals: adaptation full moves blocks, so what the head reads is not kept" in ran.said
    assert not any("no rivals" in line for line in ran.said if not line.startswith("four-five"))


@pytest.mark.slow
def test_rivals_can_be_asked_for_by_the_gate_be_left_out_and_see_a_part_of_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = {"metric": "accuracy", "slice": "all", "at_least_rival": True, "confidence": 0.95}
    plan = head_plan()
    plan["stages"][1]["gate"] = [PASSES, ask]
    place = Place(tmp_path)
    run = place.run(plan).run
    judged = decision(run, "two-three")
    assert judged["decision"] == "reject"
    assert [rule.get("against") for rule in judged["rules"]] == [None, *(f"rival {name}" for name in NAMES)]
    metrics = read(stage_folder(run, "two-three") / "metrics.json")["rivals"]
    for rule in judged["rules"][1:]:
        assert rule["estimate"] == pytest.approx(metrics[rule["against"].removeprefix("rival ")]["gate"]["more"])
    page = write_report(run).read_text(encoding="utf-8")
    assert "Logistic regression" in page
    assert "accuracy on all behind rival slda" in page
    none = place.run(head_plan(rivals=[]), fresh=True).run
    assert "rivals" not in read(stage_folder(none, "two-three") / "metrics.json")
    monkeypatch.setattr(rivals, "MOST_ROWS", 100)
    few = place.run(head_plan(rivals=["ncm"]), fresh=True).run
    [(name, rival)] = read(stage_folder(few, "two-three") / "metrics.json")["rivals"].items()
    assert (name, rival["rows"]) == ("ncm", 100)
    assert f"two-three: rivals are fitted on 100 of {rival['of']} rows, drawn once" in place.said[-1]


def test_what_makes_no_sense_is_refused() -> None:
    def refused(plan: dict[str, Any]) -> str:
        with pytest.raises(InputError) as error:
            validate(plan, "plan")
        return str(error.value)

    ask = {"metric": "accuracy", "at_least_rival": True}
    plan = head_plan(rivals=[])
    plan["defaults"]["gate"] = [ask]
    assert "at_least_rival: the plan has rivals: []" in refused(plan)
    plan = head_plan()
    plan["defaults"]["gate"] = [ask | {"slice": "every-previous"}]
    assert "slice every-previous compares with the last released version" in refused(plan)
    plan["defaults"]["gate"] = [ask | {"at_least": 0.5}]
    assert "needs exactly one of" in refused(plan)
    assert "rivals: each once" in refused(head_plan(rivals=["ncm", "ncm"]))
    assert "rivals" in refused(head_plan(rivals=["knn"]))
