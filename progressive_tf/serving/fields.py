"""Fields of a JSON object, read with the place and the kind that is wrong."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from progressive_tf.serving.limits import Refusal


def refuse_unknown(body: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises Refusal, 400, for a key that is not known."""
    unknown = next((given for given in body if given not in known), None)
    if unknown is not None:
        raise Refusal(400, f"unknown key {unknown!r:.80}; known: {', '.join(known)}")


def text(body: Mapping[str, Any], name: str, most: int) -> str | None:
    """Returns a string of at most so many characters, without spaces around it, None where it is missing or null;
    raises Refusal, 400, for anything else.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or not is_storable(value):
        raise Refusal(400, f"{name}: a text of at most {most} characters expected")
    return value.strip() or None


def whole_number(body: Mapping[str, Any], name: str, lowest: int, highest: int) -> int | None:
    """Returns a whole number within bounds, None where it is missing or null; raises Refusal, 400, for anything
    else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise Refusal(400, f"{name}: a whole number from {lowest} to {highest} expected; got {value!r:.80}")
    return value


def number(body: Mapping[str, Any], name: str) -> float | None:
    """Returns a finite number, None where it is missing or null; raises Refusal, 400, for anything else."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e6 or not math.isfinite(value):
        raise Refusal(400, f"{name}: a number expected; got {value!r:.80}")
    return float(value)


def truth(body: Mapping[str, Any], name: str) -> bool | None:
    """Returns true or false, None where it is missing or null; raises Refusal, 400, for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(400, f"{name}: true or false expected; got {value!r:.80}")
    return value


def is_storable(value: str) -> bool:
    """Whether a string is UTF-8: half of a surrogate pair is not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
