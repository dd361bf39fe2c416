"""How a network learns and gives each kind of answer, and how answers are saved and exported."""

from progressive_tf.training.answers.base import Answering
from progressive_tf.training.answers.classes import ClassAnswering
from progressive_tf.training.answers.tags import TagAnswering
from progressive_tf.training.answers.texts import TextAnswering

# By the name that a network has in `BlockModel.answers`; another package may add its own.
ANSWERING: dict[str, type[Answering]] = {
    answering.kind.name: answering for answering in (ClassAnswering, TagAnswering, TextAnswering)
}
