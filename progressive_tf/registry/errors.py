"""What can go wrong in a registry, in words a user can act on."""

from __future__ import annotations

import errno
from pathlib import Path

from progressive_tf.errors import ProgressiveError


class RegistryError(ProgressiveError):
    """The registry cannot do what was asked; it is left as it was, or is completed by the next command that writes."""


class RegistryBusyError(RegistryError):
    """Another process is writing to the same model for longer than one was willing to wait."""


class RegistryUnwritableError(RegistryError):
    """The registry's files may be read but not written."""


class UnsignedError(RegistryError):
    """Something is not signed by a key that is trusted with it, or cannot be signed."""


class StableMovedError(RegistryError):
    """`stable` points to a version that the candidate was never compared with."""


class CanaryTakenError(RegistryError):
    """Another run's version is the canary, and there is one at a time."""


def from_os_error(error: OSError, place: Path) -> RegistryError:
    """Returns the registry's words for an error of the operating system.

    Args:
        error: what was raised.
        place: the model's folder, named in the message.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RegistryError(
            f"no space left on the disk that holds {place}; nothing half-written stays. Free some space and run "
            "the same command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RegistryUnwritableError(
            f"{place} cannot be written ({error}); check its owner and permissions, or use another --registry"
        )
    return RegistryError(f"writing to {place} failed: {error}")
