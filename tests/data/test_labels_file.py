"""A file of what labels were called before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.data.labels_file import LabelsFile
from progressive_tf.data.settled_labels import SettledLabels, settle_labels
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError
from progressive_tf.plan.label_changes import LabelChanges
from progressive_tf.plan.schema import Data, Plan

from .making import made_source

VERSION = ("pin", "refund", "missing", "transfer", "fax")
FILE = "old,new,from\npin,security,2026-03-01\nmissing,refund,\n"


def written(folder: Path, text: str | bytes = FILE) -> LabelsFile:
    path = folder / "words.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return LabelsFile.read(path)


def plan(changes: Mapping[str, Any] | None = None, **stage: Any) -> Plan:
    raw = tiny.raw_plan(start=7)
    first = {"name": "one", "data": {"all": True}, "gate": [{"metric": "accuracy", "at_least": 0.0}], **stage}
    raw["stages"] = [first | ({} if changes is None else {"labels": changes})]
    raw.pop("defaults", None)
    return Plan.model_validate(raw)


def started(file: LabelsFile, changes: Mapping[str, Any] | None = None, **stage: Any) -> StartLabels:
    asked = None if changes is None else LabelChanges.model_validate(changes)
    return file.start_from(StartLabels(7, VERSION, asked), plan(changes, **stage))[0]


def settled(file: LabelsFile, labels: Sequence[str], start: StartLabels | None = None, **data: Any) -> SettledLabels:
    return settle_labels({"0.csv": made_source(labels, name="0.csv")}, Data(source="0.csv", **data), start, file)


def classes(found: SettledLabels) -> list[str]:
    source = found.sources["0.csv"]
    return [source.labels[code] for code in source.label_codes]


def test_what_a_file_says(tmp_path: Path) -> None:
    for text in (FILE, FILE.replace(",", ";"), f"\ufeff{FILE}", FILE.replace("\n", "\r\n") + "\r\n"):
        file = written(tmp_path, text)
        assert file.words == {"pin": "security", "missing": "refund"}
        assert [change.since for change in file.changes] == ["2026-03-01", None]
    assert written(tmp_path).to_json() == {
        "name": "words.csv",
        "sha256": hashlib.sha256(FILE.encode()).hexdigest(),
        "changes": [
            {"old": "pin", "new": "security", "from": "2026-03-01"},
            {"old": "missing", "new": "refund", "from": None},
        ],
    }
    assert written(tmp_path, 'new,old\n"a, b",c\n').words == {"c": "a, b"}


def test_a_word_is_read_through_all_lines_in_whichever_order(tmp_path: Path) -> None:
    file = written(tmp_path, "old,new\nsecurity,secret\npin,security\ntoken,pin\n")
    assert file.words == {"security": "secret", "pin": "secret", "token": "secret"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the header old,new or old,new,from expected; got nothing"),
        ("before,after\na,b\n", "got before,after"),
        ("old,new\n", "has no line below its header"),
        ("old,new\na,\n", "line 2: an old and a new word expected"),
        ("old,new\na\n", "line 2: an old and a new word expected"),
        ("old,new\na,b,c\n", "line 2: 3 cells, and 2 columns"),
        ("old,new\na,a\n", "line 2: 'a' keeps its name"),
        ("old,new\na,b\na,c\n", "'a' is 'b' by line 2 and 'c' by line 3; a row could be either"),
        ("old,new\na,b\nb,c\nc,a\n", "a → b → c → a: each becomes another"),
        ("old,new\nd,a\na,b\nb,a\n", "a → b → a: each becomes another"),
        ("old,new,from\na,b,1.3.2026\n", "line 2: from: a day as 2026-03-01 expected; got '1.3.2026'"),
        (b"old,new\n\xff,b\n", "words.csv is not UTF-8"),
        ('old,new\n"a,b\n', "a CSV with the columns old,new expected"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=r"data\.labels_file: ") as caught:
        written(tmp_path, text)
    assert said in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        LabelsFile.read(tmp_path / "none.csv")


def test_rows_are_read_through_it_however_they_are_written(tmp_path: Path) -> None:
    file = written(tmp_path)
    found = settled(file, ["pin", "security", "missing", "other"])
    assert classes(found) == ["security", "security", "refund", "other"]
    assert "data.labels_file: 0.csv: read missing as refund (1 rows), pin as security (1 rows)" in found.lines
    assert found.spelling.of("pin") == "security", "as a row of a stream, or feedback"
    assert found.spelling.of("odd") == "odd"
    folded = settled(file, ["PIN ", "Security", "MISSING", "Refund"], normalize_labels="casefold")
    (security, refund) = folded.sources["0.csv"].labels[::-1]
    assert (security.casefold(), refund.casefold()) == ("security", "refund")
    assert classes(folded) == [security, security, refund, refund]
    assert folded.spelling.of("Pin") == folded.spelling.of("SECURITY") == security
    assert "data.labels_file: words.csv: no row has an old word" in settled(file, ["a", "b"]).lines


def test_a_version_that_speaks_old_words_is_read_as_the_first_stage_would_say(tmp_path: Path) -> None:
    file = written(tmp_path)
    start, (said,) = file.start_from(StartLabels(7, VERSION), plan())
    assert start.changes == LabelChanges(rename={"pin": "security"}, merge={"refund": ("refund", "missing")})
    assert said == (
        "data.labels_file: words.csv: version 7 speaks old words; read as labels: {rename: {pin: security}, merge: "
        "{refund: [refund, missing]}} in the first stage"
    )
    found = settled(file, ["pin", "missing", "transfer", "fax"], start)
    assert found.sources["0.csv"].labels == ("security", "refund", "transfer", "fax")
    assert classes(found) == ["security", "refund", "transfer", "fax"]
    same, (said,) = file.start_from(StartLabels(8, ("security", "refund")), plan())
    assert same.changes is None
    assert said == "data.labels_file: words.csv: version 8 speaks no old word"


def test_the_file_and_the_first_stage_together(tmp_path: Path) -> None:
    file = written(tmp_path)
    other = {"split": {"transfer": ["in", "out"]}, "retire": ["fax"], "add": ["card"]}
    both = started(file, other).changes
    assert both is not None
    assert (both.rename, both.split, both.retire, both.add) == (
        {"pin": "security"},
        {"transfer": ("in", "out")},
        ("fax",),
        ("card",),
    )
    # What both say is said once, and what one of them adds to a merged class joins it.
    for changes in ({"rename": {"pin": "security"}}, {"merge": {"refund": ["refund", "missing"]}}):
        assert started(file, changes).changes == started(file).changes
    joined = started(file, {"merge": {"refund": ["refund", "fax"]}}).changes
    assert joined is not None
    assert joined.merge == {"refund": ("refund", "missing", "fax")}
    assert started(file, {"rename": {"fax": "security"}}).changes == LabelChanges(
        merge={"security": ("pin", "fax"), "refund": ("refund", "missing")}
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rename": {"pin": "secret"}}, "'pin' becomes secret, and by words.csv it is 'security' now"),
        ({"split": {"pin": ["a", "b"]}}, "'pin' is split into a, b, and by words.csv it is 'security' now"),
        ({"retire": ["missing"]}, "'missing' is retired, and by words.csv it is 'refund' now"),
        ({"rename": {"fax": "pin"}}, "labels.rename: 'pin' is an old word by words.csv, for 'security'; say that"),
        ({"add": ["security"]}, "words.csv and stages[0].labels together: add: 'security' is a new label in rename"),
        ({"retire": ["refund"]}, "together"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        started(written(tmp_path), changes)
    assert said in str(caught.value)


def test_what_no_plan_with_changed_labels_can_have_is_refused_with_what_changes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="version 7 speaks old words") as caught:
        started(written(tmp_path), release={"steps": [10, 100]})
    assert "stages[0].release: a canary is watched" in str(caught.value)
