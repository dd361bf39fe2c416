"""The Trainer of PyTorch's transformers on words: every weight trained, tags at the first piece of each word.

Command: python -m benchmarks.peers.tagger_trainer TASK.json RESULT.json (in .venv-peers)
"""

from __future__ import annotations

import tempfile
import time

import numpy as np

import benchmarks.peers.whole_torchvision  # noqa: F401

# isort: split
from datasets import Dataset
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)

from benchmarks.peers.task import TaggingResult, TaggingTask, read_arguments

NOT_A_WORD = -100


def main() -> None:
    """Trains, tags the test sentences, writes the result."""
    task, path = read_arguments(__doc__, TaggingTask)
    tokenizer = AutoTokenizer.from_pretrained(task.weights)
    model = AutoModelForTokenClassification.from_pretrained(task.weights, num_labels=len(task.tag_names))

    def pieces(tokens: list[list[str]], tags: list[list[int]]) -> Dataset:
        encoded = tokenizer(tokens, is_split_into_words=True, truncation=True, max_length=task.max_length)
        labels = []
        for row, of_words in enumerate(tags):
            words = encoded.word_ids(row)
            first = [word is not None and word not in words[:place] for place, word in enumerate(words)]
            labels.append([of_words[word] if new else NOT_A_WORD for word, new in zip(words, first, strict=True)])
        lengths = [len(ids) for ids in encoded["input_ids"]]
        return Dataset.from_dict({**encoded, "labels": labels, "length": lengths})

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=task.epochs,
                learning_rate=task.learning_rate,
                weight_decay=0.01,
                warmup_steps=0.1,
                per_device_train_batch_size=task.batch_size,
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
            train_dataset=pieces(task.tokens, task.tags),
            data_collator=DataCollatorForTokenClassification(tokenizer),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        trainer.args.train_sampling_strategy = "random"  # by length, predictions come in another order than the rows
        found = trainer.predict(pieces(task.test_tokens, [[0] * len(words) for words in task.test_tokens]))
    predicted = []
    for words, logits, labels in zip(task.test_tokens, found.predictions, found.label_ids, strict=True):
        tags = [task.tag_names[code] for code in np.argmax(logits[labels != NOT_A_WORD], axis=-1)]
        predicted.append(tags + ["O"] * (len(words) - len(tags)))  # what did not fit in max_length
    TaggingResult(predicted, seconds).save(path)


if __name__ == "__main__":
    main()
