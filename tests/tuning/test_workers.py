"""A chief and two workers, each a process of its own, as Keras Tuner's environment variables make them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from sweeping import two_stages

from progressive_tf.tuning.trial import read_results

TRIALS = 3
# A worker waits in its first trial until the other has one too, so that each has some however quick the other is.
WORKER = """
import os, runpy, time
from pathlib import Path
from progressive_tf.tuning.trial import Trials

own, run, names = os.environ["KERASTUNER_TUNER_ID"], Trials.run, ("tuner0", "tuner1")

def run_beside_the_other(trials, *args):
    Path(f"{own}.begun").touch()
    while not all(Path(f"{name}.begun").exists() for name in names):
        time.sleep(0.05)
    return run(trials, *args)

Trials.run = run_beside_the_other
runpy.run_module("progressive_tf.tune", run_name="__main__", alter_sys=True)
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def begin(name: str, port: int, folder: Path) -> subprocess.Popen[str]:
    command = ["--plan", "plan.yaml", "--stage", "two", "--trials", str(TRIALS), "--oracle", "random"]
    command += ["--drop-at-most", "1"]  # what is forgotten is not asked
    space = "{optimizer.learning_rate: {float: [1e-3, 1e-1], log: true}}"
    own = {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    started = ["-m", "progressive_tf.tune"] if name == "chief" else ["-c", WORKER]
    return subprocess.Popen(
        [sys.executable, *started, *command, "--space", space],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_share_the_trials_of_a_sweep(tmp_path: Path) -> None:
    tiny.write_plan(tmp_path, two_stages())
    port = free_port()
    processes = {name: begin(name, port, tmp_path) for name in ("chief", "tuner0", "tuner1")}
    try:
        said = {name: process.communicate(timeout=800) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()  # which one that has ended does not mind
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(processes, 0), said
    (folder,) = (tmp_path / "runs" / "tiny").glob("*/sweeps/02-two")
    results = read_results(folder)
    assert [each.trial for each in results] == [f"{number:04d}" for number in range(TRIALS)]
    assert results[0].origin == "plan"
    assert {each.status for each in results} == {"feasible"}
    shared = [said[name][1].count("trial 000") for name in ("tuner0", "tuner1")]
    assert sum(shared) == TRIALS
    assert min(shared) >= 1
    assert (folder / "best.yaml").exists()
    assert "best.yaml" in said["chief"][0]
    assert not said["tuner0"][0]
