"""Tags of words: windows of sentences on the way in, whole sentences on the way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from progressive_tf.data.batching import fixed_batches, padded, padded_length, ranges
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.data.windows import Windows, WindowStore
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.crf import CRF
from progressive_tf.plan.methods import CrossEntropy
from progressive_tf.plan.metric_names import TAGS as KIND
from progressive_tf.plan.schema import Stage
from progressive_tf.training.answers.base import FIRST_FIELDS, Chunk, TokenAnswering
from progressive_tf.training.answers.served_tags import ServedTagger, tag_exported
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.objectives import TokenObjective, make_loss
from progressive_tf.training.fitting.unknown_scores import UnknownScore
from progressive_tf.training.prefix.outputs import PrefixOutputs

if TYPE_CHECKING:
    from progressive_tf.training.answers.features import Features

TAGS, BEFORE = "tags", "before"
NO_WORD = -1
SENTENCES_AT_ONCE = 64
LENGTH_STEP = 16  # sentences are decoded together with those of about their length


def tag_codes(sentences: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    """Returns tags of all words as indices into `names`, int32 [words of all sentences]."""
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[tag] for tags in sentences for tag in tags], np.int32)


def window_tags(windows: Windows, codes: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Returns what the state of each window says about its words.

    Args:
        windows: of some sentences.
        codes: int32 [words of all sentences], their tags.
        width: positions of the longest window that any batch may have.

    Returns:
        `tags` int32 [windows, width], the tag of the word that begins at a position, −1 where none does; and `before`
        int32 [windows], the tag of the word before a window's first, −1 where a sentence begins.
    """
    tags = np.full((len(windows.numbers), width), NO_WORD, np.int32)
    tags[windows.word_windows, windows.word_positions] = codes
    begins = np.unique(windows.word_windows, return_index=True)[1]
    continues = np.diff(windows.sentences, prepend=-1) == 0
    before = np.where(continues, codes[begins - 1], NO_WORD).astype(np.int32)
    return {TAGS: tags, BEFORE: before}


def words_of(state: State, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what stands at the positions at which words begin, moved together.

    Args:
        state: of a batch of windows; has `tags` int32 [batch, at least length].
        outputs: [batch, length, …].

    Returns:
        The outputs [batch, words, …], the words' tags int32 [batch, words], 0 after the last, and how many each window
        has, int32 [batch].
    """
    tags = state[TAGS][:, : tf.shape(outputs)[1]]
    begins = tags != NO_WORD
    counts = tf.reduce_sum(tf.cast(begins, tf.int32), axis=1)
    order = tf.argsort(tf.cast(begins, tf.int32), axis=1, direction="DESCENDING", stable=True)
    order = order[:, : tf.reduce_max(counts)]
    moved = tf.gather(outputs, order, batch_dims=1)
    return moved, tf.maximum(tf.gather(tags, order, batch_dims=1), 0), counts


class Decoder:
    """Logits of words → the likeliest valid tags of whole sentences, each with its probability.

    Args:
        crf: of the network; its weights are read when it is called.
        tags: how many tags there are.
    """

    def __init__(self, crf: CRF, tags: int) -> None:
        signature = [tf.TensorSpec([None, None, tags], tf.float32), tf.TensorSpec([None], tf.int32)]

        def decode(logits: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            best = crf.decode(logits, lengths)
            return best, tf.gather(crf.marginals(logits, lengths), best, batch_dims=2)

        self._decode = tf.function(decode, input_signature=signature, autograph=False)

    def __call__(self, logits: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns tags, int32, and their probabilities, float32, [words of all sentences].

        Args:
            logits: float32 [words of all sentences, tags].
            lengths: int32 [sentences], words of each.
        """
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        tags, confidence = np.zeros(len(logits), np.int32), np.zeros(len(logits), np.float32)
        for positions, longest in fixed_batches(lengths, LENGTH_STEP, SENTENCES_AT_ONCE):
            words = np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in positions])
            batch, mask = padded(logits[words], lengths[positions], longest, np.dtype(np.float32))
            best, sure = self._decode(batch, lengths[positions].astype(np.int32))
            tags[words], confidence[words] = best.numpy()[mask > 0], sure.numpy()[mask > 0]
        return tags, np.clip(confidence, 0, 1)


STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        ("text", pa.string()),
        *((name, STRINGS) for name in ("tokens", "tags", "predicted")),
        ("confidence", pa.list_(pa.float32())),
    ]
)


class Tagging(TokenObjective):
    """A loss over the tags of words: of each word by itself, or of whole windows under a CRF.

    The mean is over words, in both cases, so that long sentences count as much as their words. A window that goes on
    with a sentence is scored given the true tag before it. Accuracy is that of words, O included.

    Args:
        loss: of (one-hot tags [words, tags], logits [words, tags]), one number a word; not used under a CRF.
    """

    def __init__(self, loss: tf.keras.losses.Loss) -> None:
        self._loss = loss

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of tags at every position, float32 [batch, length, tags]."""
        return network(state, training=training, first_block=first_block)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns for each window the sum of its words' losses, how many are right, and how many there are.

        float32 [batch, 3].
        """
        crf = network.head.crf
        logits, tags, counts = words_of(state, outputs)
        inside = tf.sequence_mask(counts, tf.shape(tags)[1])
        if crf.learns:
            losses = -crf.log_likelihood(logits, tags, counts, state[BEFORE])
        else:
            word_losses = self._loss.call(tf.one_hot(tags, logits.shape[-1]), logits)
            losses = tf.reduce_sum(tf.where(inside, word_losses, 0), axis=1)
        best = crf.decode(logits, counts, state[BEFORE]) if crf.learns else tf.argmax(logits, 2, tf.int32)
        right = inside & (best == tags)
        sums = [losses, tf.math.count_nonzero(right, axis=1, dtype=tf.float32), tf.cast(counts, tf.float32)]
        return tf.stack(sums, axis=1)


