"""What a plan says about how labels are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from progressive_tf.plan.networks import Text

STRIP: Literal["strip"] = "strip"
CASEFOLD: Literal["casefold"] = "casefold"

LabelRule = Literal["strip", "casefold"] | Mapping[str, str] | None


def label_of(value: Any) -> Any:
    """Returns a label of a plan as text, where YAML has made a number or a truth value of it; else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _labels(value: Any) -> Any:
    return tuple(map(label_of, value)) if isinstance(value, list | tuple) else value


def _rule(value: Any) -> Any:
    if isinstance(value, dict):
        return {label_of(written): label_of(name) for written, name in value.items()}
    return value


Labels = Annotated[tuple[Text, ...], BeforeValidator(_labels)]
Renamed = Annotated[dict[Text, Text], Field(min_length=1)]
NormalizeLabels = Annotated[Literal["strip", "casefold"] | Renamed, BeforeValidator(_rule)]
