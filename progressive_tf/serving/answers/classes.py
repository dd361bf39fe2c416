"""Classes of whole rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from progressive_tf.data.cells import label_text
from progressive_tf.errors import unknown_name
from progressive_tf.serving.answers.base import KnownLabels, ServedAnswers
from progressive_tf.serving.fields import is_storable
from progressive_tf.serving.limits import Refusal

_MOST_TAGS = 4096
_LONGEST = 200  # of the name of a class that no version knows
SERVED = "These are the classes of the versions that are served"


class ServedClasses(ServedAnswers):
    """A label, and the probability of each."""

    says: ClassVar[tuple[str, ...]] = ("label",)
    has_categories = True
    truth_column = "label"
    confidence_column: ClassVar[str | None] = "probabilities"

    def read_feedback(self, value: Any, known: KnownLabels) -> tuple[Any, str | None]:
        """Returns the right class, or the right tag of each word, as answers have it; a class that no version knows as
        it is, since it may be a new one.
        """
        if isinstance(value, list):
            value = [known.spelling.of(label) if isinstance(label, str) else label for label in value]
        else:
            value = label_text(value)
            value = known.spelling.of(value) if isinstance(value, str) else value
        labels = value if isinstance(value, list) else [value]
        if len(labels) > _MOST_TAGS or not all(isinstance(label, str) for label in labels):
            raise Refusal(400, "label: a class, or for a tagger a list with the tag of each word, expected")
        checked = [as_answered(label, known, is_tag=isinstance(value, list)) for label in labels]
        return (checked if isinstance(value, list) else checked[0]), None

    def is_known(self, label: Any, labels: Collection[str]) -> bool:
        """Whether it is one of the plan's."""
        return label in labels

    def category(self, label: Any) -> str | None:
        """Returns the class."""
        return str(label)


def as_answered(label: str, known: KnownLabels, is_tag: bool = False) -> str:
    """Returns a right label as answers have it; every label of feedback, and each tag of a word, passes here.

    Raises Refusal, 400, for a class that is several by now, for what is no name of a class, and for a tag that no
    version in memory has: of tags no run can add any.
    """
    if label in known.names or not known.names:
        return known.names.get(label, label)
    if label in known.split:
        raise Refusal(400, f"label: {label!r:.80} is several classes by now; send {' or '.join(known.split[label])}")
    if is_tag:
        raise Refusal(400, f"{unknown_name('label', label[:80], known.names)}. {SERVED}")
    label = label.strip()
    if not label or len(label) > _LONGEST or not is_storable(label):
        raise Refusal(400, f"label: the name of a class, in UTF-8 and of at most {_LONGEST} characters, expected")
    return label
