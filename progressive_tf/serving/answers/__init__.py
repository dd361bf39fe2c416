"""What serving and monitoring ask of answers: a file for each kind, and the table of kinds."""

from __future__ import annotations

from progressive_tf.plan.metric_names import AnswerKind
from progressive_tf.serving.answers.base import ServedAnswers
from progressive_tf.serving.answers.classes import ServedClasses
from progressive_tf.serving.answers.tags import ServedTags
from progressive_tf.serving.answers.texts import ServedTexts

KINDS: dict[str, ServedAnswers] = {"classes": ServedClasses(), "tags": ServedTags(), "texts": ServedTexts()}
"""A kind's name → what is asked of it."""
_DEFAULT = ServedAnswers()


def served_answers(kind: AnswerKind) -> ServedAnswers:
    """Returns what is asked of a kind of answers; the defaults where `KINDS` does not have it."""
    return KINDS.get(kind.name, _DEFAULT)
