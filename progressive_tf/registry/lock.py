"""One writer at a time per model, between processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from progressive_tf.output import say
from progressive_tf.registry.errors import RegistryBusyError, from_os_error

LOCK_NAME = ".lock"
QUIET_SECONDS = 2.0
WAIT_SECONDS = 600.0


@contextlib.contextmanager
def write_lock(folder: Path, wait_seconds: float = WAIT_SECONDS, tell: Callable[[str], None] = say) -> Iterator[None]:
    """Holds the model's lock; the kernel lets it go when the process ends, however it ends.

    Args:
        folder: the model's folder; created if it is missing.
        wait_seconds: how long to wait for another process; 0 to try once.
        tell: is told, after two seconds, that one is waiting.

    Raises:
        RegistryBusyError: another process still holds the lock after `wait_seconds`.
        RegistryError: the lock file cannot be written.
    """
    lock = FileLock(folder / LOCK_NAME)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=min(QUIET_SECONDS, wait_seconds))
        except Timeout:
            if wait_seconds > QUIET_SECONDS:
                tell(f"waiting for another process that is writing to {folder} (at most {wait_seconds:.0f} s)")
            lock.acquire(timeout=max(0.0, wait_seconds - QUIET_SECONDS))
    except Timeout:
        raise RegistryBusyError(
            f"{folder} is being written by another process for more than {wait_seconds:.0f} s; wait until it has "
            "ended, or end it, and run the same command again"
        ) from None
    except OSError as error:
        raise from_os_error(error, folder) from error
    try:
        yield
    finally:
        lock.release()
