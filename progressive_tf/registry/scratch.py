"""A registry that is thrown away: to try a release out where the real one would be written."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from progressive_tf.registry.errors import RegistryBusyError, RegistryError
from progressive_tf.registry.folder import remove_folder
from progressive_tf.registry.keys import Keys
from progressive_tf.registry.lock import LOCK_NAME, write_lock
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
        with contextlib.suppress(RegistryError), write_lock(leftover, 0.0):
            _discard(leftover)
    with contextlib.ExitStack() as held:
        folder = _locked_folder(root, held)
        try:
            yield Registry(folder, keys=Keys())  # nobody reads it, so that nobody signs it
        finally:
            _discard(folder)


def _locked_folder(root: Path, held: contextlib.ExitStack) -> Path:
    """Returns a new folder, whose lock `held` keeps.

    Between its making and its locking another process may take it for a leftover and remove it: then comes another.
    """
    while True:
        folder = root / f"{SCRATCH_PREFIX}{secrets.token_hex(4)}"
        try:
            held.enter_context(write_lock(folder, 0.0))
        except RegistryBusyError:
            continue
        except RegistryError as error:
            if isinstance(error.__cause__, FileNotFoundError | FileExistsError):  # removed while it was made
                continue
            raise
        if (folder / LOCK_NAME).exists():
            return folder


def _discard(folder: Path) -> None:
    """Removes a folder; what cannot be removed now goes when the next one begins."""
    with contextlib.suppress(OSError):
        remove_folder(folder)
