"""The builders a plan can name."""

from __future__ import annotations

from collections.abc import Callable

from progressive_tf.models import mlp, resnet
from progressive_tf.models.bert import bert, bert_tagger
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.own_builder import build_own
from progressive_tf.models.request import Request
from progressive_tf.models.t5 import t5

Builder = Callable[[Request], BlockModel]
BUILDERS: dict[str, Builder] = {
    "bert": bert.build,
    "bert-tagger": bert_tagger.build,
    "mlp": mlp.build,
    "resnet50": resnet.build,
    "t5": t5.build,
}


def build(request: Request) -> BlockModel:
    """Returns the network that a plan's model section describes; raises InputError for what the builder cannot do."""
    return BUILDERS.get(request.model.builder, build_own)(request)
