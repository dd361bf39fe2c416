"""A BERT encoder that tags words (Devlin et al. 2019, section 4.1 of the first version: the first piece of a word)."""

from __future__ import annotations

import tensorflow as tf

from progressive_tf.models.bert.bert import read_encoder
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.heads import TaggingHead
from progressive_tf.models.preprocessing.words import SentencePreprocessing
from progressive_tf.models.request import Request
from progressive_tf.plan.metric_names import TAGS
from progressive_tf.seeds import derive_seed


class Tagger(BlockModel):
    """A network that tags words; logits are float32 [batch, length, tags]."""

    answers = TAGS.name
    grows = False  # the tags of a plan are the same in every stage

    def logits_shape(self, state: State) -> tuple[int, ...]:
        """Returns the shape of the logits: tags at every position."""
        return *map(int, state["mask"].shape), len(self.labels)

    def sample_loss(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        """Returns how unlikely it is that every word is tagged O."""
        lengths = tf.cast(tf.reduce_sum(state["mask"], axis=1), tf.int32)
        return -tf.reduce_mean(self.head.crf.log_likelihood(logits, tf.zeros(tf.shape(logits)[:2], tf.int32), lengths))


def build(request: Request) -> BlockModel:
    """Returns a BERT encoder whose head gives logits of tags, BIO with "O" first, at every position.

    Raises InputError, see `read_encoder`.
    """
    encoder = read_encoder(request)
    head = TaggingHead(
        request.labels,
        encoder.config.hidden_size,
        request.model.dropout,
        derive_seed(request.seed, "initialisation", "head"),
        request.crf,
    )
    preprocess = SentencePreprocessing(encoder.vocabulary, encoder.lower_case, request.model.max_length)
    preprocess.longest = encoder.longest
    return Tagger(preprocess, encoder.blocks, head, request.labels, encoder.settings)
