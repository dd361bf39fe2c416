"""The file of a store, looked at before it is opened."""

from __future__ import annotations

from pathlib import Path

from progressive_tf.errors import InputError


def refuse_no_store(path: Path) -> None:
    """Raises InputError where there is no store."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no store; name the --store of the server, which keeps what it answers there"
        )
