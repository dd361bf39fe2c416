"""What a stage says about labels that are others than those of what it starts from: a version, or an earlier stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from progressive_tf.errors import listed
from progressive_tf.plan.adaptation_methods import FROM_SUMS
from progressive_tf.plan.label_rules import Labels, label_of
from progressive_tf.plan.methods import Strict
from progressive_tf.plan.networks import Text
from progressive_tf.plan.refusals import SAME_OUTPUTS

PLACE = "stages[0].labels"
CHANGES = ("rename", "merge", "split", "retire", "add")


def _names(value: Any) -> Any:
    return {label_of(key): label_of(name) for key, name in value.items()} if isinstance(value, dict) else value


def _parts(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {label_of(key): tuple(map(label_of, of)) if isinstance(of, list) else of for key, of in value.items()}


Renamed = Annotated[dict[Text, Text], BeforeValidator(_names)]
Parts = Annotated[dict[Text, Annotated[tuple[Text, ...], Field(min_length=2)]], BeforeValidator(_parts)]


class LabelChanges(Strict):
    """What became of the labels that there were before the stage; those of which nothing is said stay.

    In the first stage they are those of the version that the run starts from, in a later one those of the stage before.

    `rename` has {old: new}, `merge` {new: [old, old]}, `split` {old: [new, new]}, `retire` and `add` are lists.
    A renamed class keeps its weights, a merged one starts near the sum of what the old ones said, the parts of a split
    class share what it said, and an added one starts as any new class. Rows with a word that was renamed or merged
    count under the new one.
    """

    rename: Renamed = Field(default_factory=dict)
    merge: Parts = Field(default_factory=dict)
    split: Parts = Field(default_factory=dict)
    retire: Labels = ()
    add: Labels = ()

    @model_validator(mode="after")
    def _each_label_once(self) -> LabelChanges:
        if not any(getattr(self, change) for change in CHANGES):
            raise ValueError(f"says nothing; give {listed(CHANGES)}, or drop it")
        for side, named in (("an old label", self.old()), ("a new label", self.new())):
            place: dict[str, str] = {}
            for change, label in named:
                if label in place:
                    raise ValueError(f"{change}: {label!r} is {side} in {place[label]} too; each label has one place")
                place[label] = change
        for old, new in self.rename.items():
            if old == new:
                raise ValueError(f"rename: {old!r} keeps its name; drop it")
        became = {old: change for change, old in self.old()}
        for change, new in self.new():
            if new in became and new not in self.merge.get(new, ()):
                raise ValueError(
                    f"{change}: {new!r} is an old label in {became[new]}, so that rows labelled with it could be "
                    f"either; choose another name"
                )
        return self

    def old(self) -> Iterator[tuple[str, str]]:
        """Yields every label of before that something is said about, after what becomes of it."""
        yield from (("rename", old) for old in self.rename)
        yield from (("merge", old) for of in self.merge.values() for old in of)
        yield from (("split", old) for old in self.split)
        yield from (("retire", old) for old in self.retire)

    def new(self) -> Iterator[tuple[str, str]]:
        """Yields every label that there is afterwards and that is said here, after where it comes from."""
        yield from (("rename", new) for new in self.rename.values())
        yield from (("merge", new) for new in self.merge)
        yield from (("split", new) for of in self.split.values() for new in of)
        yield from (("add", new) for new in self.add)


def place_of(index: int) -> str:
    """Returns where the changes of a stage stand in a plan."""
    return f"stages[{index}].labels"


def problem_with_label_changes(plan: Mapping[str, Any]) -> str | None:
    """Returns why a plan, with all of its keys, cannot have the `labels` of its stages; None where it can."""
    start, scenario, stages = plan["start"], plan["scenario"], plan["stages"]
    changing = [index for index, stage in enumerate(stages) if stage["labels"] is not None]
    if not changing:
        return None
    place = place_of(changing[0])
    if not changing[0] and start != "stable" and not isinstance(start, int):
        return f"{place}: is about the labels of a released version; set start: stable, or a version's number"
    if scenario not in SAME_OUTPUTS:
        return (
            f"{place}: scenario {scenario} has its classes from its stages; set scenario: data-incremental, or drop it"
        )
    if plan["data"]["labels"] is not None:
        before = "the version's" if not changing[0] else "the rows of the stages before"
        return f"{place}: the classes follow from {before} and from what stands here; drop data.labels"
    if plan["probes"] is not None and changing[-1]:
        return (
            f"probes: are explained by what each stage starts from, too, and {place_of(changing[-1])} calls its "
            f"classes otherwise; drop one of the two"
        )
    if plan["probes"] is not None and stages[0]["labels"]["add"]:
        return (
            f"probes: are explained by the version that the run starts from, too, and it has no output for what "
            f"{PLACE}.add brings; drop one of the two"
        )
    problems = (_problem_beside(index, stage, changing) for index, stage in enumerate(stages))
    return next((problem for problem in problems if problem), None)


def _problem_beside(number: int, stage: Mapping[str, Any], changing: Sequence[int]) -> str | None:
    """Returns what a stage cannot have in a run whose labels change at some of its stages; None: nothing."""
    method, place = stage["adaptation"]["method"], place_of(changing[0])
    if stage["release"] is not None and number >= changing[0]:
        return (
            f"stages[{number}].release: a canary is watched by how often it answers as stable does, and the two call "
            f"their classes otherwise here; drop it, or drop {place}"
        )
    if stage["data"]["stream"] is not None:
        return (
            f"stages[{number}].data.stream: its rows are read one by one, under the labels that there are; drop it, or "
            f"drop {place}"
        )
    if method in FROM_SUMS:
        return (
            f"stages[{number}].adaptation: {method} goes on with sums of classes, and {place} changes these; use "
            f"method head"
        )
    inner = next((index for index in changing if index), None)
    return None if inner is None else _problem_in_run(number, stage, inner)


def _problem_in_run(number: int, stage: Mapping[str, Any], inner: int) -> str | None:
    """Returns what a stage cannot have in a run whose labels change inside it, first at the stage `inner`."""
    retention, place = stage["retention"], place_of(inner)
    average = (retention["average"] or {}).get("kind")
    if stage["data"]["wrong_labels"] is not None:
        return (
            f"stages[{number}].data.wrong_labels: gives rows other classes of its stage on purpose, and {place} "
            f"changes which classes these are; drop one of the two"
        )
    if average == "ensemble":
        return (
            f"stages[{number}].retention.average: an ensemble adds up what stages say of the same classes, and {place} "
            f"changes these; use ema or swa, or drop {place}"
        )
    if number < inner:
        return None
    if retention["ewc"] is not None:
        return (
            f"stages[{number}].retention.ewc: holds each weight near what earlier stages left, and {place} changes the "
            f"columns of the head; use replay or lwf from this stage on"
        )
    if average in ("wise-ft", "soup"):
        return (
            f"stages[{number}].retention.average: {average} mixes weights with those of earlier stages, whose heads "
            f"have other classes since {place}; use ema or swa from this stage on"
        )
    if stage["optimizer"]["carry_state"]:
        return (
            f"stages[{number}].optimizer.carry_state: the state belongs to the columns of a head that {place} changes; "
            f"drop it from this stage on"
        )
    return None
