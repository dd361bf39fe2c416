"""A registry that is thrown away: to try a release out where the real one would be written."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from progressive_tf.registry.errors import RegistryBusyError
from progressive_tf.registry.folder import remove_folder
from progressive_tf.registry.lock import write_lock
from progressive_tf.registry.store import Registry

SCRATCH_PREFIX = ".scratch-"


@contextlib.contextmanager
def scratch_registry(root: Path) -> Iterator[Registry]:
    """Yields an empty registry inside another one's folder, on the same disk and with the same rights.

    It goes when the block ends; what a killed process left goes when the next one begins.

    Args:
        root: the folder of the registry that stays.

    Raises:
        RegistryError: nothing can be written there.
    """
    for leftover in root.glob(f"{SCRATCH_PREFIX}*"):
        # A lock that can be taken belongs to no process any more.
        with contextlib.suppress(RegistryBusyError), write_lock(leftover, 0.0):
            remove_folder(leftover)
    folder = root / f"{SCRATCH_PREFIX}{secrets.token_hex(4)}"
    with write_lock(folder, 0.0):
        try:
            yield Registry(folder)
        finally:
            remove_folder(folder)
