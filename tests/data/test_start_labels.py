"""Labels of files under those of the version that a run starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from progressive_tf.data.settled_labels import SettledLabels, settle_labels
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError
from progressive_tf.plan.label_changes import LabelChanges
from progressive_tf.plan.schema import Data

from .making import made_source

VERSION = ("pin", "refund", "chargeback", "transfer", "fax")
CHANGES: Mapping[str, Any] = {
    "rename": {"pin": "security"},
    "merge": {"refund": ["refund", "chargeback"]},
    "split": {"transfer": ["in", "out"]},
    "retire": ["fax"],
    "add": ["card"],
}


def settled(*files: Sequence[str], changes: Mapping[str, Any] | None = CHANGES, **data: Any) -> SettledLabels:
    sources = {f"{place}.csv": made_source(labels, name=f"{place}.csv") for place, labels in enumerate(files)}
    asked = None if changes is None else LabelChanges.model_validate(changes)
    return settle_labels(sources, Data(source="0.csv", **data), StartLabels(7, VERSION, asked))


def classes(found: SettledLabels, name: str = "0.csv") -> list[str]:
    source = found.sources[name]
    return [source.labels[code] for code in source.label_codes]


def test_classes_stand_where_those_stood_that_they_come_from() -> None:
    found = settled(["in", "out", "card", "security", "refund"])
    assert found.sources["0.csv"].labels == ("security", "refund", "in", "out", "card")
    assert found.changed is not None
    assert found.changed.known == 4


def test_every_file_may_have_old_and_new_words() -> None:
    found = settled(["pin", "security", "chargeback", "card"], ["chargeback", "refund"])
    assert classes(found) == ["security", "security", "refund", "card"]
    assert classes(found, "1.csv") == ["refund", "refund"]
    assert "labels: 0.csv: read pin as security (1 rows), chargeback as refund (1 rows)" in found.lines
    assert "labels: 1.csv: read chargeback as refund (1 rows)" in found.lines


def test_words_are_as_the_version_has_them_however_they_are_written() -> None:
    found = settled(["PIN ", "Chargeback", "CARD", "In"], normalize_labels="casefold")
    assert classes(found) == ["security", "refund", "card", "in"]
    assert found.spelling.of("SECURITY") == "security"


def test_one_file_of_several_has_to_have_what_is_added() -> None:
    assert classes(settled(["pin"], ["card"])) == ["security"]
    with pytest.raises(InputError, match=r"stages\[0\].labels.add: no row is labelled 'card'"):
        settled(["pin"], ["refund"])


def test_the_nearest_label_of_the_version_is_named() -> None:
    with pytest.raises(
        InputError, match="version 7 answers with no such class: unknown label 'pim'; did you mean 'pin'"
    ):
        settled(["pin"], changes={"rename": {"pim": "security"}})


def test_what_would_be_left_is_too_little() -> None:
    with pytest.raises(InputError, match="leaves one; a classifier needs at least two classes"):
        settled(["one"], changes={"merge": {"one": list(VERSION)}})


def test_without_changes_the_version_says_which_classes_there_are() -> None:
    every = ["fax", "transfer", "pin", "refund", "chargeback"]
    assert settled(every, changes=None).sources["0.csv"].labels == VERSION
    assert classes(settled(every, changes=None)) == every
    assert settled(every, ["pin", "fax"], changes=None).sources["0.csv"].labels == VERSION
    fewer = settled(every[:3], changes=None)
    assert fewer.sources["0.csv"].labels == VERSION
    assert classes(fewer) == every[:3]
    said = "start: classes of version 7 without a row in 0.csv, which stay classes: refund, chargeback"
    assert said in fewer.lines
    assert classes(settled(["PIN", "Fax"], changes=None, normalize_labels="casefold")) == ["pin", "fax"]
    assert settled(["pin", "new"], changes=None).sources["0.csv"].labels == ("new", "pin")


WORDS = {"code": ("pin",), "cheque": (), "moved": ("transfer", "fax")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"add": ["code"]}, r"add: 'code' is a class of an earlier version, which is pin in version 7, so that rows"),
        ({"rename": {"fax": "code"}}, "rename: 'code' is a class"),
        ({"split": {"pin": ["code", "word"]}}, "split: 'code' is a class"),
        ({"merge": {"code": ["fax", "refund"]}}, "merge: 'code' is a class"),
        ({"rename": {"transfer": "moved"}}, "which is transfer, fax in version 7"),
        ({"rename": {"fax": "cheque"}}, "which is retired, so that .* or name it under add to have it again"),
    ],
)
def test_a_word_of_an_earlier_version_gets_no_new_meaning(changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        StartLabels(7, VERSION, LabelChanges.model_validate(changes), WORDS).map()


@pytest.mark.parametrize(
    "changes",
    [
        {"rename": {"pin": "code"}},
        {"merge": {"code": ["pin", "fax"]}},
        {"merge": {"moved": ["transfer", "fax"]}},
        {"add": ["cheque"]},
    ],
)
def test_a_class_may_be_called_as_it_was_once_more(changes: Mapping[str, Any]) -> None:
    found = StartLabels(7, VERSION, LabelChanges.model_validate(changes), WORDS).map()
    assert found is not None
    assert set(found.after) & set(WORDS)
