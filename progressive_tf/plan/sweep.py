"""What a sweep of a stage is asked for: the search space over the stage's own keys, and how it is searched."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from progressive_tf.errors import unknown_name
from progressive_tf.plan.merging import KIND_KEYS
from progressive_tf.plan.methods import Strict, tuple_from_list
from progressive_tf.plan.metric_names import find_metric, metric_patterns

Number = float
Whole = int
Oracle = Literal["random", "bayesian", "hyperband", "grid"]
NOT_SWEPT = {
    "name": "it names the stage",
    "data": "trials are compared on the same rows",
    "gate": "a gate judges what a sweep has chosen",
    "release": "it says what becomes of the stage afterwards",
    "tune": "it is the sweep's own",
}


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


class Parameter(Strict):
    """The values that one key may have in a sweep.

    Exactly one of `float: [lowest, highest]`, `int: [lowest, highest]`, both ends included, and `choice: [values]`.
    With `log` a range is searched on a logarithmic scale; `step` is the distance of its values. `when` names other
    keys of the space that are choices, each with the values for which this one is searched; otherwise it stays as the
    plan has it.
    """

    float: Annotated[tuple[Number, Number], BeforeValidator(tuple_from_list)] | None = None
    int: Annotated[tuple[Whole, Whole], BeforeValidator(tuple_from_list)] | None = None
    choice: Annotated[tuple[Any, ...], BeforeValidator(tuple_from_list), Field(min_length=1)] | None = None
    log: bool = False
    step: Annotated[Number, Field(gt=0)] | None = None
    when: dict[str, Annotated[tuple[Any, ...], BeforeValidator(_listed)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        given = [kind for kind in ("float", "int", "choice") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of float, int, choice; got {' and '.join(given) or 'none'}")
        if self.choice is not None:
            if self.log or self.step is not None:
                raise ValueError("log and step are for ranges; a choice lists its values")
            if len({json.dumps(value, sort_keys=True) for value in self.choice}) < len(self.choice):
                raise ValueError(f"choice: each value once; got {list(self.choice)}")
            return self
        lowest, highest = self.ends
        if lowest >= highest:
            raise ValueError(f"{given[0]}: the first end lies below the second; got [{lowest}, {highest}]")
        if self.log and lowest <= 0:
            raise ValueError(f"log: a logarithmic range begins above 0; got {lowest}")
        if self.log and self.step is not None:
            raise ValueError("step: is a distance; values of a logarithmic range have none; drop one of the two")
        if self.step is not None and self.int is not None and self.step != round(self.step):
            raise ValueError(f"step: whole numbers are a whole number apart; got {self.step}")
        return self

    @property
    def ends(self) -> tuple[Number, Number]:
        """Lowest and highest value of a range."""
        ends = self.float or self.int
        if ends is None:
            raise ValueError("a choice has no ends")
        return ends

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The values that a plan has to take if it takes all of them."""
        return self.choice if self.choice is not None else self.ends

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these."""
        if self.choice is not None:
            return value in self.choice
        return isinstance(value, Number | Whole) and self.ends[0] <= value <= self.ends[1]


class Tune(Strict):
    """A sweep: `trials` of values from `space`, the best of which the stage is trained with.

    The best is that with the best `metric` on the stage's validation rows (by default the metric of the R matrix), a
    mean over `seeds` trainings, among those that lose at most `drop_at_most` of it on the validation rows of each
    earlier stage, where 0.02 is two of a hundred points (of a log loss, 0.02). Gate and test rows are not read. With
    `warm_start` the plan's own values are tried first, then the best of the sweep of the stage before. Without a
    `space`, rate, batch size and size of the adaptation are searched around the plan's.
    """

    space: Annotated[dict[str, Parameter], Field(min_length=1)] | None = None
    trials: int = Field(default=20, ge=1)
    oracle: Oracle = "bayesian"
    seeds: int = Field(default=1, ge=1)
    metric: str | None = None
    drop_at_most: float = Field(default=0.02, ge=0)
    warm_start: bool = True
    seed: int | None = Field(default=None, ge=1, lt=2**31)

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, name: str | None) -> str | None:
        if name is not None and find_metric(name) is None:
            raise ValueError(unknown_name("metric", name, metric_patterns()))
        return name

    @field_validator("space")
    @classmethod
    def _keys_can_be_searched(
        cls, space: dict[str, Parameter] | None, info: ValidationInfo
    ) -> dict[str, Parameter] | None:
        for key, parameter in (space or {}).items():
            first = key.partition(".")[0]
            if first in NOT_SWEPT:
                raise ValueError(f"{key}: cannot be searched: {NOT_SWEPT[first]}")
            if not all(key.split(".")):
                raise ValueError(f"{key!r}: expected a key of the stage, such as optimizer.learning_rate")
            longer = [other for other in space or {} if other.startswith(f"{key}.")]
            if longer and parameter.choice is None:
                raise ValueError(f"{longer[0]}: lies below {key}, which is searched as a number")
            _check_conditions(key, space or {})
        return space

    @model_validator(mode="after")
    def _epochs_belong_to_one(self) -> Tune:
        if self.oracle == "hyperband" and "epochs" in (self.space or {}):
            raise ValueError("space.epochs: hyperband itself gives trials their epochs; drop one of the two")
        return self


def _check_conditions(key: str, space: Mapping[str, Parameter]) -> None:
    for parent, values in space[key].when.items():
        if parent not in space or space[parent].choice is None:
            choices = [name for name, parameter in space.items() if parameter.choice is not None and name != key]
            raise ValueError(f"{key}.when: {unknown_name('choice', parent, choices)}")
        for value in values:
            if not space[parent].holds(value):
                raise ValueError(
                    f"{key}.when.{parent}: {value!r} is none of its choices {list(space[parent].extremes)}"
                )
    if _leads_to(key, list(space[key].when), space):
        raise ValueError(f"{key}.when: depends on {key} itself")


def _leads_to(key: str, parents: list[str], space: Mapping[str, Parameter]) -> bool:
    seen: set[str] = set()
    while parents:
        parent = parents.pop()
        if parent == key:
            return True
        if parent not in seen and parent in space:
            seen.add(parent)
            parents.extend(space[parent].when)
    return False


def default_space(stage: Mapping[str, Any]) -> dict[str, Parameter]:
    """Returns what is worth searching around a stage's own values.

    Args:
        stage: the resolved stage, as JSON-like values.
    """
    rate, size = stage["optimizer"]["learning_rate"], stage["batch_size"]
    space: dict[str, Any] = {"optimizer.learning_rate": {"float": [rate / 10, rate * 10], "log": True}}
    if isinstance(size, int):
        space["batch_size"] = {"choice": _around(size)}
    for key in ("rank", "size", "length"):
        if key in stage["adaptation"]:
            space[f"adaptation.{key}"] = {"choice": _around(stage["adaptation"][key])}
    if stage["adaptation"]["method"] == "top-blocks":
        blocks = stage["adaptation"]["blocks"]
        space["adaptation.blocks"] = {"choice": sorted({max(0, blocks - 1), blocks, blocks + 1})}
    return {key: Parameter.model_validate(spec) for key, spec in space.items()}


def _around(value: int) -> list[int]:
    return sorted({max(1, value // 2), value, value * 2})


def change_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the change to a stage that `{"optimizer.learning_rate": 1e-4}` stands for, in the stage's structure."""
    change: dict[str, Any] = {}
    for key in sorted(values, key=lambda name: name.count(".")):
        *parents, last = key.split(".")
        here = change
        for parent in parents:
            if not isinstance(here.get(parent), dict):
                here[parent] = {}
            here = here[parent]
        here[last] = copy.deepcopy(values[key])
    return change


