from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from releasing import Place

from benchmarks.kill_and_resume import outcome, run_killed


@pytest.mark.slow
@pytest.mark.usefixtures("_determinism")
@pytest.mark.timeout(900)
def test_kills_change_neither_matrix_nor_decisions_nor_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tiny.of_table(tiny.raw_plan())
    plan["model"] = plan["model"] | {"dropout": 0.1}
    plan["defaults"] |= {
        "epochs": 5,
        "batch_size": 4,
        "schedule": {"name": "plateau", "patience": 1},
        "early_stopping": {"monitor": "val_loss", "patience": 30},
    }
    plan["stages"][0]["retention"] = {"average": {"kind": "ema"}}
    # Additions to the network, a part of it that is frozen and cached, rows that are replayed, and a teacher.
    plan["stages"][1] = {
        "name": "two",
        "data": {"take_new": 60},
        "adaptation": {"method": "adapter", "size": 2, "from_block": 1},
        "retention": {"replay": {"budget": 20}, "lwf": {}, "average": {"kind": "ensemble"}},
    }
    plan["stages"].append(
        {
            "name": "three",
            "data": {"take": 60},
            "adaptation": {"method": "full"},
            "schedule": "adaptive",
            "retention": {"ewc": {"samples": 20, "fisher": "sampled"}, "average": {"kind": "wise-ft"}},
        }
    )
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    Place(alone).run(plan)
    killed.mkdir()
    monkeypatch.chdir(killed)  # the cache stands in the current folder
    found, kills = run_killed(["--plan", str(alone / "plan.yaml")], killed, kills=3, seed=3)
    assert kills == 3
    assert found == outcome(alone)
