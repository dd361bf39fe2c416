"""What a drill asks of answers: a file for each kind, and the table of kinds."""

from __future__ import annotations

from collections.abc import Mapping

from progressive_tf.drilling.answers.base import DrilledAnswers
from progressive_tf.drilling.answers.classes import DrilledClasses
from progressive_tf.drilling.answers.tags import DrilledTags
from progressive_tf.drilling.answers.texts import DrilledTexts

KINDS: Mapping[str, DrilledAnswers] = {"classes": DrilledClasses(), "tags": DrilledTags(), "texts": DrilledTexts()}
"""A kind's name → what is asked of it; versions of other kinds are not drilled."""
