"""What becomes of each line of a stream."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from progressive_tf.data.folding import fold_key
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.stream import Accepted, Duplicate, PutAside, StreamRows, keep_lines, micro_batches, read_lines
from progressive_tf.errors import InputError

LABELS = ("no", "yes")
MEASURED = np.array([fold_key("measured on")], np.uint64)


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
    path.write_bytes(b"\n".join(lines) + b"{")
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


def test_what_comes_through_a_pipe_is_kept_before_it_is_seen_and_comes_again(tmp_path: Path) -> None:
    kept = tmp_path / "folder" / "kept.jsonl"

    def through_a_pipe(raw: bytes) -> int:
        reading, writing = os.pipe()
        os.write(writing, raw)
        os.close(writing)
        return reading

    lines = keep_lines(through_a_pipe(b"one\ntwo\nth"), kept)
    assert next(lines) == b"one\n"
    assert kept.read_bytes() == b"one\ntwo\nth"  # all that was taken out of the pipe
    lines.close()  # as a killed process would
    assert list(keep_lines(through_a_pipe(b"ree\nfour"), kept)) == [b"one\n", b"two\n", b"three\n", b"four"]
