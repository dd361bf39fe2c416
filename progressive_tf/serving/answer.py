"""What an answer says, whatever the kind of the model, and how sure it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

TEXT, TOKENS = "translation", "tokens"
EXPECTED = "expected"  # beside an input that is kept, the text that a user expected
_SAYS = ("label", "tags", "kind")
_PLACES = ("start", "end")
_DIGITS = 32


def label_of(outputs: Mapping[str, Any]) -> Any:
    """Returns what an answer says: a class, the tags of words, or the fingerprint of a text, or of its tokens."""
    found = next((outputs[name] for name in _SAYS if name in outputs), None)
    if found is None:
        return next((fingerprint(outputs[name]) for name in (TEXT, TOKENS) if name in outputs), None)
    return found


def fingerprint(written: str | Sequence[int]) -> dict[str, str]:
    """Returns what stands for a text where it is compared and must not be kept: it says what was asked."""
    digest = hashlib.sha256(json.dumps(written).encode()).hexdigest()[:_DIGITS]
    return {"text_sha256" if isinstance(written, str) else "tokens_sha256": digest}


def is_of_tokens(label: Any) -> bool:
    """Whether a label is the fingerprint of tokens."""
    return isinstance(label, Mapping) and "tokens_sha256" in label


def probabilities_of(outputs: Mapping[str, Any]) -> Sequence[float] | None:
    """Returns the probabilities of the classes; of a text the one that it has itself; None where there are none."""
    if "probabilities" in outputs:
        probabilities: Sequence[float] = outputs["probabilities"]
        return probabilities
    return [outputs["confidence"]] if "confidence" in outputs else None


def says_the_same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two answers say the same, spans with their places."""
    return all(ours.get(name) == theirs.get(name) for name in (*_SAYS, *_PLACES, TEXT, TOKENS))
