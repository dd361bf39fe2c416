"""Callers that ask one thing after the other, each over a connection of its own, as wrk does it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """What callers saw.

    Args:
        seconds: of each request, float64 [requests].
        lasted: how long they asked, in seconds.
        failed: requests that were not answered 200.
    """

    seconds: np.ndarray
    lasted: float
    failed: int

    @property
    def throughput(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.lasted

    def milliseconds(self, percent: float) -> float:
        """Returns a percentile of the latency."""
        return float(np.percentile(self.seconds, percent)) * 1000


def ask(port: int, path: str, bodies: Sequence[Mapping[str, object]], connections: int, seconds: float) -> Load:
    """Asks for some time; requests under way at its end are waited for and counted.

    Args:
        port: on this machine.
        path: that takes the bodies.
        bodies: of the requests, in turn.
        connections: that are open at once, each with one request under way.
        seconds: how long.
    """
    requests = [_request(path, body) for body in bodies]
    return asyncio.run(_ask(port, itertools.cycle(requests), connections, seconds))


async def _ask(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    began = time.perf_counter()
    found = await asyncio.gather(*(_caller(port, requests, began + seconds) for _ in range(connections)))
    lasted = time.perf_counter() - began
    taken = [each for seconds_of_one, _ in found for each in seconds_of_one]
    return Load(np.array(taken), lasted, sum(failed for _, failed in found))


async def _caller(port: int, requests: Iterator[bytes], end: float) -> tuple[list[float], int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken, failed = [], 0
    while time.perf_counter() < end:
        began = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append(time.perf_counter() - began)
        failed += head[9:12] != b"200"
    writer.close()
    return taken, failed


def _request(path: str, body: Mapping[str, object]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