class TagAnswering(TokenAnswering):
    """Tags of words, of which a head gives logits at every position."""

    kind = KIND

    def __init__(self, features: Features) -> None:
        super().__init__(features)
        self._decoder: Decoder | None = None
        self._decoded_with: tuple[int, ...] = ()

    @property
    def likelihood(self) -> Tagging:
        """The cross-entropy of each word's tag, or that of whole windows under a CRF."""
        return Tagging(make_loss(CrossEntropy(name="cross-entropy")))

    def objective(self, stage: Stage, frozen_depth: int) -> Tagging:
        """Returns the stage's loss over the tags of words."""
        return Tagging(make_loss(stage.loss))

    def inputs(self, source: Source) -> WindowStore:
        """Returns where windows of the sentences of a source are kept."""
        assert source.words is not None
        return WindowStore(source.words, source.inputs, self.features.network.preprocess)

    def examples(
        self, source: str, inputs: InputStore, rows: np.ndarray, prefix: Callable[[np.ndarray], PrefixOutputs | None]
    ) -> Examples:
        """Returns the windows of sentences, in their order, each with the tags of its words."""
        assert isinstance(inputs, WindowStore)
        windows, features = inputs.windows(rows), self.features
        codes = tag_codes(features.sources[source].expected(rows), features.network.labels)
        width = padded_length(features.network.preprocess.max_length, inputs.bucket_width)
        labels = features.classes.codes[source][rows][windows.sentences]
        outputs = prefix(windows.numbers)
        return Examples(inputs, windows.numbers, labels, outputs, window_tags(windows, codes, width))

    def answer(self, source: str, rows: np.ndarray, examples: Examples) -> TagAnswers:
        """Returns the tags of sentences; arguments are those of `Answering.answer`."""
        features, network = self.features, self.features.network
        first, tags, true = examples.first_block, network.labels, features.sources[source].expected(rows)
        lengths = np.array([len(sentence) for sentence in true], np.int32)

        def words(state: State) -> tf.Tensor:
            logits, _, counts = words_of(state, network(state, first_block=first))
            return tf.RaggedTensor.from_tensor(logits, counts).flat_values

        counts = (examples.extras[TAGS] != NO_WORD).sum(axis=1)
        ends = np.cumsum(counts)
        logits = np.zeros((int(lengths.sum()), len(tags)), np.float32)
        for positions, batch_logits in features.outputs("predicting", examples, words):
            locations = ranges((ends - counts)[positions], counts[positions])
            logits[locations] = batch_logits.numpy()[: len(locations)]
        weights = features.remembered(network.named_weights())
        if self._decoder is None or self._decoded_with != weights:
            self._decoder, self._decoded_with = Decoder(network.head.crf, len(tags)), weights
        predicted, confidence = self._decoder(logits, lengths)
        return TagAnswers(tags, lengths, tag_codes(true, tags), predicted, confidence)

    def schema(self, answers: Sequence[Answers], sources: Sequence[Source]) -> pa.Schema:
        """Returns the columns of a file of tags."""
        return SCHEMA.with_metadata({"tags": json.dumps(self.features.network.labels)})

    def columns(self, chunk: Chunk) -> dict[str, pa.Array]:
        """Returns the words of some sentences, their tags and how sure each is."""
        tagged, source, rows = chunk.answers, chunk.source, chunk.rows
        ends = np.concatenate([[0], np.cumsum(tagged.lengths)]).astype(np.int32)
        return {
            "text": pa.array(source.descriptions(rows), pa.string()),
            "tokens": pa.array(source.inputs(rows), STRINGS),
            "tags": pa.array(tagged.sentences(tagged.truth), STRINGS),
            "predicted": pa.array(tagged.sentences(tagged.predicted), STRINGS),
            "confidence": pa.ListArray.from_arrays(pa.array(ends), pa.array(tagged.confidence)),
        }

    @staticmethod
    def read(path: Path, data: PlanData) -> TagAnswers:
        """Returns the tags of all sentences of a file."""
        table, tags = pq.read_table(path, columns=["tags", "predicted", "confidence"]), data.outputs
        truth, predicted = (table.column(name).to_pylist() for name in ("tags", "predicted"))
        confidence = table.column("confidence").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        lengths = np.array([len(sentence) for sentence in truth], np.int32)
        codes = tag_codes(truth, tags), tag_codes(predicted, tags)
        return TagAnswers(tags, lengths, *codes, confidence.astype(np.float32))

    @staticmethod
    def exported(
        network: BlockModel,
        others: Sequence[tuple[BlockModel, float]],
        rule: AnswerRule,
        unknown: UnknownScore | None = None,
    ) -> ServedTagger:
        """Returns what gives the spans of texts."""
        return ServedTagger(network)

    def ask(self, folder: Path, source: str, rows: np.ndarray, changed: LabelMap | None = None) -> TagAnswers:
        """Returns the tags that an exported version gives; how sure it is of each is not asked."""
        sentences, tags = self.features.sources[source].expected(rows), self.features.network.labels
        lengths = np.array([len(sentence) for sentence in sentences], np.int32)
        predicted = tag_codes(tag_exported(folder, self.features.sources[source].inputs(rows)), tags)
        return TagAnswers(tags, lengths, tag_codes(sentences, tags), predicted, np.ones(len(predicted), np.float32))
