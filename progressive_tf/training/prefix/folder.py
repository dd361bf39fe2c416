"""`cache/prefix`: the shards of all prefixes, within a limit, and off for the rest of a run once the disk refuses."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from progressive_tf.errors import InputError
from progressive_tf.files import TEMPORARY_SUFFIX
from progressive_tf.training.prefix.shard import SHARD_SUFFIX, write_shard

log = logging.getLogger(__name__)

# What a killed process was writing; a process that lives takes seconds for a shard.
ABANDONED_SECONDS = 3600.0
ATTEMPTS = 3
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class CacheFolder:
    """The folder that holds one folder of shards per prefix; other processes may use it at the same time.

    Args:
        path: `cache/prefix`; created when it is first needed.

    Attributes:
        storing: whether outputs are still written; False once the disk was full or failed.
        in_use: shards that the stage at work reads; they are not deleted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.storing = True
        self.in_use: set[Path] = set()
        self._checked = False
        self._used_last = 0

    def check(self) -> None:
        """Makes sure, once, that shards can be written.

        Raises:
            InputError: they cannot, for another reason than a full disk.
        """
        if self._checked:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=".", suffix=TEMPORARY_SUFFIX) as stream:
                stream.write(b"x")
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise InputError(
                    f"{self.path}: this folder, for outputs of frozen blocks, cannot be made or written: "
                    f"{error.strerror}; allow it, move what is in the way, run in another folder, or set cache: off"
                ) from None
            self._turn_off(error)
        self._checked = True

    def write(
        self, prefix: str, keys: np.ndarray, lengths: np.ndarray, values: np.ndarray, size: int, limit: float
    ) -> Path | None:
        """Writes a shard of `size` bytes and returns its path, or None where there is no room or the disk refuses."""
        for attempt in range(ATTEMPTS):
            try:
                if not self.storing or not self.make_room(size, limit):
                    return None
                path = write_shard(self.path / prefix, prefix, keys, lengths, values)
                self.mark_used(path)
                return path
            except FileNotFoundError as error:  # the folder was deleted meanwhile
                if attempt + 1 == ATTEMPTS:
                    self._turn_off(error)
            except OSError as error:
                self._turn_off(error)
        return None

    def mark_used(self, path: Path) -> None:
        """Marks a shard as used after all others, whatever a clock that may have been set says.

        Raises:
            OSError: its time cannot be set.
        """
        if not self._used_last:
            self._used_last = max((_used(shard) for shard in self.path.glob(f"*/*{SHARD_SUFFIX}")), default=0)
        self._used_last = max(time.time_ns(), self._used_last + 1)
        os.utime(path, ns=(self._used_last, self._used_last))

    def trim(self, limit: float) -> None:
        """Deletes what is beyond a limit, which may have been lowered, as far as no stage reads it now."""
        try:
            if self.storing:
                self.make_room(0, limit)
        except FileNotFoundError:
            return  # the folder is being deleted: there is nothing left to trim
        except OSError as error:
            self._turn_off(error)

    def make_room(self, needed: int, limit: float) -> bool:
        """Deletes least recently used shards until `needed` more bytes stay within the limit.

        Returns:
            Whether they do; nothing is deleted where they cannot, because of the shards in use.

        Raises:
            OSError: a shard cannot be deleted.
        """
        sizes: dict[Path, int] = {}
        used: dict[Path, int] = {}
        for path in self.path.glob(f"*/*{SHARD_SUFFIX}*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == TEMPORARY_SUFFIX and time.time() - status.st_mtime > ABANDONED_SECONDS:
                path.unlink(missing_ok=True)
                continue
            sizes[path] = status.st_size
            if path.suffix == SHARD_SUFFIX and path not in self.in_use:
                used[path] = status.st_mtime_ns
        total = sum(sizes.values()) + needed
        if total - sum(sizes[path] for path in used) > limit:
            return False
        for path in sorted(used, key=used.__getitem__):
            if total <= limit:
                break
            path.unlink(missing_ok=True)
            total -= sizes[path]
            log.info("%s: deleted, the least recently used beyond cache.max_gb", path)
        return True

    def _turn_off(self, error: OSError) -> None:
        self.storing = False
        log.warning(
            "%s: outputs of frozen blocks are stored no longer in this run (%s); they are computed whenever they are "
            "needed, with the same result",
            self.path,
            error.strerror or error,
        )


def _used(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # deleted meanwhile
        return 0
