"""Replies in JSON as TensorFlow Serving's REST writes it."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse


class Reply(JSONResponse):
    """A reply in which a number may be NaN, Infinity or -Infinity, which strict JSON does not have."""

    def render(self, content: Any) -> bytes:
        """Returns the body."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
