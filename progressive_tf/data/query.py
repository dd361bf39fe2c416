"""Conditions on rows, as written in a plan: pandas query expressions over a source's columns."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from progressive_tf.errors import InputError, listed, unknown_name

_QUOTED = re.compile(r"`([^`]*)`")
_EVALUATION_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)
_PLACEHOLDER = "quoted_column_{}_"


def matching_rows(
    expression: str, known: Iterable[str], columns: Callable[[Sequence[str]], pd.DataFrame], place: str
) -> np.ndarray:
    """Returns which rows meet a condition.

    Args:
        expression: a pandas query such as "stars >= 4 and `shop name` == 'north'".
        known: names of the source's columns.
        columns: reads columns by name; called once, with those the expression needs.
        place: where the expression stands in the plan, e.g. "stages[1].data.where".

    Returns:
        bool [rows]; a missing value meets no condition.

    Raises:
        InputError: the expression is no condition, names an unknown column, or does not fit the columns' types.
    """
    needed = _columns_of(expression, place)
    if not needed:
        raise InputError(f"{place}: {expression!r} names no column; known: {listed(sorted(known))}")
    for name in needed:
        if name not in set(known):
            raise InputError(f"{place}: {unknown_name('column', name, known)}")
    frame = columns(needed)
    try:
        result = frame.eval(expression, engine="python", local_dict={}, global_dict={})
    except _EVALUATION_ERRORS as error:
        types = ", ".join(f"{name} is {_type_name(frame[name])}" for name in needed)
        raise InputError(f"{place}: {expression!r} cannot be evaluated: {error} ({types})") from error
    if not isinstance(result, pd.Series) or not pd.api.types.is_bool_dtype(result.dropna().infer_objects()):
        raise InputError(f"{place}: {expression!r} is no condition; write one that is true or false for each row")
    return result.eq(True).fillna(False).to_numpy(bool)


def _columns_of(expression: str, place: str) -> list[str]:
    quoted = _QUOTED.findall(expression)
    plain = expression
    for position, name in enumerate(quoted):
        plain = plain.replace(f"`{name}`", _PLACEHOLDER.format(position), 1)
    try:
        tree = ast.parse(plain.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise InputError(f"{place}: {expression!r} is no pandas query: {reason}") from error
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise InputError(f"{place}: {expression!r} may not use {node.attr!r}; compare columns with values")
        if isinstance(node, ast.Name):
            names[node.id] = None
    placeholders = {_PLACEHOLDER.format(position): name for position, name in enumerate(quoted)}
    return list(dict.fromkeys(placeholders.get(name, name) for name in names))


def _type_name(column: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(column):
        return "numeric"
    return "text" if column.map(lambda value: value is None or isinstance(value, str)).all() else str(column.dtype)
