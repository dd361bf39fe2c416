"""Texts that are written: each token of the expected one is learnt, given those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.batching import padded
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.preprocessing.written import END, PAD
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.models.t5.translator import Translator
from progressive_tf.plan.methods import LabelSmoothing
from progressive_tf.plan.metric_names import TEXTS
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.training.answers.base import (
    FIRST_FIELDS,
    GENERATE,
    IS_WHOLE,
    TOKENS,
    Chunk,
    Served,
    TokenAnswering,
    ask_in_batches,
)
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.objectives import TokenObjective
from progressive_tf.training.fitting.unknown_scores import UnknownScore
from progressive_tf.training.prefix.outputs import PrefixOutputs

if TYPE_CHECKING:
    from progressive_tf.training.answers.features import Features

BAR_FROM = 100  # texts
MOST_SHOWN = 10


class Translation(TokenObjective):
    """The negative log-likelihood of expected texts, token by token, under teacher forcing (Sutskever et al. 2014).

    The mean is over tokens, so that long texts count as much as their tokens.

    Args:
        smoothing: share of the probability that is asked of all tokens alike (Szegedy et al. 2016), in [0, 1).
        frozen_depth: blocks of the decoder below it run in inference mode, as those do whose outputs are kept.
    """

    def __init__(self, smoothing: float = 0.0, frozen_depth: int = 0) -> None:
        self._smoothing = smoothing
        self._frozen_depth = frozen_depth

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of each token, float32 [batch, target length, tokens]."""
        trained = max(first_block, self._frozen_depth)
        before = network.run_blocks(state, first_block, trained)
        return network(before, training=training, first_block=trained)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns for each text the sum of its tokens' losses, how many are right, and how many there are.

        float32 [batch, 3].
        """
        target = state[TARGET]
        inside = target != PAD
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs)
        if self._smoothing:
            alike = -tf.reduce_mean(tf.nn.log_softmax(outputs), axis=-1)
            losses = (1 - self._smoothing) * losses + self._smoothing * alike
        right = inside & (tf.argmax(outputs, 2, tf.int32) == target)
        sums = [
            tf.reduce_sum(tf.where(inside, losses, 0), axis=1),
            tf.math.count_nonzero(right, axis=1, dtype=tf.float32),
            tf.math.count_nonzero(inside, axis=1, dtype=tf.float32),
        ]
        return tf.stack(sums, axis=1)


SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        *((name, pa.string()) for name in ("text", "target", "predicted")),
        ("confidence", pa.float32()),
    ]
)


class TextAnswering(TokenAnswering):
    """Texts that a translator writes."""

    kind = TEXTS

    def __init__(self, features: Features) -> None:
        super().__init__(features)
        self._targets: dict[str, InputStore] = {}

    @property
    def network(self) -> Translator:
        """The run's network."""
        assert isinstance(self.features.network, Translator)
        return self.features.network

    @property
    def likelihood(self) -> Translation:
        """The cross-entropy of each token."""
        return Translation()

    def objective(self, stage: Stage, frozen_depth: int) -> Translation:
        """Returns the stage's loss over tokens."""
        smoothing = stage.loss.amount if isinstance(stage.loss, LabelSmoothing) else 0.0
        return Translation(smoothing, frozen_depth)

    def examples(
        self, source: str, inputs: InputStore, rows: np.ndarray, prefix: Callable[[np.ndarray], PrefixOutputs | None]
    ) -> Examples:
        """Returns texts with the tokens that are expected for each, int32 [n, longest], 0 behind its end."""
        examples = super().examples(source, inputs, rows, prefix)
        targets, width = self._targets_of(source, rows), self.network.preprocess.max_target_length
        flat, lengths = targets.flat(rows), targets.lengths(rows)
        return examples.with_targets(padded(flat, lengths, width, np.dtype(np.int32))[0])

    def check(self, plan: Plan, data: PlanData) -> None:
        """Raises InputError where an expected text that a plan uses is longer than what the network writes."""
        used = {
            f"stages[{index}].data": (name, np.concatenate([rows.train, rows.validation]))
            for index, (name, rows) in enumerate(zip(data.stage_sources, data.stages, strict=True))
        }
        for part in data.slices.values():
            used[f"slice {part.name}"] = (part.source, np.concatenate([part.gate, part.test]))
        longest = self.network.preprocess.max_target_length
        for where, (name, rows) in used.items():
            lengths = self._targets_of(name, rows).lengths(rows)
            long = np.flatnonzero(lengths > longest)
            if len(long):
                shown = ", ".join(f"{row:,}" for row in data.sources[name].rows[rows[long[:MOST_SHOWN]]])
                more = f" and {len(long) - MOST_SHOWN:,} more" if len(long) > MOST_SHOWN else ""
                texts = "expected texts" if len(long) > 1 else "expected text"
                raise InputError(
                    f"{where}: {len(long):,} {texts} of {name} (row {shown}{more}) with more tokens than "
                    f"model.max_target_length: {longest}; the longest has {lengths.max():,}: raise it, or take these "
                    f"rows out"
                )

    @staticmethod
    def target_positions(network: BlockModel, source: Source, rows: np.ndarray) -> int:
        """Returns the mean number of tokens of the texts that are expected."""
        targets = network.preprocess.encode_targets(source.expected(rows))
        return round(float(np.mean([len(tokens) for tokens in targets]))) if targets else 0

    def answer(self, source: str, rows: np.ndarray, examples: Examples) -> TextAnswers:
        """Returns what the network writes; arguments are those of `Answering.answer`."""
        network, first = self.network, examples.first_block
        tokens = np.zeros((len(rows), network.preprocess.max_target_length), np.int32)
        confidence = np.zeros(len(rows), np.float32)

        def write(state: State) -> dict[str, tf.Tensor]:
            return network.write(state, first)

        for positions, outputs in self.features.outputs("writing", examples, write, BAR_FROM):
            tokens[positions] = outputs["tokens"].numpy()[: len(positions)]
            confidence[positions] = outputs["confidence"].numpy()[: len(positions)]
        return TextAnswers(self._truth(source, rows), np.array(network.preprocess.texts(tokens), object), confidence)

    def schema(self, answers: Sequence[Answers], sources: Sequence[Source]) -> pa.Schema:
        """Returns the columns of a file of texts."""
        return SCHEMA

    def columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Returns some texts, what was expected and what was written."""
        written = chunk.answers
        return {
            "text": pa.array(chunk.source.texts(chunk.rows), pa.string()),
            "target": pa.array(written.truth.tolist(), pa.string()),
            "predicted": pa.array(written.predicted.tolist(), pa.string()),
            "confidence": pa.array(written.confidence, pa.float32()),
        }

    @staticmethod
    def read(path: Path, data: PlanData) -> TextAnswers:
        """Returns all texts of a file."""
        table = pq.read_table(path, columns=["target", "predicted", "confidence"])
        truth, predicted = (np.array(table.column(name).to_pylist(), dtype=object) for name in ("target", "predicted"))
        return TextAnswers(truth, predicted, table.column("confidence").to_numpy().astype(np.float32))

    @staticmethod
    def exported(
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]],
        rule: AnswerRule,
        unknown: UnknownScore | None = None,
    ) -> ServedTranslator:
        """Returns what writes texts."""
        assert isinstance(network, Translator)
        return ServedTranslator(network)

    def ask(self, folder: Path, source: str, rows: np.ndarray, changed: LabelMap | None = None) -> TextAnswers:
        """Returns what an exported version writes."""
        written, confidence = translate_exported(folder, self.features.sources[source].texts(rows))
        return TextAnswers(self._truth(source, rows), written, confidence)

    def _truth(self, source: str, rows: np.ndarray) -> np.ndarray:
        return np.array(self.features.sources[source].expected(rows), object)

    def _targets_of(self, source: str, rows: np.ndarray) -> InputStore:
        if source not in self._targets:
            table = self.features.sources[source]
            self._targets[source] = InputStore(len(table), table.expected, self.network.preprocess.targets)
        self._targets[source].add(rows)
        return self._targets[source]


class ServedTranslator(Served):
    """Texts → the likeliest text that the search finds for each, and how sure the network is of it.

    Args:
        network: a translator.

    Attributes:
        serve: `text` string [batch] → `translation` string [batch] and `confidence` float32 [batch], the geometric mean
            of the tokens' probabilities; `is_whole` bool [batch] is False where the longest text that is written was
            too short for its end, and `input_tokens` and `used_tokens` int32 [batch] say how many tokens the text has,
            and how many were read.
        alternatives: the same under its usual name, `generate`; and signature `tokens`: `inputs` int32 [batch, length],
            0 behind the end of each, cut as texts are → `tokens` int32 [batch, longest] and the same.
    """

    def __init__(self, network: Translator) -> None:
        super().__init__(network)

        @tf.function(input_signature=[network.preprocess.raw], autograph=False)
        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            state, read = network.preprocess.read(text)
            outputs = network.write(state)
            return {
                "translation": network.preprocess.written(outputs["tokens"]),
                "confidence": outputs["confidence"],
                IS_WHOLE: _has_end(outputs["tokens"]),
                **read,
            }

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="inputs")], autograph=False)
        def serve_tokens(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            kept = _cut(inputs, network.preprocess.max_length)
            outputs = network.write({"inputs": kept, "mask": tf.cast(kept != PAD, tf.float32)})
            given = tf.reduce_sum(tf.cast(inputs != PAD, tf.int32), axis=1)
            return outputs | {IS_WHOLE: _has_end(outputs["tokens"])} | network.preprocess.counts(given)

        self.serve = serve
        self.alternatives = {GENERATE: serve, TOKENS: serve_tokens}


def _has_end(tokens: tf.Tensor) -> tf.Tensor:
    """Returns whether each text was written to its end, bool [batch]."""
    return tf.reduce_any(tokens == END, axis=1)


def _cut(inputs: tf.Tensor, longest: int) -> tf.Tensor:
    """Returns ids as those of texts are cut: what is longer ends with an end at the last place there is."""
    too_long = tf.reduce_any(inputs[:, longest:] != PAD, axis=1, keepdims=True)
    kept = inputs[:, :longest]
    is_last = tf.range(tf.shape(kept)[1])[tf.newaxis] == longest - 1
    return tf.where(too_long & is_last, END, kept)


def translate_exported(folder: Path, texts: Sequence[str], batch_size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Returns what an exported version writes: texts, object [rows], and its confidence, float32 [rows].

    Args:
        folder: the version's.
        texts: what is to be translated.
        batch_size: how many at once.
    """
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    order, answers = ask_in_batches(
        folder, GENERATE, texts, batch_size, lambda inputs, batch: {"text": tf.constant([raw[at] for at in batch])}
    )
    written, confidence = np.empty(len(texts), object), np.zeros(len(texts), np.float32)
    if answers:
        translations = np.concatenate([answer["translation"] for answer in answers]).tolist()
        written[order] = [text.decode("utf-8", "ignore") for text in translations]
        confidence[order] = np.concatenate([answer["confidence"] for answer in answers])
    return written, confidence
