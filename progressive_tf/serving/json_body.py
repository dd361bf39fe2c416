"""The bytes of a body → a JSON object, weighed before it is read: what is too much costs no more than a look at it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import numpy as np

from progressive_tf.serving.limits import Limits, Refusal

_DEEPEST = 32  # far deeper than any input; what is deeper would exhaust the stack of whatever walks it
# Of digits; whole numbers with more are read as float64, since an int's time grows with their square.
_LONGEST_INT = 40
_QUOTE, _COMMA, _COLON = b'",:'
_OPEN, _CLOSED = b"[{", b"]}"


def read_body(body: bytes, limits: Limits, not_finite: bool = False) -> dict[str, Any]:
    """Returns the JSON object in a body.

    Args:
        body: as it came.
        limits: of how many values it may hold.
        not_finite: whether NaN, Infinity and -Infinity are numbers in it, as in TensorFlow Serving's REST.

    Raises:
        Refusal: 400, it is no JSON object, or deeper than any input; 413, it has too many values.
    """
    _refuse_heavy(body, limits.values)
    try:
        content = json.loads(
            body.decode("utf-8"),
            parse_constant=float if not_finite else _refuse_constant,
            parse_float=_finite,
            parse_int=_whole_number,
        )
    except UnicodeDecodeError as error:
        _refuse(f"the body is not UTF-8 (byte {error.start})")
    except RecursionError:
        _refuse("the body is nested too deeply")
    except ValueError as error:
        _refuse(f"the body is not JSON: {error}")
    if not isinstance(content, dict):
        _refuse(f"a JSON object expected; got {type(content).__name__}")
    return content


def weigh(body: bytes) -> tuple[int, int]:
    """Returns how many values and keys JSON has at most, and how many lists and objects are in one another; by its
    punctuation outside strings, without reading it.

    Of what is no JSON it is true of the part before the first fault, behind which nobody reads.
    """
    # Behind this every quotation mark begins or ends a string.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    signs = np.frombuffer(bare, np.uint8)
    is_outside = np.bitwise_xor.accumulate((signs == _QUOTE).view(np.uint8)) == 0
    opens, closes = ((signs == pair[0]) | (signs == pair[1]) for pair in (_OPEN, _CLOSED))
    opens &= is_outside
    closes &= is_outside
    separate = ((signs == _COMMA) | (signs == _COLON)) & is_outside
    depth = np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32)
    return 1 + int(np.count_nonzero(opens)) + int(np.count_nonzero(separate)), int(depth.max(initial=0))


def _refuse_heavy(body: bytes, most: int) -> None:
    opened = sum(body.count(sign) for sign in (b"[", b"{"))
    if opened <= _DEEPEST and opened + body.count(b",") + body.count(b":") < most:
        return
    values, depth = weigh(body)
    if depth > _DEEPEST:
        _refuse(f"the body is nested too deeply: at most {_DEEPEST} lists and objects in one another")
    if values > most:
        raise Refusal(413, f"a body of about {values} values, keys among them; at most {most}")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INT else _finite(digits)


def _finite(digits: str) -> float:
    """Returns a number of JSON; raises Refusal where no float is so large, which would be infinite."""
    if math.isinf(value := float(digits)):
        _refuse(f"{digits:.20} is too large for a number")
    return value


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no number in JSON")


def _refuse(message: str) -> NoReturn:
    raise Refusal(400, message)
