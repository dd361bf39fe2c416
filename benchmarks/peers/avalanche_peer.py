"""Avalanche (Carta et al. 2023) on the splits of a file: five tasks in a row, one strategy, at the settings of a task.

Command: python -m benchmarks.peers.avalanche_peer TASK.json RESULT.json (in .venv-peers)
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import benchmarks.peers.whole_torchvision  # noqa: F401


def main() -> None:
    """Trains task after task, measures all of them at the end, writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", type=Path, help="JSON: splits, scenario, method, seed, epochs and so on")
    parser.add_argument("result", type=Path, help="where the result is written")
    options = parser.parse_args()
    task = json.loads(options.task.read_text(encoding="utf-8"))
    results = [run(task | one) for one in task.pop("runs")]
    options.result.write_text(json.dumps(results), encoding="utf-8")


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Returns the final accuracy on each task's test rows, and the seconds that training and testing took."""
    from avalanche.benchmarks import tensors_benchmark
    from avalanche.evaluation.metrics import accuracy_metrics
    from avalanche.models import MTSimpleMLP, SimpleMLP
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import EWC, JointTraining, LwF, Naive, Replay

    for seeding in (random.seed, np.random.seed, torch.manual_seed):
        seeding(task["seed"])
    arrays = np.load(task["splits"])
    count, multi_head = int(arrays["tasks"]), task["scenario"] == "task-incremental"

    def tensors(part: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [
            (torch.from_numpy(arrays[f"{part}_x_{index}"]), torch.from_numpy(arrays[f"{part}_y_{index}"]).long())
            for index in range(count)
        ]

    started = time.perf_counter()
    benchmark = tensors_benchmark(
        train_tensors=tensors("train"),
        test_tensors=tensors("test"),
        task_labels=list(range(count)) if multi_head else [0] * count,
        complete_test_set_only=False,
    )
    width = int(arrays["train_x_0"].shape[1])
    if multi_head:
        network = MTSimpleMLP(input_size=width, hidden_size=task["units"])
        network.features = SimpleMLP(
            input_size=width, hidden_size=task["units"], hidden_layers=task["layers"], drop_rate=0
        ).features
    else:
        network = SimpleMLP(
            num_classes=int(arrays["classes"]),
            input_size=width,
            hidden_size=task["units"],
            hidden_layers=task["layers"],
            drop_rate=0,
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=task["learning_rate"])
    strategies: dict[str, Any] = {
        "naive": (Naive, {}),
        "ewc": (EWC, {"ewc_lambda": task.get("strength", 1.0)}),
        "lwf": (LwF, {"alpha": task.get("strength", 1.0), "temperature": task.get("temperature", 2.0)}),
        "replay": (Replay, {"mem_size": task.get("budget", 100)}),
        "joint": (JointTraining, {}),
    }
    strategy_class, settings = strategies[task["method"]]
    strategy = strategy_class(
        model=network,
        optimizer=optimizer,
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=task["batch_size"],
        train_epochs=task["epochs"],
        eval_mb_size=256,
        evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[]),
        **settings,
    )
    if task["method"] == "joint":
        strategy.train(benchmark.train_stream)
    else:
        for experience in benchmark.train_stream:
            strategy.train(experience)
            strategy.eval(benchmark.test_stream)
    measured = strategy.eval(benchmark.test_stream)
    seconds = time.perf_counter() - started
    names = sorted(name for name in measured if name.startswith("Top1_Acc_Exp/eval_phase"))
    accuracies = [float(measured[name]) for name in names]
    return {"accuracies": accuracies, "seconds": seconds}


if __name__ == "__main__":
    main()
