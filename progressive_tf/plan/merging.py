"""How defaults, override files and `--set` combine with what a plan says."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.reading import parse_scalar
from progressive_tf.plan.refusals import OF_EPOCHS

KIND_KEYS = ("method", "name", "kind")


def merge(base: Any, change: Any) -> Any:
    """Returns `base` with `change` on top: mappings merge key by key, everything else is replaced.

    Where `method`, `name` or `kind` of a mapping changes, nothing else of the base mapping survives: the settings of
    one method mean nothing to another. A null stays in the result; the schema decides whether it removes the key.
    """
    if not (isinstance(base, Mapping) and isinstance(change, Mapping)):
        return copy.deepcopy(change)
    if any(key in base and key in change and base[key] != change[key] for key in KIND_KEYS):
        return copy.deepcopy(dict(change))
    merged = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in change.items():
        merged[key] = merge(merged[key], value) if key in merged else copy.deepcopy(value)
    return merged


def merge_stage(defaults: Mapping[str, Any], stage: Any) -> Any:
    """Returns a stage with the plan's defaults below it; the stage's own `name` is not a method's name.

    Defaults about epochs do not reach a stage that learns from a stream, which has none.
    """
    if not isinstance(stage, Mapping):
        return stage
    data = stage.get("data")
    if isinstance(data, Mapping) and data.get("stream") is not None:
        defaults = {key: value for key, value in defaults.items() if key not in OF_EPOCHS}
    own = {key: value for key, value in stage.items() if key != "name"}
    named = {"name": stage["name"]} if "name" in stage else {}
    return {**named, **merge({key: value for key, value in defaults.items() if key != "name"}, own)}


def apply_override(raw: dict[str, Any], override: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Returns the plan with an override on top; `stages` may map stage names or numbers to changes.

    Args:
        raw: the plan as read, before defaults are merged.
        override: what to change, in the plan's own structure.
        place: where the override was written, for error messages.

    Raises:
        InputError: a stage that the plan does not have, or a stage or a change to one that is no mapping.
    """
    changes = {key: value for key, value in override.items() if key != "stages"}
    merged = {key: copy.deepcopy(value) for key, value in raw.items()}
    for key, value in changes.items():
        merged[key] = merge(merged[key], value) if key in merged else copy.deepcopy(value)
    stage_changes = override.get("stages")
    if isinstance(stage_changes, Mapping):
        stages = _checked_stages(merged.get("stages"))
        for key, change in stage_changes.items():
            index = stage_index([stage.get("name") for stage in stages], str(key), place)
            if not isinstance(change, Mapping):
                raise InputError(f"{place}: stages.{key}: should be a mapping of stage keys; got {change!r:.80}")
            stages[index] = merge_stage(stages[index], {"name": stages[index].get("name"), **change})
        merged["stages"] = stages
    elif stage_changes is not None:
        merged["stages"] = copy.deepcopy(stage_changes)
    return merged


def parse_setting(text: str) -> dict[str, Any]:
    """Returns the override that `--set a.b=v` stands for: `{"a": {"b": v}}`.

    Raises:
        InputError: no `=`, or an empty part of the path.
    """
    path, separator, value = text.partition("=")
    keys = re.sub(r"\[(\d+)\]", lambda match: f".{int(match[1]) + 1}", path).split(".")
    if not separator or not all(keys):
        raise InputError(f"--set {text}: expected PATH=VALUE, such as stages.beta.epochs=3 or seed=8")
    # In YAML a comma alone begins nothing, and quotes around it would have to be quoted again for a shell.
    result: Any = value if value == "," else parse_scalar(value, f"--set {text}")
    for key in reversed(keys):
        result = {key: result}
    return result


def _checked_stages(stages: Any) -> list[dict[str, Any]]:
    """Returns the plan's stages, which an override can only change where each is a mapping."""
    if stages is not None and not isinstance(stages, list):
        raise InputError(f"stages: should be a list of stages; got {stages!r:.80}")
    for index, stage in enumerate(stages or []):
        if not isinstance(stage, dict):
            raise InputError(f"stages[{index}]: should be a mapping of stage keys; got {stage!r:.80}")
    return list(stages or [])


def stage_index(names: Sequence[Any], key: str, place: str) -> int:
    """Returns the index, from 0, of a stage given by its name or its number, from 1.

    Args:
        names: of all stages, in order.
        key: the name or number.
        place: where it was written, for error messages.

    Raises:
        InputError: there is no such stage.
    """
    if key in names:
        return list(names).index(key)
    if key.isdigit() and 1 <= int(key) <= len(names):
        return int(key) - 1
    known = [str(name) for name in names if name] + [str(number) for number in range(1, len(names) + 1)]
    raise InputError(f"{place}: {unknown_name('stage', key, known)}")
