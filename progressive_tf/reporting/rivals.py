"""How the rivals of stages read: simple classifiers on the same kept outputs, beside what a stage has learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from progressive_tf.evaluation.records import Rival, RivalMeasure
from progressive_tf.output import ByWidth
from progressive_tf.reporting.records import RunRecord
from progressive_tf.reporting.wording import RIVALS, number, signed


@dataclass(frozen=True)
class RivalView:
    """A stage beside its rivals.

    Attributes:
        stage: its name.
        on_test: whether values are of test rows; of gate rows otherwise.
        words: the name of each rival that any stage of the run has.
        own: the stage's accuracy over all rows so far.
        values: that of each rival, None where the stage has no such.
        best: the measure of the best.
    """

    stage: str
    on_test: bool
    words: Sequence[str]
    own: float
    values: Sequence[float | None]
    best: RivalMeasure

    @property
    def more(self) -> str:
        """How much more the best has, in points: `+4.7 [+3.9, +5.5]`."""
        more, low, high = (signed(100 * value, 1) for value in (self.best.more, self.best.low, self.best.high))
        return f"{more} [{low}, {high}]"


def rival_views(run: RunRecord) -> list[RivalView]:
    """Returns a view of each stage that has rivals."""
    of_stages = {stage.name: stage.metrics.rivals for stage in run.stages if stage.metrics and stage.metrics.rivals}
    names = list(dict.fromkeys(name for rivals in of_stages.values() for name in rivals))
    views = []
    for stage, rivals in of_stages.items():
        best = max((rival.shown for rival in rivals.values()), key=lambda measure: measure.value)
        values = [rivals[name].shown.value if name in rivals else None for name in names]
        on_test = all(rival.test for rival in rivals.values())
        words = [RIVALS.get(name, name) for name in names]
        views.append(RivalView(stage, on_test, words, best.value - best.more, values, best))
    return views


def lost_words(rivals: Mapping[str, Rival]) -> str:
    """Returns which rival surely has more than a stage, and by how many points; nothing where none has."""
    winning = {name: rival.shown for name, rival in rivals.items() if rival.shown.wins}
    if not winning:
        return ""
    name = max(winning, key=lambda each: winning[each].value)
    measure = winning[name]
    points = f"{100 * measure.more:.1f} points ({100 * measure.low:.1f} to {100 * measure.high:.1f}) more"
    return f"{RIVALS.get(name, name)} on the same kept outputs: {number(measure.value)}, {points}"


def rival_table(run: RunRecord) -> ByWidth | None:
    """Returns one row per stage with rivals, all values and what the best has more; None where no stage has any."""
    views = rival_views(run)
    return ByWidth(_table(views, narrow=False), _table(views, narrow=True)) if views else None


def _table(views: Sequence[RivalView], narrow: bool) -> Table:
    part = "test" if views[0].on_test else "gate"
    title = f"rivals on the same outputs: accuracy on {part} rows so far"
    padding = (0, 1 if narrow else 2, 0, 0)
    table = Table(title=title, title_justify="left", box=None, padding=padding, pad_edge=False, header_style="bold")
    table.add_column("stage", overflow="fold")
    for heading in ("itself", *(words.replace(" ", "\n") if narrow else words for words in views[0].words)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("points that the\nbest has more", justify="right", no_wrap=True)
    for view in views:
        more = view.more.replace(" [", "\n[") if narrow else view.more
        style = "yellow" if view.best.wins else ""
        table.add_row(Text(view.stage), number(view.own), *map(number, view.values), Text(more, style=style))
    return table
