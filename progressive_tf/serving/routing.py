"""Which version answers a caller."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from progressive_tf.registry.history import CANARY, STABLE


@dataclass(frozen=True)
class Split:
    """How callers are divided between stable and canary.

    Args:
        stable: the version that answers everybody else.
        canary: the version that is tried, if any.
        percent: of the callers that the canary answers; 0 while it is paused.
        step: of the rollout, see `registry.history.Rollout`; 0 without a canary.
    """

    stable: int
    canary: int | None = None
    percent: float = 0.0
    step: int = 0

    def alias_for(self, key: str) -> str:
        """Returns `stable` or `canary` for a caller's key.

        The same key is always answered alike, and who is on the canary at 5 % stays there at 20 %. Another canary
        begins with other callers.
        """
        if self.canary is None:
            return STABLE
        return CANARY if position(key, self.canary) * 100 < self.percent else STABLE


def caller_number(key: str) -> int:
    """Returns a number that stands for a caller's key: the first 48 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:6], "big")


def address_number(address: str) -> int:
    """Returns a number below 0 that stands for whoever asks from an address without a key; one of IPv6 by its first 64
    bits, since whoever has one has all the others behind them. His requests are divided between the versions, each by
    its own id or by chance, where those of a key all go to one.
    """
    return -1 - caller_number(f"address {_network(address)}")


def position(key: str, version: int) -> float:
    """Returns where a key stands among all, uniform in [0, 1): the first 64 bits of a SHA-256 as a fraction."""
    digest = hashlib.sha256(f"{version}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
