"""Rows of the runs before, as a plan that starts from a version reads them; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.source import read_source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError
from progressive_tf.plan.label_changes import LabelChanges
from progressive_tf.plan.loading import load_plan

TRAINED = 150  # of February's 240 rows
EARLIER = {"earlier": {"february": "february.csv"}}
REPLAY = {"retention": {"replay": {"budget": 50}}}


@dataclass
class Month:
    """A plan for the rows of `data.csv`, from a version that has learnt rows of `february.csv`."""

    folder: Path
    data: dict[str, Any] = field(default_factory=lambda: dict(EARLIER))
    stage: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = tiny.LABELS
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file: str = "february.csv"

    def read(self, learnt: bool = True, **changes: Any) -> PlanData:
        plan = tiny.raw_plan(start="stable", stages=[{"name": "one", "data": {"take": 40}, **self.stage}]) | changes
        plan["data"] = plan["data"] | self.data
        loaded = load_plan(str(tiny.write_plan(self.folder, plan)))
        changes_of_labels = loaded.plan.stages[0].labels
        return read_plan_data(
            loaded,
            self.folder / "cache",
            learnt=self.learnt() if learnt else None,
            start=StartLabels(1, self.labels, changes_of_labels, self.words),
        )

    def learnt(self) -> Learnt:
        plan = load_plan(str(self.folder / "plan.yaml")).plan
        source = read_source(
            self.file, plan.data, base=self.folder, cache=self.folder / "cache", task=plan.kind, place="test"
        )
        return Learnt(np.unique(source.keys[:TRAINED]), "version 1")


@pytest.fixture
def month(tmp_path: Path) -> Month:
    tiny.write_csv(tmp_path / "data.csv", 240, seed=2)
    tiny.write_csv(tmp_path / "february.csv", 240, seed=1)
    return Month(tmp_path)


def rewrite(path: Path, change: Any) -> None:
    """Changes the lines of a file below its header."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *map(change, lines)]) + "\n", encoding="utf-8")


def test_what_the_version_learnt_is_replayed_and_what_it_has_not_seen_is_a_slice(month: Month) -> None:
    data = month.read()
    assert data.earlier.missing == ""
    gate, trained = data.slices["february"].gate, data.earlier.trained["february.csv"]
    assert (len(gate), len(trained)) == (240 - TRAINED, TRAINED)
    assert not set(gate) & set(trained)


def test_one_text_that_both_months_share_is_not_the_month_before(month: Month) -> None:
    shared = (month.folder / "february.csv").read_text(encoding="utf-8").splitlines()[1]
    with (month.folder / "data.csv").open("a", encoding="utf-8") as stream:
        stream.write(shared + "\n")
    month.data = {}
    assert month.read().earlier.missing.startswith("1 of the 150 inputs that version 1 was trained on are among")
    month.stage = REPLAY
    with pytest.raises(InputError, match=r"replay: 1 of the 150 inputs .* name the files of the runs before, such as"):
        month.read()


def test_a_version_without_a_list_of_its_rows(month: Month) -> None:
    with pytest.raises(
        InputError, match=r"data\.earlier\.february: the version .* as none of earlier releases does; drop"
    ):
        month.read(learnt=False)
    month.data = {}
    assert "start from a version of this release, or leave the rule out" in month.read(learnt=False).earlier.missing


def test_labels_are_read_however_they_were_written_then(month: Month) -> None:
    rewrite(month.folder / "february.csv", lambda line: line.replace("positive", "POSITIVE"))
    rewrite(month.folder / "data.csv", lambda line: line.replace("positive", "good"))
    month.data |= {"normalize_labels": "casefold"}
    month.stage = {"labels": LabelChanges(rename={"positive": "good"}).model_dump(exclude_defaults=True)}
    data = month.read()
    codes = data.codes["february.csv"][data.earlier.trained["february.csv"]]
    assert {data.labels[code] for code in codes} == {"good", "negative"}
    month.words, month.labels = {"pos": ("positive",)}, ("negative", "positive")
    rewrite(month.folder / "february.csv", lambda line: line.replace("POSITIVE", "Pos"))
    assert month.read().labels == data.labels


def test_a_label_that_was_never_a_class_is_refused(month: Month) -> None:
    rewrite(month.folder / "february.csv", lambda line: line.replace(",negative", ",neither"))
    with pytest.raises(InputError, match=r"data.earlier.february: february.csv: unknown label 'neither'"):
        month.read()


def test_groups_that_this_run_trains_on_decide_on_no_earlier_month(month: Month) -> None:
    generator = np.random.default_rng(0)
    for name in ("data.csv", "february.csv"):
        path = month.folder / name
        path.write_text(path.read_text(encoding="utf-8").replace("text,label", "text,label,who"), encoding="utf-8")
        rewrite(path, lambda line: f"{line},caller {generator.integers(90)}")
    month.data |= {"split": {"validation": 0.1, "gate": 0.3, "test": 0.2, "group": "who"}}
    data = month.read()
    gate = data.sources["february.csv"].groups[data.slices["february"].gate]
    own = data.sources["data.csv"].groups[data.stages[0].train]
    assert len(gate)
    assert not np.isin(gate, own).any()


def test_sentences_without_an_entity_are_rows_of_the_month_before(month: Month) -> None:
    def write(name: str, entities: Any) -> None:
        sentences = [
            [f"{word}{name[0]}{row}x{place}\tO" for place, word in enumerate("abcd")]
            + ([f"n{row % 9}\tB-{entities(row)}"] if entities(row) else [])
            for row in range(240)
        ]
        (month.folder / name).write_text("\n\n".join(map("\n".join, sentences)) + "\n", encoding="utf-8")

    write("february.conll", lambda row: "" if row % 3 == 0 else "PER" if row % 2 else "loc")
    write("march.conll", lambda row: "per" if row % 2 else "loc")
    month.data = {"source": "march.conll", "earlier": {"february": "february.conll"}, "normalize_labels": "casefold"}
    model = tiny.raw_plan()["model"] | {"builder": "bert-tagger"}
    tagging = {
        "task": "token-classification",
        "model": model,
        "defaults": {"gate": [{"metric": "entity_f1", "at_least": 0.1}]},
    }
    month.file = "february.conll"
    data = month.read(**tagging)
    assert len(data.slices["february"].gate) + len(data.earlier.trained["february.conll"]) == 240
