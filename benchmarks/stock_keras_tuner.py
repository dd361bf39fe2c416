"""What a user of Keras Tuner writes: random search over the rate of a head on a frozen encoder. Nothing of ours.

What is random in a training comes from a file, so that two programs can train alike: the head's first weights and the
rows of each batch of each epoch. There is no dropout.

Prints JSON: of each trial the seconds, the rate, and the best validation loss.

Command: python -m benchmarks.stock_keras_tuner --reviews FILE --weights FOLDER --validation 200 --random FILE
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator

os.environ["TF_USE_LEGACY_KERAS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras_tuner
import numpy as np
import pandas as pd
import tensorflow as tf
from transformers import BertTokenizerFast

from benchmarks.stock_keras import MAX_LENGTH, Classifier, dataset


class Timed(keras_tuner.RandomSearch):
    """Random search that notes how long each trial takes."""

    seconds: list[float]

    def run_trial(self, trial: object, *args: object, **kwargs: object) -> object:
        """Trains one model."""
        began = time.perf_counter()
        found = super().run_trial(trial, *args, **kwargs)
        self.seconds.append(time.perf_counter() - began)
        return found


def batches_of(ids: list[list[int]], labels: np.ndarray, epochs: list[list[list[int]]]) -> tf.data.Dataset:
    """Returns the batches of one epoch after the other, padded to 128, and begins anew after the last."""
    coming = itertools.cycle(epochs)

    def generate() -> Iterator[object]:
        for rows in next(coming):
            padded = tf.keras.utils.pad_sequences([ids[row] for row in rows], MAX_LENGTH, padding="post")
            mask = tf.keras.utils.pad_sequences([[1] * len(ids[row]) for row in rows], MAX_LENGTH, padding="post")
            yield {"ids": padded, "mask": mask}, labels[rows]

    spec = tf.TensorSpec([None, MAX_LENGTH], tf.int32)
    return tf.data.Dataset.from_generator(
        generate, output_signature=({"ids": spec, "mask": spec}, tf.TensorSpec([None], tf.int32))
    ).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Searches and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--validation", type=int, required=True, help="rows at the end of the file")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument(
        "--random", required=True, help="JSON with kernel [width, 2] and batches [epochs][batches][rows]"
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lowest", type=float, default=1e-4)
    parser.add_argument("--highest", type=float, default=1e-1)
    parser.add_argument("--seed", type=int, default=1, help="of the oracle")
    options = parser.parse_args()
    frame = pd.read_csv(options.reviews)
    tokenizer = BertTokenizerFast.from_pretrained(options.weights)
    ids = tokenizer(list(frame["text"]), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    labels = (frame["label"] == "positive").to_numpy().astype(np.int32)
    last = len(ids) - options.validation
    with open(options.random, encoding="utf-8") as file:
        given = json.load(file)

    def build(hp: keras_tuner.HyperParameters) -> tf.keras.Model:
        rate = hp.Float("optimizer.learning_rate", options.lowest, options.highest, sampling="log")
        model = Classifier(
            options.weights, trained_layers=0, dropout=0.0, kernel=tf.keras.initializers.Constant(given["kernel"])
        )
        model.compile(
            optimizer=tf.keras.optimizers.legacy.Adam(rate),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    with tempfile.TemporaryDirectory() as folder:
        tuner = Timed(build, "val_loss", max_trials=options.trials, seed=options.seed, directory=folder)
        tuner.seconds = []
        tuner.search(
            batches_of(ids, labels, given["batches"]),
            validation_data=dataset(ids[last:], labels[last:], "128", options.batch_size),
            epochs=len(given["batches"]),
            verbose=0,
        )
        trials = list(tuner.oracle.trials.values())
    found = {
        "rates": [trial.hyperparameters.values["optimizer.learning_rate"] for trial in trials],
        "losses": [trial.score for trial in trials],
        "trial_seconds": tuner.seconds,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
