"""Names in messages."""

from __future__ import annotations

from progressive_tf.errors import listed, unknown_name


def test_names_are_listed_up_to_a_number_and_a_length() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(5)), 2) == "0, 1, … and 3 more"
    assert len(listed(["x" * 10_000] * 10_000)) < 3_000


def test_the_nearest_of_many_names_comes_first() -> None:
    said = unknown_name("label", "class 77x", [f"class {number}" for number in range(50_000)])
    assert said.startswith("unknown label 'class 77x'; did you mean 'class 77")
    assert said.endswith("… and 49,970 more")
    assert len(said) < 1_000
