"""Texts that are written; what stands for one in the store is its fingerprint, since it says what was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from progressive_tf.serving import fields
from progressive_tf.serving.answers.base import LONGEST_TEXT, KnownLabels, ServedAnswers
from progressive_tf.serving.limits import Refusal

TEXT, TOKENS = "translation", "tokens"
EXPECTED = "expected"  # beside an input that is kept, the text that a user expected
_DIGITS = 32


class ServedTexts(ServedAnswers):
    """A text, or its tokens where tokens were given."""

    says = (TEXT, TOKENS)
    in_batches = False  # searches of many texts take as many times as long
    truth_column = "target"
    confidence_column = "confidence"

    def label(self, outputs: Mapping[str, Any]) -> Any:
        """Returns the fingerprint of the text, or of its tokens."""
        written = super().label(outputs)
        return None if written is None else fingerprint(written)

    def kept(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the text."""
        return {TEXT: outputs[TEXT]} if TEXT in outputs else {}

    def asked(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the input alone."""
        return {name: value for name, value in kept.items() if name not in (TEXT, EXPECTED)}

    def read_feedback(self, value: Any, known: KnownLabels) -> tuple[Any, str | None]:
        """Returns the fingerprint of the expected text and the text as it is: every character of it counts."""
        if not isinstance(value, str) or not value.strip():
            raise Refusal(
                400, f"label: the expected text, a string, expected; got {value!r:.80}; or send correct, or rating"
            )
        if len(value) > LONGEST_TEXT or not fields.is_storable(value):
            raise Refusal(400, f"label: a text in UTF-8 of at most {LONGEST_TEXT} characters expected")
        return fingerprint(value), value

    def is_readable(self, label: Any) -> bool:
        """Whether it is the text itself, which --redact may not have kept."""
        return isinstance(label, str)


def fingerprint(written: str | Sequence[int]) -> dict[str, str]:
    """Returns what stands for a text, or for the ids of tokens, where it is compared and must not be kept."""
    digest = hashlib.sha256(json.dumps(written).encode()).hexdigest()[:_DIGITS]
    return {"text_sha256" if isinstance(written, str) else "tokens_sha256": digest}


def is_of_tokens(label: Any) -> bool:
    """Whether a label is the fingerprint of tokens."""
    return isinstance(label, Mapping) and "tokens_sha256" in label
