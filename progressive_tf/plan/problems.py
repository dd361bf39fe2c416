"""Validation errors in the words of a plan's author: the path in the file, what was expected, what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from progressive_tf.errors import unknown_name
from progressive_tf.plan.networks import builder_tag
from progressive_tf.plan.schema import Plan

KEYS_WITH_MORE_TO_COME = {"task"}


def describe(error: ValidationError, resolved: Any, raw: Any) -> list[str]:
    """Returns one line per problem, each beginning with the path of the key in the file.

    Args:
        error: what pydantic found in the resolved plan.
        resolved: the plan with the defaults merged into the stages.
        raw: the plan as written, to tell a stage's own key from an inherited one.
    """
    by_path: dict[str, list[str]] = {}
    got: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        keys = _keys_in(resolved, problem["loc"], keep_last=problem["type"] in ("missing", "extra_forbidden"))
        path = _path(_as_written(keys, raw))
        message = _message(problem, keys)
        if message not in by_path.setdefault(path, []):
            by_path[path].append(message)
        if problem["type"] not in ("missing", "extra_forbidden", "value_error", "union_tag_not_found"):
            got[path] = f"; got {problem['input']!r:.80}"
    return [_line(path, messages, got.get(path, "")) for path, messages in by_path.items()]


def _line(path: str, messages: list[str], got: str) -> str:
    text = " or ".join(messages) + got
    if not path:
        return text
    return f"{path}{text}" if text.startswith("[") else f"{path}: {text}"


def _keys_in(resolved: Any, location: tuple[int | str, ...], keep_last: bool) -> list[int | str]:
    """Drops what pydantic adds to a location (the tags of unions) and keeps what stands in the file."""
    keys: list[int | str] = []
    here = resolved
    for position, key in enumerate(location):
        last = position == len(location) - 1
        in_mapping = isinstance(here, Mapping) and key in here
        in_list = isinstance(here, list) and isinstance(key, int) and key < len(here)
        if in_mapping or in_list:
            keys.append(key)
            here = here[key]
        elif last and keep_last:
            keys.append(key)
    return keys


def _as_written(keys: list[int | str], raw: Any) -> list[int | str]:
    """Returns the path under `defaults` for a stage's key that the stage itself does not have."""
    if len(keys) < 3 or keys[0] != "stages" or not isinstance(raw, Mapping):
        return keys
    if _has(raw, keys) or not _has(raw.get("defaults"), keys[2:]):
        return keys
    return ["defaults", *keys[2:]]


def _has(value: Any, keys: list[int | str]) -> bool:
    for key in keys:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _path(keys: list[int | str]) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _message(problem: Any, keys: list[int | str]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    last = str(keys[-1]) if keys else ""
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return unknown_name("key", last, _known_keys(problem["loc"]))
    if kind == "value_error":
        return str(context["error"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        known = context.get("expected_tags", "").replace("'", "")
        discriminator = str(context["discriminator"]).strip("'").replace(f"{builder_tag.__name__}()", "builder")
        found = context.get("tag")
        found_text = "has no" if found is None else f"{discriminator} {found!r} is not available; this release has"
        return f"{found_text} {discriminator + '; it is one of ' if found is None else ''}{known}"
    if kind == "model_type":
        return "should be a mapping"
    message = problem["msg"].removeprefix("Input ").removeprefix("Value ").removeprefix("Tuple ")
    if kind == "literal_error" and last in KEYS_WITH_MORE_TO_COME:
        message += " (this release has no other)"
    if kind == "string_pattern_mismatch":
        message = "should be letters, digits, '.', '_' and '-', 64 at most, starting with a letter or digit"
    return message


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys of the model that refused the last element of `location`."""
    models: list[type[BaseModel]] = [Plan]
    for key in location[:-1]:
        if isinstance(key, int):
            continue
        fields = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        inner = [found for annotation in fields for found in _models_in(annotation)]
        tagged = [model for model in models if _tag(model) == key]
        models = inner or tagged or models
    keys = {key for model in models for key in model.model_fields}
    return sorted(keys | ({"defaults"} if models == [Plan] else set()))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    for key in ("method", "name"):
        field = model.model_fields.get(key)
        options = get_args(field.annotation) if field else ()
        if len(options) == 1:
            return str(options[0])
    return None
