from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny

from benchmarks.gpu_check import Measured, main, run_plan

ON_CPU = "CPU with 2 cores; float32; no XLA; one device"
ON_GPU = "NVIDIA A10; mixed_float16; XLA; one device"


def check(
    cpu: Measured, gpu: Measured, capsys: pytest.CaptureFixture[str], gpus: tuple[str, ...] = ("GPU:0",)
) -> tuple[int, str]:
    """Returns exit code and output of a check whose runs ended so."""

    def run(plan: str, precision: str, environment: Mapping[str, str]) -> Measured:
        assert plan == "movie-reviews"
        without_gpu = environment.get("CUDA_VISIBLE_DEVICES") == "-1"
        assert precision == ("float32" if without_gpu else "mixed_float16")
        return cpu if without_gpu else gpu

    code = main([], lambda: gpus, run)
    return code, capsys.readouterr().out


def test_within_one_point_passes(capsys: pytest.CaptureFixture[str]) -> None:
    cpu, gpu = Measured(ON_CPU, {"one": 0.7, "two": 0.8}, 90.0), Measured(ON_GPU, {"one": 0.71, "two": 0.79}, 20.0)
    code, said = check(cpu, gpu, capsys)
    assert code == 0
    assert said.endswith("gpu-check: passed\n")
    assert ON_GPU in said
    assert "test accuracy, two: 0.800 on the CPU, 0.790 on the GPU" in said


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        (Measured(ON_GPU, {"one": 0.7, "two": 0.788}, 20.0), "stage two: 1.2 points apart, at most 1.0 expected"),
        (Measured(ON_GPU, {"one": 0.7}, 20.0), "stages trained: one, two on the CPU, one on the GPU"),
        (Measured(ON_CPU, {"one": 0.7, "two": 0.8}, 20.0), "expected mixed_float16; XLA to be used"),
    ],
)
def test_what_differs_fails(gpu: Measured, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = check(Measured(ON_CPU, {"one": 0.7, "two": 0.8}, 90.0), gpu, capsys)
    assert code == 1
    assert message in said
    assert said.endswith("gpu-check: FAILED\n")


def test_without_a_gpu_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], list, run_plan) == 2
    assert "finds no GPU here" in capsys.readouterr().out


@pytest.mark.slow
def test_a_plan_runs_in_a_folder_of_its_own_and_its_figures_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tiny.write_plan(tmp_path, tiny.of_table(tiny.raw_plan())))
    measured = run_plan(path, "mixed_bfloat16", {"CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"})
    assert list(measured.accuracy) == ["one", "two"]
    assert "; mixed_bfloat16; no XLA; " in measured.hardware
    broken = str(tiny.write_plan(tmp_path, tiny.raw_plan(seed="none")))
    assert main(["--plan", broken], lambda: ["GPU:0"]) == 1
    assert "defaults.precision=float32 ended with 2:" in capsys.readouterr().out
