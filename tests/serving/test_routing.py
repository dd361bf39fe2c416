from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.serving.routing import Split, address_number, caller_number, position

PERCENT = st.floats(0, 100)


@given(st.text(), st.integers(1, 50), PERCENT, PERCENT)
def test_who_is_on_the_canary_stays_there_when_it_is_widened(key: str, version: int, one: float, other: float) -> None:
    narrow, wide = sorted([one, other])
    if Split(99, version, narrow).alias_for(key) == "canary":
        assert Split(99, version, wide).alias_for(key) == "canary"


@pytest.mark.parametrize("percent", [1, 5, 25, 50])
def test_the_canary_gets_its_share(percent: float) -> None:
    keys = 20_000
    sent = sum(Split(1, 2, percent).alias_for(f"caller {key}") == "canary" for key in range(keys))
    spread = (keys * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(sent - keys * percent / 100) < 4 * spread


def test_another_canary_begins_with_other_callers() -> None:
    first, second = ({key for key in range(5000) if position(str(key), version) < 0.1} for version in (2, 3))
    assert len(first & second) < len(first) / 4


@given(st.text())
def test_without_a_canary_everybody_gets_stable(key: str) -> None:
    assert Split(1).alias_for(key) == "stable"
    assert Split(1, 2, 0.0).alias_for(key) == "stable"


@given(st.text(), st.text())
def test_who_has_no_key_is_told_from_who_has_one(address: str, key: str) -> None:
    assert address_number(address) < 0 <= caller_number(key)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("0.0.0.1", "::1", False),
        ("testclient", "", False),
    ],
)
def test_an_address_stands_for_whoever_has_it(one: str, other: str, is_same: bool) -> None:
    assert (address_number(one) == address_number(other)) == is_same
