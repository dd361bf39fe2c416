"""Who asks: the key by which a request finds its version, and the number by which its answer is counted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from progressive_tf.serving.instances import caller_key
from progressive_tf.serving.routing import address_number, caller_number

KEY_HEADER = "x-caller-key"
REQUEST_HEADER = "x-request-id"


@dataclass(frozen=True)
class Callers:
    """How callers are told apart.

    Args:
        by_header_alone: whether the header of a front end alone says who asks, so that nobody is as many callers as he
            likes; else the body's key does where the header does not.
    """

    by_header_alone: bool = False

    def of(self, request: Request, body: Mapping[str, Any]) -> tuple[str, int]:
        """Returns a request's key and the number of its caller, who without a key is known by his address alone.

        Raises Refusal, 400, where the body's key counts and is no string.
        """
        given = _as_in_a_body(request.headers.get(KEY_HEADER, "")).strip(" \t")
        if not given and not self.by_header_alone:
            given = (caller_key(body) or "").strip(" \t")
        if given:
            return given, caller_number(given)
        address = request.client.host if request.client else ""
        return request.headers.get(REQUEST_HEADER) or uuid.uuid4().hex, address_number(address)


def _as_in_a_body(header: str) -> str:
    """Returns a header's value as JSON would have it: its bytes are UTF-8, or Latin-1 where they cannot be."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header
