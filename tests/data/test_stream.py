"""What becomes of each line of a stream."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.near_duplicates import fold_number
from progressive_tf.data.stream import Accepted, Duplicate, PutAside, StreamRows, keep_lines, micro_batches, read_lines
from progressive_tf.errors import InputError

LABELS = ("no", "yes")
MEASURED = np.array([fold_number("measured on")], np.uint64)


def rows() -> StreamRows:
    return StreamRows("text", "label", LABELS, MEASURED)


def line(**values: object) -> bytes:
    return json.dumps({"text": "fine", "label": "yes"} | values).encode() + b"\n"


def test_a_row_is_accepted_with_its_number_and_its_class() -> None:
    reader = rows()
    assert reader.read(b"\n") is None
    assert reader.read(line(more=3)) == Accepted(1, "fine", 1)
    assert StreamRows("text", "label", ("0", "1"), MEASURED).read(line(label=1)) == Accepted(1, "fine", 1)


def test_a_label_may_be_written_as_the_plan_lets_it() -> None:
    spelt = StreamRows("text", "label", LABELS, MEASURED, Spelling("casefold", LABELS))
    assert spelt.read(line(label=" Yes")) == Accepted(1, "fine", 1)
    assert isinstance(spelt.read(line(label="perhaps")), PutAside)
    assert isinstance(rows().read(line(label=" Yes")), PutAside)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xff\n", "UTF-8"),
        (b"{\n", "not JSON: Expecting property name"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b"[1]\n", "not a JSON object"),
        (b'{"text": "a"}\n', "no key 'label'"),
        (line(text=3), "text 3: expected text"),
        (line(text=" "), "text: is empty"),
        (line(text="\ud800"), "half a surrogate pair"),
        (line(label=None), "label None: expected text"),
        (line(label="perhaps"), "unknown label 'perhaps'"),
        (line(id=[1]), "id [1]: expected text or a whole number"),
        (line(id=True), "id True: expected text or a whole number"),
        (line(text="Measured, on!"), "stands in a validation, gate or test part too"),
    ],
)
def test_what_cannot_be_learnt_is_put_aside_with_its_number(raw: bytes, reason: str) -> None:
    reader = rows()
    reader.read(line())
    found = reader.read(raw)
    assert isinstance(found, PutAside)
    assert found.row == 2
    assert reason in found.reason


def test_an_id_counts_once_and_only_if_its_row_was_accepted() -> None:
    reader = rows()
    found = [
        reader.read(line(id=value, label=label)) for value, label in ((7, "?"), (7, "yes"), (7, "no"), ("7", "no"))
    ]
    assert [type(each) for each in found] == [PutAside, Accepted, Duplicate, Accepted]


def test_batches_go_on_behind_what_was_read_wherever_that_was(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    lines = [line(id=number % 9, text=f"text {number}") for number in range(12)]
    path.write_bytes(b"\n".join(lines) + b"{\n")
    whole = list(micro_batches(rows(), read_lines(path), 4, "stream.jsonl", 0, ""))
    assert [len(each.accepted) for each in whole] == [4, 4, 1]
    assert (whole[-1].duplicates, len(whole[-1].aside), whole[-1].rows) == (3, 1, 13)
    for place, batch in enumerate(whole):
        again = list(micro_batches(rows(), read_lines(path), 4, "stream.jsonl", batch.rows, batch.sha256))
        assert again == whole[place + 1 :]


def test_what_was_read_must_still_be_there(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(line(text="one") + line(text="two"))
    first = next(micro_batches(rows(), read_lines(path), 1, "stream.jsonl", 0, ""))
    path.write_bytes(line(text="three") + line(text="two"))
    with pytest.raises(InputError, match=r"stream\.jsonl: the first 1 rows, which were learnt, have changed since"):
        list(micro_batches(rows(), read_lines(path), 1, "stream.jsonl", first.rows, first.sha256))
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"1 rows were read before, now it has 0"):
        list(micro_batches(rows(), read_lines(path), 1, "stream.jsonl", first.rows, first.sha256))
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read: No such file"):
        list(read_lines(tmp_path / "gone.jsonl"))


@pytest.mark.parametrize(
    ("last", "waits"),
    [(line().rstrip(), 0), (b'{"text": "fi', 12), (b"12", 2), (b'"fine"', 6), (b"\xff", 1), (b'{"text": "\xc3', 11)],
)
def test_a_last_line_waits_until_it_has_its_end_unless_it_is_an_object(tmp_path: Path, last: bytes, waits: int) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(line(text="one") + last)
    reader = rows()
    batches = list(micro_batches(reader, read_lines(path), 4, "stream.jsonl", 0, ""))
    assert (reader.waiting, [each.row for each in batches[0].accepted]) == (waits, [1] if waits else [1, 2])
    # Later, whoever writes it has ended the line.
    path.write_bytes(line(text="one") + (line(text="two") if waits else last + b"\n") + line(text="three"))
    later = rows()
    more = list(micro_batches(later, read_lines(path), 4, "stream.jsonl", batches[-1].rows, batches[-1].sha256))
    assert [each.text for each in more[0].accepted] == (["two", "three"] if waits else ["three"])


def test_a_half_line_that_an_earlier_release_has_counted_is_counted_still(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(line(text="one") + b"{")
    earlier = rows()
    for raw in read_lines(path):
        earlier.read(raw)
    assert list(micro_batches(rows(), read_lines(path), 4, "stream.jsonl", 2, earlier.sha256)) == []


def test_a_line_that_gets_its_end_while_the_file_is_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(b"one\ntw")
    lines = read_lines(path)
    assert next(lines) == b"one\n"
    with path.open("ab") as stream:
        stream.write(b"o\nthr")
    assert list(lines) == [b"two\n", b"thr"]


def through_a_pipe(raw: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, raw)
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    ("arrives", "read_then"),
    [
        pytest.param(b'text": "three"}\nfour', b'{"text": "three"}\nfour', id="the same pipe goes on"),
        pytest.param(b'{"id": 3}\nfour', b'{"\n{"id": 3}\nfour', id="the sender begins a new line"),
        pytest.param(b"", b'{"', id="nothing more comes"),
    ],
)
def test_what_comes_through_a_pipe_is_kept_before_it_is_seen_and_comes_again(
    tmp_path: Path, arrives: bytes, read_then: bytes
) -> None:
    kept = tmp_path / "folder" / "kept.jsonl"
    lines = keep_lines(through_a_pipe(b'one\ntwo\n{"'), kept)
    assert next(lines) == b"one\n"
    assert kept.read_bytes() == b'one\ntwo\n{"'  # all that was taken out of the pipe
    lines.close()  # as a killed process would
    whole = b"one\ntwo\n" + read_then
    for pipe in (arrives, b""):  # the second time from what is kept alone
        assert list(keep_lines(through_a_pipe(pipe), kept)) == whole.splitlines(keepends=True)
        assert kept.read_bytes() == whole
