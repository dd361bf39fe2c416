"""What is true of the rows of a source: a file for each kind of answer, and the table of kinds."""

from __future__ import annotations

from progressive_tf.data.answers.base import Truth
from progressive_tf.data.answers.classes import ClassTruth
from progressive_tf.data.answers.tags import TagTruth
from progressive_tf.data.answers.texts import TextTruth

TRUTHS: dict[str, type[Truth]] = {"classes": ClassTruth, "tags": TagTruth, "texts": TextTruth}
"""By the names of `Task.answers`."""
