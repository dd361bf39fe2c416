"""What one peer is asked to do, and what it found out: JSON files that pass between two Python environments."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar


@dataclass(frozen=True)
class PeerTask:
    """Rows to learn from, and how.

    Attributes:
        weights: folder of the pretrained encoder.
        max_length: longest sequence in tokens.
        texts: training texts.
        labels: their classes, from 0.
        test_texts: texts to predict.
        test_labels: their classes.
        seed: of initialisation, order and dropout.
        epochs: passes over the training rows, where the peer counts in passes.
        steps: updates, where the peer counts in updates.
    """

    weights: str
    max_length: int
    texts: list[str]
    labels: list[int]
    test_texts: list[str]
    test_labels: list[int]
    seed: int
    epochs: int = 0
    steps: int = 0

    def save(self, path: Path) -> None:
        """Writes the task as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class PeerResult:
    """What came out.

    Attributes:
        accuracy: share of the test rows that were right, in [0, 1]; null without test rows.
        seconds: training alone, without loading weights and without testing.
        epoch_seconds: seconds of each epoch, where the peer counts in epochs.
    """

    accuracy: float | None
    seconds: float
    epoch_seconds: list[float]

    @classmethod
    def load(cls, path: Path) -> PeerResult:
        """Reads a result that a peer wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        """Writes the result as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class TaggingTask:
    """Sentences to learn from, and how.

    Attributes:
        weights: folder of the pretrained encoder.
        max_length: longest sequence in pieces.
        tag_names: BIO tags in the order of the outputs.
        tokens: words of the training sentences.
        tags: as many, indices in `tag_names`.
        test_tokens: words of sentences to tag.
        seed: of initialisation, order and dropout.
        epochs: passes over the training sentences.
        learning_rate: at its highest.
        batch_size: sentences in a batch.
    """

    weights: str
    max_length: int
    tag_names: list[str]
    tokens: list[list[str]]
    tags: list[list[int]]
    test_tokens: list[list[str]]
    seed: int
    epochs: int
    learning_rate: float
    batch_size: int

    def save(self, path: Path) -> None:
        """Writes the task as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class TaggingResult:
    """What came out.

    Attributes:
        predicted: tags of the test sentences, as names.
        seconds: training alone, without loading weights and without testing.
    """

    predicted: list[list[str]]
    seconds: float

    @classmethod
    def load(cls, path: Path) -> TaggingResult:
        """Reads a result that a peer wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        """Writes the result as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


Task = TypeVar("Task", PeerTask, TaggingTask)


def read_arguments(description: str | None, kind: type[Task]) -> tuple[Task, Path]:
    """Returns the task that the command line names, and where the result goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("task", type=Path, help="a task that the benchmark wrote")
    parser.add_argument("result", type=Path, help="where the result is written")
    options = parser.parse_args()
    return kind(**json.loads(options.task.read_text(encoding="utf-8"))), options.result


def accuracy(predicted: list[int], labels: list[int]) -> float | None:
    """Returns the share of predictions that are right; None where there are none."""
    if not labels:
        return None
    return sum(one == other for one, other in zip(predicted, labels, strict=True)) / len(labels)
