"""What is served at one moment, and who answers a request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from progressive_tf.registry.history import STABLE
from progressive_tf.serving.batching import Batcher
from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.serving.routing import Split


@dataclass
class Answering:
    """A version in memory with the batches it is computing.

    Args:
        loaded: the version.
        batcher: its own, so that no batch mixes versions.
        background: the same for what no caller waits for.
        threads: its own, for each of the two, so that a slow version keeps no other from computing.
        in_flight: requests that it is answering.
    """

    loaded: LoadedVersion
    batcher: Batcher
    background: Batcher
    threads: tuple[ThreadPoolExecutor, ThreadPoolExecutor]
    in_flight: int = 0

    def end(self) -> None:
        """Ends its threads, once nothing is computed."""
        for executor in self.threads:
            executor.shutdown()

    @contextlib.contextmanager
    def held(self) -> Iterator[Answering]:
        """Keeps it in memory for the time of a request."""
        self.in_flight += 1
        try:
            yield self
        finally:
            self.in_flight -= 1


@dataclass(frozen=True)
class Standing:
    """What is served at one moment; replaced as a whole.

    Args:
        by_number: versions in memory.
        aliases: the version each alias is served by, which may be an earlier one than the registry's while that loads.
        split: between stable and canary; None while nothing is stable.
        asks_stable_too: whether stable says in the background what it would have answered instead of the canary.
        candidates: canary and shadow, while what they and stable say to the same callers is evidence.
    """

    by_number: Mapping[int, Answering] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    split: Split | None = None
    asks_stable_too: bool = False
    candidates: frozenset[int] = frozenset()


def answering_for(
    standing: Standing, name: str, version: str | None, label: str | None, key: str
) -> tuple[Answering, str]:
    """Returns who answers a request, and under which alias; "" where the path names who, so that no split is counted.

    Args:
        standing: what is served.
        name: the model's.
        version: a number that the path names, or None.
        label: an alias that the path names, or None.
        key: the caller's.

    Raises:
        Refusal: 404, it is not served; 503, nothing is.
    """
    if standing.split is None:
        raise Refusal(503, f"no version of {name} is served yet", {"Retry-After": "2"})
    if version is not None:
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else -1
        if number not in standing.by_number:
            raise Refusal(404, f"Servable not found for request: Specific({name}, {version[:20]})")
        return standing.by_number[number], ""
    if label is not None:
        if label not in standing.aliases:
            raise Refusal(404, f"Servable not found for request: Label({name}, {label[:40]})")
        return standing.by_number[standing.aliases[label]], ""
    alias = standing.split.alias_for(key)
    number = standing.split.stable if alias == STABLE else int(standing.split.canary or 0)
    return standing.by_number[number], alias
