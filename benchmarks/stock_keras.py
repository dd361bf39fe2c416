"""What a user of Keras and transformers writes: `model.fit` on a BERT encoder, some of it frozen. Nothing of ours.

Prints JSON: the seconds of the first epoch, with tracing, and of the others.

Command: python -m benchmarks.stock_keras --reviews FILE --weights FOLDER [--trained-layers 0] [--padding 128|bucket]
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ["TF_USE_LEGACY_KERAS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import pandas as pd
import tensorflow as tf
from transformers import BertTokenizerFast, TFBertModel

MAX_LENGTH = 128
BUCKET_WIDTH = 8


class Classifier(tf.keras.Model):
    """An encoder, the mean over its tokens, dropout and a dense layer."""

    def __init__(
        self, weights: str, trained_layers: int, dropout: float = 0.1, kernel: object = "glorot_uniform"
    ) -> None:
        super().__init__()
        self.encoder = TFBertModel.from_pretrained(weights)
        self.dropout = tf.keras.layers.Dropout(dropout)
        self.dense = tf.keras.layers.Dense(2, kernel_initializer=kernel)
        self.is_frozen = trained_layers == 0
        self.encoder.trainable = not self.is_frozen
        if not self.is_frozen:
            self.encoder.bert.embeddings.trainable = False
            self.encoder.bert.pooler.trainable = False
            for layer in self.encoder.bert.encoder.layer[:-trained_layers]:
                layer.trainable = False

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns logits."""
        # A frozen encoder runs in inference mode, as Keras' guide to transfer learning has it.
        hidden = self.encoder(
            input_ids=inputs["ids"], attention_mask=inputs["mask"], training=training and not self.is_frozen
        ).last_hidden_state
        mask = tf.cast(inputs["mask"], tf.float32)[:, :, tf.newaxis]
        pooled = tf.reduce_sum(hidden * mask, axis=1) / tf.reduce_sum(mask, axis=1)
        return self.dense(self.dropout(pooled, training=training))


def dataset(ids: list[list[int]], labels: np.ndarray, padding: str, batch_size: int) -> tf.data.Dataset:
    """Returns shuffled batches, padded to 128 or to the longest of examples of similar length."""

    def generate() -> object:
        for row, label in zip(ids, labels, strict=True):
            yield {"ids": row, "mask": [1] * len(row)}, label

    spec = tf.TensorSpec([None], tf.int32)
    rows = tf.data.Dataset.from_generator(
        generate, output_signature=({"ids": spec, "mask": spec}, tf.TensorSpec([], tf.int32))
    )
    rows = rows.cache().shuffle(len(ids))
    if padding == "bucket":
        bounds = list(range(BUCKET_WIDTH + 1, MAX_LENGTH + 1, BUCKET_WIDTH))
        batches = rows.bucket_by_sequence_length(
            lambda inputs, label: tf.shape(inputs["ids"])[0], bounds, [batch_size] * (len(bounds) + 1)
        )
    else:
        length = int(padding)
        batches = rows.padded_batch(batch_size, ({"ids": [length], "mask": [length]}, []))
    return batches.prefetch(tf.data.AUTOTUNE)


class EpochSeconds(tf.keras.callbacks.Callback):
    """The seconds of each epoch, and those that the processor worked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.since = (0.0, 0.0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self.since = (time.perf_counter(), time.process_time())

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stops it; validation is over."""
        self.seconds.append(time.perf_counter() - self.since[0])
        self.cpu.append(time.process_time() - self.since[1])


def main() -> None:
    """Trains and prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--validation", type=int, default=16)
    parser.add_argument("--trained-layers", type=int, default=0)
    parser.add_argument("--padding", default="128")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    frame = pd.read_csv(options.reviews)
    tokenizer = BertTokenizerFast.from_pretrained(options.weights)
    ids = tokenizer(list(frame["text"]), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    labels = (frame["label"] == "positive").to_numpy().astype(np.int32)
    last = len(ids) - options.validation
    model = Classifier(options.weights, options.trained_layers)
    model.compile(
        optimizer=tf.keras.optimizers.legacy.Adam(options.rate),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    clock = EpochSeconds()
    history = model.fit(
        dataset(ids[:last], labels[:last], options.padding, options.batch_size),
        validation_data=dataset(ids[last:], labels[last:], options.padding, options.batch_size),
        epochs=options.epochs,
        callbacks=[clock],
        verbose=0,
    )
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    print(json.dumps({"seconds": clock.seconds, "cpu": clock.cpu, "trained": trained, "loss": history.history["loss"]}))


if __name__ == "__main__":
    main()
