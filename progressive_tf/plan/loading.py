"""From a plan's name or file, and what the command line adds, to a checked `Plan`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.files import sha256_json
from progressive_tf.plan.identity import identity_of_data
from progressive_tf.plan.idle_keys import idle_lines, repeated
from progressive_tf.plan.merging import apply_override, merge_stage, parse_setting
from progressive_tf.plan.networks import builder_tag
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml, value_at
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import Parameter, Tune, change_of, samples
from progressive_tf.plan.tasks import OWN_TAG

DEFAULT_PLAN = "movie-reviews"
PLAN_SUFFIXES = (".yaml", ".yml")
KEYS_WITH_MORE_TO_COME = {"task"}
_ABSENT = object()


@dataclass(frozen=True)
class LoadedPlan:
    """A checked plan and the folder that its relative paths start from.

    Attributes:
        plan: cut to the stages that were asked for.
        folder: where relative paths start.
        whole: the plan with all of its stages.
        asked: the flags of `train` that it was loaded with: --plan, --override, --set.
        remarks: what of it, and of the overrides, changes nothing, a line each.
    """

    plan: Plan
    folder: Path
    whole: Plan
    asked: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The flags of `train` that load this plan again."""
        stages = len(self.plan.stages)
        return [*self.asked, *(["--stages", str(stages)] if stages < len(self.whole.stages) else [])]

    def to_json(self) -> dict[str, Any]:
        """Returns the resolved plan as JSON-like values; reading them again gives an equal plan."""
        return self.plan.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Returns the resolved plan as YAML."""
        return to_yaml(self.to_json())

    @property
    def identity(self) -> str:
        """Eight hex digits over what a run may never change: the plan's name, model, data and seed."""
        resolved = self.to_json()
        resolved["data"] = identity_of_data(resolved["data"])
        return sha256_json({key: resolved[key] for key in ("name", "model", "data", "seed")})[:8]


