"""What a plan says about how labels are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

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


def _named_at_once(rule: dict[str, str]) -> dict[str, str]:
    """Refuses a class that is renamed itself: a label that comes later would be that class, or the one after it."""
    again = next((name for name in rule.values() if rule.get(name, name) != name), None)
    if again is not None:
        raise ValueError(f"{again!r} is a class here, and is renamed to {rule[again]!r} itself; name each class once")
    return rule


def _costs(value: Any) -> Any:
    return {label_of(true): _rule_keys(of) for true, of in value.items()} if isinstance(value, dict) else value


def _rule_keys(of: Any) -> Any:
    return {label_of(said): cost for said, cost in of.items()} if isinstance(of, dict) else of


def _right_costs_nothing(costs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    right = next((label for label, of in costs.items() if label in of), None)
    if right is not None:
        raise ValueError(f"{right}.{right}: a right answer costs nothing; drop it")
    return costs


Cost = Annotated[float, Field(ge=0)]
LabelCosts = Annotated[
    dict[Text, Annotated[dict[Text, Cost], Field(min_length=1)]],
    Field(min_length=1),
    BeforeValidator(_costs),
    AfterValidator(_right_costs_nothing),
]
Labels = Annotated[tuple[Text, ...], BeforeValidator(_labels)]
Renamed = Annotated[dict[Text, Text], Field(min_length=1), AfterValidator(_named_at_once)]
NormalizeLabels = Annotated[Literal["strip", "casefold"] | Renamed, BeforeValidator(_rule)]
