"""A first head without an example: made of what the classes are called, or of what is said about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from progressive_tf.errors import listed
from progressive_tf.plan.methods import Strict

PROMPT = "prompt"
Description = Annotated[str, Field(min_length=1)]


class PromptStart(Strict):
    """The head starts from the encoder's embedding of a description of each class: one text, or several to average."""

    prompt: Annotated[dict[str, Description | Annotated[list[Description], Field(min_length=1)]], Field(min_length=2)]


def descriptions_of(start: str | int | PromptStart, labels: tuple[str, ...]) -> Mapping[str, tuple[str, ...]] | None:
    """Returns the descriptions of each class, or None where a plan starts from none; a class's name stands for itself.

    Args:
        start: as in a plan.
        labels: the classes.

    Raises:
        ValueError: a description for no class, or a class without one.
    """
    if isinstance(start, PromptStart):
        given = start.prompt
        missing, unknown = (
            [each for each in labels if each not in given],
            [each for each in given if each not in labels],
        )
        if missing or unknown:
            wrong = f"{missing[0]!r} has none" if missing else f"{unknown[0]!r} is no class"
            raise ValueError(f"start.prompt: a description for each of {listed(labels)} expected; {wrong}")
        return {label: (text,) if isinstance(text := given[label], str) else tuple(text) for label in labels}
    if start == PROMPT:
        return {label: (label.replace("_", " ").replace("-", " ").lower(),) for label in labels}
    return None
