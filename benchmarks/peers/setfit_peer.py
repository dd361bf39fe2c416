"""SetFit (Tunstall et al. 2022) at its defaults: pairs of reviews, cosine similarity, then logistic regression.

Command: python -m benchmarks.peers.setfit_peer TASK.json RESULT.json (in .venv-peers)
"""

from __future__ import annotations

import tempfile
import time

import benchmarks.peers.whole_torchvision  # noqa: F401

# isort: split
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.task import PeerResult, PeerTask, accuracy, read_arguments

BATCH_SIZE = 16  # pairs


def main() -> None:
    """Trains, predicts the test rows, writes the result."""
    task, path = read_arguments(__doc__, PeerTask)
    encoder = Transformer(task.weights, max_seq_length=task.max_length)
    body = SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), "mean")], device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression())
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                batch_size=BATCH_SIZE,
                max_steps=task.steps,
                seed=task.seed,
                save_strategy="no",
                report_to="none",
                show_progress_bar=False,
            ),
            train_dataset=Dataset.from_dict({"text": task.texts, "label": task.labels}),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    predicted = [int(label) for label in model.predict(task.test_texts, show_progress_bar=False)]
    PeerResult(accuracy(predicted, task.test_labels), seconds, []).save(path)


if __name__ == "__main__":
    main()
