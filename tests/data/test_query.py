from __future__ import annotations

import pytest

from progressive_tf.errors import InputError

from .making import made_source

SOURCE = made_source(
    ["a", "b", "a", "b"],
    ["short", "a longer text", "short", "x"],
    stars=[1.0, 5.0, None, 3.0],
    **{"shop name": ["north", "south", None, "north"]},
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("stars >= 3", [False, True, False, True]),
        ("stars != 3", [True, True, True, False]),
        ("`shop name` == 'north' and stars < 2", [True, False, False, False]),
        ("label == 'a'", [True, False, True, False]),
        ("text.str.len() > 5", [False, True, False, False]),
        ("stars in [1, 5]", [True, True, False, False]),
        ("not (label == 'a' or stars > 4)", [False, False, False, True]),
        ("`shop name`.str.startswith('n')", [True, False, False, True]),
    ],
)
def test_conditions(expression: str, expected: list[bool]) -> None:
    assert SOURCE.query(expression, "data.slices.some").tolist() == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("star >= 3", "unknown column 'star'; did you mean 'stars'?"),
        ("`shop` == 'north'", "unknown column 'shop'; did you mean 'shop name'?"),
        ("stars >", "is no pandas query"),
        ("stars = 3", "is no pandas query"),
        ("@stars > 3", "is no pandas query"),
        ("stars + 1", "is no condition"),
        ("text > 3", "cannot be evaluated"),
        ("stars if label == 'a' else text", "cannot be evaluated"),
        ("stars.__class__", "may not use '__class__'"),
        ("1 < 2", "names no column"),
        ("text.str.nothing()", "cannot be evaluated"),
    ],
)
def test_errors_name_the_place_and_the_source(expression: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SOURCE.query(expression, "stages[1].data.where")
    assert str(caught.value).startswith("stages[1].data.where: ")
    assert message in str(caught.value)
    assert "made" in str(caught.value)
