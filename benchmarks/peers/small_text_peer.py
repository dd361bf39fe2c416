"""small-text's `BreakingTies` (Luo et al. 2005) on the outputs of a frozen encoder.

Command: python -m benchmarks.peers.small_text_peer ROWS.npz FOUND.npy (in .venv-peers)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from small_text import BreakingTies, SklearnDataset


class Head:
    """The head as small-text asks it."""

    def __init__(self, head: LogisticRegression) -> None:
        self.head = head

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Returns probabilities of the classes of some rows, float64 [rows, classes]."""
        return self.head.predict_proba(rows.x)


def main() -> None:
    """Asks round by round, and writes the accuracies."""
    with np.load(sys.argv[1]) as given:
        rows = dict(given)
    np.random.seed(int(rows["seed"]))
    pool = SklearnDataset(rows["pool"], rows["pool_labels"], target_labels=np.unique(rows["pool_labels"]))
    labelled, (step, count), found = rows["start"], rows["rounds"].tolist(), []
    for number in range(count + 1):
        head = LogisticRegression(C=10, max_iter=200).fit(rows["pool"][labelled], rows["pool_labels"][labelled])
        found.append(head.score(rows["test"], rows["test_labels"]))
        if number < count:
            left = np.setdiff1d(np.arange(len(rows["pool"])), labelled)
            asked = BreakingTies().query(Head(head), pool, left, labelled, rows["pool_labels"][labelled], n=step)
            labelled = np.concatenate([labelled, asked])
    np.save(Path(sys.argv[2]), np.array(found))


if __name__ == "__main__":
    main()
