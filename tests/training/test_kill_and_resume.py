from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from benchmarks.kill_and_resume import run_alone, run_killed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_change_neither_matrix_nor_decisions_nor_weights(tmp_path: Path) -> None:
    plan = tiny.raw_plan()
    plan["defaults"] |= {
        "epochs": 12,
        "batch_size": 4,
        "schedule": {"name": "plateau", "patience": 1},
        "early_stopping": {"monitor": "val_loss", "patience": 30},
    }
    plan["stages"][0]["retention"] = {"average": {"kind": "ema"}}
    # Additions to the network, a part of it that is frozen and cached, rows that are replayed, and a teacher.
    plan["stages"][1] = {
        "name": "two",
        "data": {"take_new": 60},
        "adaptation": {"method": "adapter", "size": 2, "from_block": 2},
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
    arguments = ["--plan", str(tiny.write_plan(tmp_path, plan))]
    alone, _ = run_alone(arguments, tmp_path / "alone")
    killed, kills = run_killed(arguments, tmp_path / "killed", kills=4, seed=5)
    assert kills == 4
    assert killed == alone