def shipped_plans() -> dict[str, Path]:
    """Returns the plans that come with the package, by name."""
    folder = Path(str(resources.files("progressive_tf.plan") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_plan(
    name_or_file: str = DEFAULT_PLAN,
    settings: Sequence[str] = (),
    override: Path | None = None,
    stages: int | None = None,
) -> LoadedPlan:
    """Returns the checked plan.

    Args:
        name_or_file: a shipped plan's name or a YAML file. Relative paths in a file start from its folder, those of
            a shipped plan from the current folder.
        settings: `a.b=value` overrides, applied last, in order.
        override: a YAML file in the plan's structure, in which `stages` may map names or numbers to changes.
        stages: how many of the plan's stages to keep, from the first; None for all.

    Raises:
        InputError: anything wrong with the plan; every problem is listed with its path in the file.
    """
    path, folder = _find(name_or_file)
    raw = written = read_yaml_mapping(path)
    overrides: list[tuple[str, dict[str, Any]]] = []
    if override is not None:
        overrides.append((f"--override {override}", read_yaml_mapping(override)))
        raw = apply_override(raw, overrides[-1][1], str(override))
    for setting in settings:
        overrides.append((f"--set {setting}", parse_setting(setting)))
        raw = apply_override(raw, overrides[-1][1], f"--set {setting}")
    plan = whole = validate(raw, str(path)).about_to_run(str(path))
    if stages is not None:
        if not 1 <= stages <= len(plan.stages):
            raise InputError(f"--stages {stages}: the plan {plan.name} has {len(plan.stages)}; ask for 1 to that many")
        plan = plan.model_copy(update={"stages": plan.stages[:stages]})
    asked = ["--plan", name_or_file, *(["--override", str(override)] if override is not None else [])]
    asked += [word for assignment in settings for word in ("--set", assignment)]
    remarks = [*_repeated(written, str(path), whole, overrides, len(plan.stages)), *idle_lines(whole)]
    return LoadedPlan(plan, folder, whole, tuple(asked), tuple(remarks))


def _repeated(
    written: dict[str, Any], place: str, plan: Plan, overrides: Sequence[tuple[str, dict[str, Any]]], run: int
) -> list[str]:
    """Returns what overrides of a plan say without changing anything; nothing where it is no plan without them."""
    if not overrides:
        return []
    try:
        before = validate(written, place)
    except InputError:
        return []
    return [line for flag, change in overrides for line in repeated(before, plan, change, flag, run)]


def validate(raw: dict[str, Any], place: str) -> Plan:
    """Returns the plan that a mapping describes, with `defaults` merged into each stage.

    Raises:
        InputError: with one line per problem; `place` names the file.
    """
    defaults = raw.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise InputError(f"{place}: defaults: should be a mapping of stage keys; got {type(defaults).__name__}")
    resolved = {key: value for key, value in raw.items() if key != "defaults"}
    if isinstance(raw.get("stages"), list):
        resolved["stages"] = [merge_stage(defaults, stage) for stage in raw["stages"]]
    try:
        plan = Plan.model_validate(resolved)
    except ValidationError as error:
        problems = describe(error, resolved, raw)
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
        raise InputError(f"{place}: {listed}") from None
    for index, stage in enumerate(plan.stages):
        if stage.tune is not None and stage.tune.space is not None:
            check_space(plan, index, stage.tune.space, f"{place}: stages[{index}].tune.space")
    return plan


def with_change(plan: Plan, index: int, change: Mapping[str, Any]) -> Plan:
    """Returns a plan with a change to one stage, merged as an override is.

    Args:
        plan: the plan.
        index: of the stage, from 0.
        change: in the stage's own structure.

    Raises:
        InputError: the plan does not allow it.
    """
    raw = plan.model_dump(mode="json")
    stage = raw["stages"][index]
    raw["stages"][index] = merge_stage(stage, {"name": stage["name"], **change})
    try:
        return Plan.model_validate(raw)
    except ValidationError as error:
        raise InputError("; ".join(describe(error, raw, raw))) from None


def sweep_settings(plan: Plan, index: int, flags: Mapping[str, Any]) -> Tune:
    """Returns how a stage is swept: its `tune` section, with what a command line adds.

    Args:
        plan: the plan.
        index: of the stage, from 0.
        flags: keys of the section.

    Raises:
        InputError: a value or a key of the search space that the plan cannot have.
    """
    own = plan.stages[index].tune
    asked = (own.model_dump(mode="json") if own is not None else {}) | dict(flags)
    settings = with_change(with_change(plan, index, {"tune": None}), index, {"tune": asked}).stages[index].tune
    if settings is None:
        raise InputError(f"stages[{index}].tune: says nothing")
    if settings.space is not None:
        check_space(plan, index, settings.space, f"stages[{index}].tune.space")
    return settings


def check_space(plan: Plan, index: int, space: Mapping[str, Parameter], place: str) -> None:
    """Refuses a search space with a key or a value that the plan cannot have.

    Args:
        plan: the plan.
        index: of the stage, from 0.
        space: the values of each key of the stage that a sweep may try.
        place: where it is written, for error messages.

    Raises:
        InputError: names the key.
    """
    for key, values in samples(space):
        try:
            with_change(plan, index, {**change_of(values), "tune": {"trials": 1, "space": None}})
        except InputError as error:
            raise InputError(f"{place}.{key}: {values[key]!r}: {error}") from None


def _find(name_or_file: str) -> tuple[Path, Path]:
    shipped = shipped_plans()
    if name_or_file in shipped:
        return shipped[name_or_file], Path()
    path = Path(name_or_file)
    if path.suffix in PLAN_SUFFIXES or os.path.exists(path):  # pathlib's own raises for a name that is too long
        return path, path.parent
    raise InputError(f"--plan: {unknown_name('plan', name_or_file, shipped)}; or give a .yaml file")


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
    inherited = (
        value_at(raw, keys, _ABSENT) is _ABSENT and value_at(raw.get("defaults"), keys[2:], _ABSENT) is not _ABSENT
    )
    return ["defaults", *keys[2:]] if inherited else keys


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
        discriminator = str(context["discriminator"]).strip("'").replace(f"{builder_tag.__name__}()", "builder")
        if kind == "union_tag_not_found":
            return f"has no {discriminator}; it is one of {', '.join(_tags(problem['loc'], discriminator))}"
        known = context["expected_tags"].replace("'", "")
        return f"{discriminator} {context['tag']!r} is not available; this release has {known}"
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
    models = _models_at(location[:-1])
    keys = {key for model in models for key in model.model_fields}
    return sorted(keys | ({"defaults"} if models == [Plan] else set()))


def _tags(location: tuple[int | str, ...], discriminator: str) -> list[str]:
    """Returns what the key that tells the models at `location` apart may be, in the plan's order."""
    options = [get_args(model.model_fields[discriminator].annotation) for model in _models_at(location)]
    return [str(option[0]) if option else OWN_TAG for option in options]


def _models_at(location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """Returns the models that what stands at `location` may be."""
    models: list[type[BaseModel]] = [Plan]
    for key in (key for key in location if isinstance(key, str)):
        fields = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        inner = [inner_model for annotation in fields for inner_model in _models_in(annotation)]
        models = inner or [model for model in models if _tag(model) == key] or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    for key in ("method", "name", "builder", "kind"):
        field = model.model_fields.get(key)
        options = get_args(field.annotation) if field else ()
        if len(options) == 1:
            return str(options[0])
    return None
