"""The shards of one prefix: which examples they have, and adding others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.shard import SHARD_SUFFIX, DamagedShardError, Shard, shard_bytes

log = logging.getLogger(__name__)

SHARD_BYTES = 64_000_000


@dataclass(frozen=True)
class Found:
    """Where the outputs of some of the examples that were asked for stand.

    Attributes:
        shard: open.
        wanted: which of the examples, as positions in what was asked for.
        starts: the first position of each in the shard's values.
        lengths: positions of each.
    """

    shard: Shard
    wanted: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


class PrefixStore:
    """Outputs of one prefix on disk.

    Args:
        folder: the folder of all prefixes.
        prefix: hash of this one.
    """

    def __init__(self, folder: CacheFolder, prefix: str) -> None:
        self.prefix = prefix
        self._folder = folder
        self._shards: dict[str, Shard] = {}

    def find(self, keys: np.ndarray, advance: Callable[[int], None] = lambda examples: None) -> list[Found]:
        """Returns where outputs stand, each example at most once, and marks their shards as used.

        Args:
            keys: V16 [examples], no two alike.
            advance: is told of the examples of every shard, whose outputs are compared with their checksum.
        """
        if not len(keys):
            return []
        self._refresh()
        order = np.argsort(keys)
        ordered = keys[order]
        missing = np.ones(len(keys), bool)
        stored: list[Found] = []
        for name, shard in list(self._shards.items()):
            positions = np.minimum(np.searchsorted(ordered, shard.keys), len(keys) - 1)
            matching = np.flatnonzero(ordered[positions] == shard.keys)
            matching = matching[missing[order[positions[matching]]]]
            if not len(matching) or not self._open(name, shard):
                continue
            wanted = order[positions[matching]]
            # A shard has each key once; were it otherwise, the last would win in every array alike.
            missing[wanted] = False
            stored.append(Found(shard, wanted, shard.starts[matching], shard.lengths[matching]))
            advance(len(wanted))
        return stored

    def add(self, keys: np.ndarray, lengths: np.ndarray, values: np.ndarray, limit: float) -> Found | None:
        """Writes a shard; returns None where it cannot be kept.

        Args:
            keys: V16 [examples], no two alike.
            lengths: int32 [examples], positions of each.
            values: [positions, width], float16 or float32.
            limit: bytes that all prefixes may take.
        """
        size = shard_bytes(len(keys), len(values), values.shape[1], values.dtype)
        path = self._folder.write(self.prefix, keys, lengths, values, size, limit)
        if path is None:
            return None
        try:
            shard = Shard(path, self.prefix)
            shard.open(check=False)
        except (OSError, DamagedShardError):  # deleted, or replaced, as soon as it was there
            return None
        self._shards[path.name] = shard
        self._folder.in_use.add(path)
        return Found(shard, np.arange(len(keys)), shard.starts, shard.lengths)

    def drop(self, shard: Shard, problem: str) -> None:
        """Deletes a shard that is not what was written."""
        log.warning("%s: dropped, %s; its outputs are computed again", shard.path, problem)
        self._shards.pop(shard.path.name, None)
        self._delete(shard.path)

    def _refresh(self) -> None:
        """Reads the index of shards that have come, and forgets those that have gone."""
        folder = self._folder.path / self.prefix
        try:
            names = {name for name in os.listdir(folder) if name.endswith(SHARD_SUFFIX)}
        except OSError:
            names = set()
        self._shards = {name: shard for name, shard in self._shards.items() if name in names}
        for name in sorted(names - self._shards.keys()):
            try:
                self._shards[name] = Shard(folder / name, self.prefix)
            except DamagedShardError as error:
                log.warning("%s: dropped, %s; its outputs are computed again", folder / name, error)
                self._delete(folder / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("%s: left out, it cannot be read (%s)", folder / name, error.strerror)

    def _open(self, name: str, shard: Shard) -> bool:
        try:
            shard.open()
            self._folder.mark_used(shard.path)
        except DamagedShardError as error:
            self.drop(shard, str(error))
            return False
        except OSError as error:
            if shard.is_whole:  # it was mapped before it was deleted, or only its time could not be set
                return True
            if not isinstance(error, FileNotFoundError):
                log.warning("%s: left out, it cannot be read (%s)", shard.path, error.strerror)
            del self._shards[name]
            return False
        self._folder.in_use.add(shard.path)
        return True

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: cannot be deleted (%s)", path, error.strerror)
