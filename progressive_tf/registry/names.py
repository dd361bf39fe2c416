"""Names that may become a folder of the registry."""

from __future__ import annotations

import re

from progressive_tf.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_model_name(name: str) -> str:
    """Returns `name` if it can name a model: 1 to 64 letters, digits, `.`, `_`, `-`, the first a letter or digit.

    Raises:
        InputError: it cannot, for instance because it would lead out of the registry.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name {name!r}: expected 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return name
