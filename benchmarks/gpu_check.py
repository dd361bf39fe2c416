"""Whether a GPU trains as well as the CPU: the default plan with mixed_float16 and XLA against float32 on the CPU.

Command: make gpu-check, or python -m benchmarks.gpu_check [--plan movie-reviews]

Exit code 0: the test accuracy of every stage is within one point; 1: it is not, or a run failed; 2: there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.elsewhere import train_in
from progressive_tf.logs import quiet_tensorflow

FARTHEST = 0.01
NO_GPU = "-1"  # as CUDA_VISIBLE_DEVICES
PRECISION = "mixed_float16"
USED = f"; {PRECISION}; XLA; "  # in the line that a run says about its hardware

Run = Callable[[str, str, Mapping[str, str]], "Measured"]


@dataclass(frozen=True)
class Measured:
    """How a run ended.

    Attributes:
        hardware: what the run said it computes on.
        accuracy: test accuracy of each trained stage on its own slice.
        seconds: of the whole command.
    """

    hardware: str
    accuracy: dict[str, float]
    seconds: float


def run_plan(plan: str, precision: str, environment: Mapping[str, str]) -> Measured:
    """Runs a plan in a process and a folder of its own.

    Raises:
        RuntimeError: the run failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        train_in(folder, ["--plan", plan, "--set", f"defaults.precision={precision}"], environment)
        seconds = time.monotonic() - started
        return read_run(next((folder / "runs").glob("*/*/plan.yaml")).parent, seconds)


def read_run(run: Path, seconds: float) -> Measured:
    """Returns what a finished run's folder says."""
    accuracy = {}
    for path in sorted((run / "stages").glob("*/metrics.json")):
        stage = path.parent.name.partition("-")[2]
        accuracy[stage] = float(json.loads(path.read_text(encoding="utf-8"))["test"][stage]["accuracy"]["value"])
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    return Measured(environment["hardware"], accuracy, seconds)


def differences(cpu: Measured, gpu: Measured) -> list[str]:
    """Returns in words what speaks against the GPU; nothing where every stage is within one point."""
    found = []
    if USED not in gpu.hardware:
        found.append(f"expected {USED.strip('; ')} to be used, the run says: {gpu.hardware}")
    if cpu.accuracy.keys() != gpu.accuracy.keys():
        found.append(f"stages trained: {', '.join(cpu.accuracy)} on the CPU, {', '.join(gpu.accuracy)} on the GPU")
    for stage in cpu.accuracy.keys() & gpu.accuracy.keys():
        distance = abs(gpu.accuracy[stage] - cpu.accuracy[stage])
        if distance > FARTHEST + 1e-9:
            found.append(f"stage {stage}: {100 * distance:.1f} points apart, at most {100 * FARTHEST:.1f} expected")
    return sorted(found)


def gpu_names() -> Sequence[str]:
    """Returns the GPUs that TensorFlow finds."""
    quiet_tensorflow()
    import tensorflow as tf

    return [gpu.name for gpu in tf.config.list_physical_devices("GPU")]


def main(arguments: Sequence[str], find_gpus: Callable[[], Sequence[str]] = gpu_names, run: Run = run_plan) -> int:
    """Runs the plan twice, prints a table and a verdict; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare a GPU's training with the CPU's.")
    parser.add_argument("--plan", default="movie-reviews")
    plan = parser.parse_args(arguments).plan
    if Path(plan).is_file():
        plan = str(Path(plan).resolve())
    if not find_gpus():
        print(
            "gpu-check: TensorFlow finds no GPU here, so there is nothing to check. It needs an NVIDIA driver for "
            "CUDA 12.2 and the packages of `make gpu-setup`; see docs/guides/gpu.md"
        )
        return 2
    try:
        cpu = run(plan, "float32", {"CUDA_VISIBLE_DEVICES": NO_GPU})
        gpu = run(plan, PRECISION, {})
    except RuntimeError as error:
        print(f"gpu-check: {error}")
        return 1
    for name, measured in (("CPU", cpu), ("GPU", gpu)):
        print(f"{name}  {measured.seconds:7.1f} s  {measured.hardware}")
    for stage in cpu.accuracy:
        there = f"{gpu.accuracy[stage]:.3f}" if stage in gpu.accuracy else "-"
        print(f"test accuracy, {stage}: {cpu.accuracy[stage]:.3f} on the CPU, {there} on the GPU")
    found = differences(cpu, gpu)
    for difference in found:
        print(f"gpu-check: {difference}")
    print(f"gpu-check: {'FAILED' if found else 'passed'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
