"""Logistic regression (C = 10) on the mean-pooled output of the pretrained encoder, which stays as it is.

Command: python -m benchmarks.peers.logistic_regression TASK.json RESULT.json (in .venv-peers)
"""

from __future__ import annotations

import time

from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.task import PeerResult, PeerTask, accuracy, read_arguments


def main() -> None:
    """Fits, predicts the test rows, writes the result."""
    task, path = read_arguments(__doc__, PeerTask)
    encoder = Transformer(task.weights, max_seq_length=task.max_length)
    body = SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), "mean")], device="cpu")
    started = time.perf_counter()
    embeddings = body.encode(task.texts, show_progress_bar=False)
    head = LogisticRegression(C=10, max_iter=5000).fit(embeddings, task.labels)
    seconds = time.perf_counter() - started
    predicted = head.predict(body.encode(task.test_texts, show_progress_bar=False)).tolist()
    PeerResult(accuracy(predicted, task.test_labels), seconds, []).save(path)


if __name__ == "__main__":
    main()
