from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.serving import json_body
from progressive_tf.serving.json_body import read_body, weigh
from progressive_tf.serving.limits import Limits, Refusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def counted(value: Any) -> int:
    """Returns how many values and keys there are; in an empty list or object one more, as if there were one."""
    if isinstance(value, dict):
        return 1 + max(1, sum(1 + counted(each) for each in value.values()))
    if isinstance(value, list):
        return 1 + max(1, sum(map(counted, value)))
    return 1


def depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_the_weight_of_a_body_is_that_of_what_is_in_it(value: Any, ascii_alone: bool, indent: int | None) -> None:
    written = json.dumps(value, ensure_ascii=ascii_alone, indent=indent).encode("utf-8", "replace")
    assert weigh(written) == (counted(value), depth(value))


def too_much() -> list[tuple[str, int]]:
    """Returns bodies of a shape each, and the status that they get."""
    return [
        ('{"instances": [' + ",".join(['""'] * 100) + "]}", 413),
        ('{"instances": [' + ",".join(["1"] * 100) + "]}", 413),
        ('{"instances": [' + ",".join(["[]"] * 100) + "]}", 413),
        ('{"instances": [' + ",".join(['{"a":1}'] * 50) + "]}", 413),
        ("{" + ",".join(f'"{number}":1' for number in range(50)) + "}", 413),
        ('{"\\\\":' * 10 + '"\\"' + "[" * 99 + '"' + "}" * 10, 0),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", 400),
        ('{"a": [' + ",".join(["[" * 31 + "]" * 31] * 5) + "]}", 400),
        ('{"\\"": ' + "[" * 300 + "]" * 300 + "}", 400),
        ('{"\\\\": ' + "[" * 300 + "]" * 300 + "}", 400),
    ]


@pytest.mark.parametrize(("body", "status"), too_much())
def test_what_is_too_much_is_refused_before_anybody_reads_it(
    monkeypatch: pytest.MonkeyPatch, body: str, status: int
) -> None:
    class Read(Exception):
        pass

    def loads(*given: Any, **named: Any) -> Any:
        raise Read

    monkeypatch.setattr(json_body.json, "loads", loads)
    with pytest.raises(Refusal if status else Read) as refused:
        read_body(body.encode(), Limits(values=99))
    assert getattr(refused.value, "status", 0) == status


def test_as_much_as_may_be_is_read() -> None:
    body = json.dumps({"instances": [1] * 97, "text": "[{,:" * 99}).encode()
    assert weigh(body)[0] == 102
    assert len(read_body(body, Limits(values=102))["instances"]) == 97
    with pytest.raises(Refusal, match="about 102 values, keys among them; at most 101"):
        read_body(body, Limits(values=101))


def test_a_number_of_a_hundred_thousand_digits_costs_no_square_of_them() -> None:
    found = read_body(b'{"a": 0.' + b"9" * 100_000 + b', "b": 12, "c": -' + b"9" * 38 + b"}", Limits())
    assert found == {"a": 1.0, "b": 12, "c": -(10**38 - 1)}
    with pytest.raises(Refusal, match="99999 is too large for a number"):
        read_body(b'{"a": ' + b"9" * 100_000 + b"}", Limits())
