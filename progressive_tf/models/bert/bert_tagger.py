"""A BERT encoder that tags words (Devlin et al. 2019, section 4.1 of the first version: the first piece of a word)."""

from __future__ import annotations

from progressive_tf.models.bert.bert import read_encoder
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.heads import TaggingHead
from progressive_tf.models.preprocessing.words import SentencePreprocessing
from progressive_tf.models.request import Request
from progressive_tf.seeds import derive_seed


def build(request: Request) -> BlockModel:
    """Returns a BERT encoder whose head gives logits of tags at every position.

    Args:
        request: its model section is that of a tagger, its labels are BIO tags, "O" first.

    Raises:
        InputError: weights that are missing, damaged or not BERT's; says which and what was found.
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
    return BlockModel(preprocess, encoder.blocks, head, request.labels, encoder.settings)
