"""One independent seed per (plan seed, purpose, …), so that adding a stage changes nothing before it."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, purpose: str, *place: int | str) -> int:
    """Returns a seed in [0, 2**31) that depends on every argument and on nothing else.

    Args:
        seed: the plan's seed.
        purpose: what it is for, e.g. "shuffle", "dropout", "bootstrap".
        place: where it is used, e.g. the stage's name and the epoch.
    """
    text = "/".join([str(seed), purpose, *map(str, place)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
