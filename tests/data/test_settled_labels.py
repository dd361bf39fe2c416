"""The labels of all sources of a plan, seen together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from progressive_tf.data.answers.tags import TagTruth
from progressive_tf.data.settled_labels import SettledLabels, settle_labels, task_names
from progressive_tf.data.source import SourceReader
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS

from .making import made_source

MESSY = ["Fees"] * 6 + ["fees"] * 2 + ["Fees "] + ["Card"] * 4


def settled(*sources: Sequence[str], quality: dict[str, Any] | None = None, **data: Any) -> SettledLabels:
    named = {f"{place}.csv": made_source(labels, name=f"{place}.csv") for place, labels in enumerate(sources)}
    return settle_labels(named, Data(source="0.csv", quality=Quality(**quality or {}), **data))


def classes(found: SettledLabels, name: str = "0.csv") -> list[str]:
    source = found.sources[name]
    return [source.labels[code] for code in source.label_codes]


def test_similar_labels_are_refused_with_both_counts_and_the_line_that_mends_it() -> None:
    with pytest.raises(InputError) as caught:
        settled(MESSY)
    said = str(caught.value)
    assert "data.quality.similar_labels: 0.csv: 1 class is written in more than one way" in said
    assert "'Fees' (6), 'fees' (2), 'Fees ' (1)" in said
    assert "set data.normalize_labels: casefold" in said
    assert "data.quality.similar_labels: null" in said
    found = settled(MESSY, normalize_labels="casefold")
    assert classes(found) == ["Fees"] * 9 + ["Card"] * 4
    assert found.findings == ()
    assert found.lines == ("data.normalize_labels: 4 labels are 2 classes: 'Fees' ← 'Fees ', 'fees'",)


def test_types_of_entities_are_named_without_saying_which_spellings_there_were() -> None:
    """A file's spans are read with the rule, so that what it has written is no longer known."""
    source = made_source(["PER", "LOC"], name="0.csv")
    nothing = np.zeros(2, np.uint64)
    tags = TagTruth(source.labels, source.label_codes, nothing, ("LOC", "PER"), nothing.astype(bool))
    rule = {"per": "PER"}
    found = settle_labels({"0.csv": replace(source, truth=tags)}, Data(source="0.csv", normalize_labels=rule))
    assert found.lines == ("data.normalize_labels: types of entities, however they are written: LOC, PER",)


def test_where_spaces_are_all_strip_is_proposed_and_enough() -> None:
    labels = ["a", "a ", "b", "\u00a0b"]
    with pytest.raises(InputError, match=r"set data\.normalize_labels: strip;"):
        settled(labels)
    assert classes(settled(labels, normalize_labels="strip")) == ["a", "a", "b", "b"]
    with pytest.raises(InputError, match=r"set data\.normalize_labels: casefold;"):
        settled(MESSY, normalize_labels="strip")


def test_labels_of_all_sources_are_seen_together() -> None:
    one, other = ["1", "0"] * 3, ["1.0", "0.0"] * 2
    with pytest.raises(InputError, match=r"(?s)0\.csv, 1\.csv: 2 classes are written .*'1' \(3\), '1\.0' \(2\)"):
        settled(one, other)
    found = settled(one, other, normalize_labels="casefold")
    assert found.sources["1.csv"].labels == ("0", "1")
    assert classes(found, "1.csv") == ["1", "0"] * 2


def test_a_mapping_merges_what_it_names_and_says_what_no_label_is() -> None:
    found = settled(["pos", "+", "neg"], normalize_labels={"+": "pos", "bad": "neg"})
    assert classes(found) == ["pos", "pos", "neg"]
    assert found.lines == ("data.normalize_labels: 3 labels are 2 classes: 'pos' ← '+'; no label is 'bad'",)
    with pytest.raises(InputError, match=r"further pairs in data\.normalize_labels: 'Pos': 'pos'"):
        settled(["pos", "pos", "Pos", "neg"], normalize_labels={"neg": "neg"})


def test_warn_says_it_and_null_does_not_look() -> None:
    (finding,) = settled(MESSY, quality={"similar_labels": "warn"}).findings
    assert (finding.kind, finding.action, finding.count) == ("similar_labels", "warn", 1)
    assert "'fees' (2)" in finding.message
    assert settled(MESSY, quality={"similar_labels": None}).findings == ()


def test_labels_that_the_plan_names_stay_apart_and_name_the_class() -> None:
    assert settled(["CO", "Co"] * 2, labels=("CO", "Co")).findings == ()
    found = settled(["fees", "fees ", "card"], labels=("Card", "Fees"), normalize_labels="casefold")
    assert found.sources["0.csv"].labels == ("Card", "Fees")
    assert classes(found) == ["Fees", "Fees", "Card"]


def test_many_are_counted_and_not_all_listed() -> None:
    labels = [spelling for place in range(400) for spelling in (f"class {place}", f"Class {place}") * 3]
    with pytest.raises(InputError) as caught:
        settled(labels)
    assert "400 classes are written" in str(caught.value)
    assert len(str(caught.value)) < 1000
    (line,) = settled(labels, normalize_labels="casefold").lines
    assert len(line) < 600


def test_what_types_were_read_is_said() -> None:
    source = replace(made_source(["4", "5"]), label_types=frozenset({"float"}))
    found = settle_labels({"made": source}, Data(source="made"))
    assert found.lines == ("made: labels are numbers with a fraction; read as text, such as '4', '5'",)


def test_one_class_is_refused_after_merging() -> None:
    with pytest.raises(InputError, match="every row is labelled 'A'; a classifier needs at least two classes"):
        settled(["a", "A"] * 3, normalize_labels="casefold")


def test_tasks_are_written_as_labels_may_be() -> None:
    counts = [{"A": 3, "A ": 1, "B": 2}]
    with pytest.raises(InputError, match=r"(?s)data\.task: 1 task is written .*normalize_labels: strip"):
        task_names(counts, Data(source="x"))
    assert task_names(counts, Data(source="x", normalize_labels="strip")) == {"A": "A", "A ": "A", "B": "B"}


def test_types_of_entities_of_two_files_are_one_in_tags_and_counts(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Ann B-PER\nLee I-per\n\nRome B-LOC\n\nBob B-PER\n")
    (tmp_path / "b.conll").write_text("Eve B-per\nMay I-per\n\nOslo B-loc\n")
    data = Data(source="a.conll", normalize_labels="casefold")
    reader = SourceReader(data, TASKS["token-classification"], tmp_path, tmp_path / "cache")
    read = {name: reader.read(name) for name in ("a.conll", "b.conll")}
    found = settle_labels(read, data).sources["b.conll"]
    assert found.expected([0, 1]) == [["B-PER", "I-PER"], ["B-LOC"]]
    assert found.truth.class_counts(found.store) == {"LOC": 1, "PER": 1}
