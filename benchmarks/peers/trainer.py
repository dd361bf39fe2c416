"""The Trainer of PyTorch's transformers with every weight trained: AdamW, linear fall, batches of 16 by length.

Command: python -m benchmarks.peers.trainer TASK.json RESULT.json (in .venv-peers)
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

import benchmarks.peers.whole_torchvision  # noqa: F401

# isort: split
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.peers.task import PeerResult, PeerTask, accuracy, read_arguments

BATCH_SIZE = 16
LEARNING_RATE = 5e-5


class EpochSeconds(TrainerCallback):
    """Notes how long each epoch took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, *arguments: Any, **keywords: Any) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, *arguments: Any, **keywords: Any) -> None:
        """Stops it."""
        self.seconds.append(time.perf_counter() - self._started)


def main() -> None:
    """Trains, predicts the test rows, writes the result."""
    task, path = read_arguments(__doc__, PeerTask)
    tokenizer = AutoTokenizer.from_pretrained(task.weights)
    model = AutoModelForSequenceClassification.from_pretrained(task.weights, num_labels=len(set(task.labels)))

    def tokens(texts: list[str], labels: list[int]) -> Dataset:
        encoded = tokenizer(texts, truncation=True, max_length=task.max_length)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        return Dataset.from_dict({**encoded, "labels": labels, "length": lengths})

    clock = EpochSeconds()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=task.epochs,
                learning_rate=LEARNING_RATE,
                per_device_train_batch_size=BATCH_SIZE,
                per_device_eval_batch_size=32,
                train_sampling_strategy="group_by_length",
                length_column_name="length",
                seed=task.seed,
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=tokens(task.texts, task.labels),
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        predicted: list[int] = []
        if task.test_texts:
            trainer.args.train_sampling_strategy = (
                "random"  # by length, predictions come in another order than the rows
            )
            predictions = trainer.predict(tokens(task.test_texts, task.test_labels)).predictions
            predicted = np.argmax(predictions, axis=1).tolist()
    PeerResult(accuracy(predicted, task.test_labels), seconds, clock.seconds).save(path)


if __name__ == "__main__":
    main()
