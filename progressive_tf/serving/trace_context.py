"""The trace that a request is part of, as W3C's Trace Context says it.

A request has `traceparent` (https://www.w3.org/TR/trace-context/); a reply names the same trace in `traceresponse`
(https://w3c.github.io/trace-context/, the working group's draft, since the recommendation has no header for replies).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN_FLAGS = 0b11  # sampled, and whether the trace's id is random; all others are to be 0


@dataclass(frozen=True)
class TraceContext:
    """One request of a trace.

    Args:
        trace: its id, 32 lower-case hexadecimal digits.
        parent: the id of the caller's part in it, 16 digits.
        span: the id of this server's part, 16 digits.
        flags: as the caller sent them, in [0, 255].
    """

    trace: str
    parent: str
    span: str
    flags: int

    @classmethod
    def of(cls, sent: Sequence[str]) -> TraceContext | None:
        """Returns what the values of `traceparent` say; None without exactly one that is valid. Of a version to come
        what is known is read.
        """
        found = _FORM.fullmatch(sent[0].strip()) if len(sent) == 1 else None
        if found is None:
            return None
        version, trace, parent, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(parent, 16):
            return None
        return cls(trace, parent, secrets.token_hex(8), int(flags, 16))

    @property
    def response(self) -> str:
        """The value of `traceresponse`."""
        return f"00-{self.trace}-{self.span}-{self.flags & _KNOWN_FLAGS:02x}"
