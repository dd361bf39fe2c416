"""The labels that a version, or the stages before, have, and what a plan says became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.label_changes import PLACE, LabelChanges


@dataclass(frozen=True)
class StartLabels:
    """The labels of the version that a run starts from, or of the stages before one that changes them.

    Attributes:
        version: its number; 0 for stages.
        labels: in the order of its outputs.
        changes: what the plan says became of them; None where it says nothing.
        words: labels of the versions before it → what it calls them: several where one was split, none where it was
            retired.
        place: where the plan says it.
        stage: the stage before, whose labels they are; empty for a version's.
    """

    version: int
    labels: tuple[str, ...]
    changes: LabelChanges | None = None
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    place: str = PLACE
    stage: str = ""

    @property
    def by(self) -> str:
        """Whose labels they are, in words."""
        return f"stage {self.stage}" if self.stage else f"version {self.version}"

    def map(self) -> LabelMap | None:
        """Returns the map to the labels of the run; None where nothing is said of it.

        A class stands where the first of those stood that it comes from, and new ones last, in the plan's order.

        Raises:
            InputError: the plan changes a label that there is not, or adds one that there is, or one that was another
                class before.
        """
        changes = self.changes
        if changes is None:
            return None
        for change, label in changes.old():
            if label not in self.labels:
                word = unknown_name("label", label, self.labels)
                raise InputError(f"{self.place}.{change}: {self.by} answers with no such class: {word}")
        merged = {old: new for new, olds in changes.merge.items() for old in olds}
        of = {
            label: changes.split.get(
                label,
                () if label in changes.retire else (changes.rename.get(label, merged.get(label, label)),),
            )
            for label in self.labels
        }
        stay = set(self.labels) - {label for _, label in changes.old()}
        taken = next(((change, label) for change, label in changes.new() if label in stay), None)
        if taken is not None:
            rows = "; rows of a stage with other labels stand in a file of their own, which its data.source names"
            raise InputError(
                f"{self.place}.{taken[0]}: {self.by} has {taken[1]!r} already, and nothing becomes of that; to have "
                f"both as one class, name both under merge, or choose another name{rows if self.stage else ''}"
            )
        self._refuse_new_meanings(changes, of)
        known = tuple(dict.fromkeys(new for news in of.values() for new in news))
        after = (*known, *changes.add)
        if not known:
            raise InputError(
                f"{self.place}: leaves no class that {self.by} has, so that nothing of its head goes on; begin a run "
                f"of its own with start: pretrained"
            )
        if len(after) < 2:
            raise InputError(
                f"{self.place}: leaves {listed(after) or 'no class'}; a classifier needs at least two classes"
            )
        return LabelMap(self.labels, after, of)

    def _refuse_new_meanings(self, changes: LabelChanges, of: Mapping[str, tuple[str, ...]]) -> None:
        """Raises InputError where a new label is a word of an earlier version that meant something else.

        A class may be called as it was once more, one that was split may be one again, and one that was retired may be
        added again.
        """
        for change, label in changes.new():
            meant = self.words.get(label)
            if meant is None or (all(of[now] == (label,) for now in meant) if meant else change == "add"):
                continue
            now = f"{listed(meant)} in {self.by}" if meant else "retired"
            kind = "stage" if self.stage else "version"
            advice = "choose another name" if meant else "choose another name, or name it under add to have it again"
            raise InputError(
                f"{self.place}.{change}: {label!r} is a class of an earlier {kind}, which is {now}, so that rows and "
                f"feedback with it could be either; {advice}"
            )
