"""Values of transformers' configurations that are checked alike for every kind of network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from progressive_tf.errors import InputError


def check_counts(config: Any, names: Iterable[str], place: str) -> None:
    """Raises InputError where one of these settings is not a whole number from 1 on; messages begin with `place`."""
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise InputError(f"{place}.{name}: should be a whole number, 1 or more; got {value!r}")


def check_positive(config: Any, names: Iterable[str], place: str) -> None:
    """Raises InputError where one of these settings is not a finite number above 0; messages begin with `place`."""
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not 0 < value < math.inf:
            raise InputError(f"{place}.{name}: should be a number above 0; got {value!r}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