def override_of(change: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a change in a form that means the same on top of a plan file, whatever is written there and in defaults.

    A section whose method or kind stays also names it, for the file may have left it to the defaults; one whose kind
    changes is given whole, for the file may have settings of the former kind.

    Args:
        change: to a stage.
        before: the resolved stage without the change.
        after: the resolved stage with it.
    """
    complete: dict[str, Any] = {}
    for key, value in change.items():
        old, new = before.get(key), after.get(key)
        if not (isinstance(value, Mapping) and isinstance(new, Mapping)):
            complete[key] = value
        elif not isinstance(old, Mapping) or any(old.get(kind) != new.get(kind) for kind in KIND_KEYS):
            complete[key] = dict(new)
        else:
            complete[key] = {kind: new[kind] for kind in KIND_KEYS if kind in new} | override_of(value, old, new)
    return complete


def samples(space: Mapping[str, Parameter]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields, for each key and each value that a plan has to take there, the values to try it with."""
    for key, parameter in space.items():
        for value in parameter.extremes:
            yield key, _with_dependents({**_conditions(key, space), key: value}, space)


def paired_samples(space: Mapping[str, Parameter]) -> Iterator[dict[str, Any]]:
    """Yields values that take each two ends of two ranges, or choices, at once."""
    alone = [values for _, values in samples(space)]
    yield from alone
    for first, second in itertools.combinations(alone, 2):
        if all(second[key] == value for key, value in first.items() if key in second):
            yield first | second


def _conditions(key: str, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Returns values of other keys with which a key is searched."""
    values: dict[str, Any] = {}
    for parent, allowed in space[key].when.items():
        values |= _conditions(parent, space) | {parent: allowed[0]}
    return values


def _with_dependents(values: dict[str, Any], space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Returns the values with the first one of each key that is searched only beside them: a method may need it."""
    missing = [key for key in active(space, values) if space[key].when and key not in values]
    if not missing:
        return values
    return _with_dependents({**values, **{key: space[key].extremes[0] for key in missing}}, space)


def active(space: Mapping[str, Parameter], values: Mapping[str, Any]) -> Sequence[str]:
    """Returns the keys that are searched where the space's choices have these values."""
    return [
        key
        for key, parameter in space.items()
        if all(values.get(parent) in allowed for parent, allowed in parameter.when.items())
    ]
