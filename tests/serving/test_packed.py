"""Bodies that come packed."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_fakes import MODEL, Shared

from progressive_tf.serving.limits import Refusal
from progressive_tf.serving.packed import unpacked

PREDICT = f"/v1/models/{MODEL}:predict"
BODY = json.dumps({"instances": ["a", "b"]}).encode()


def read(parts: list[bytes], encoding: str = "gzip", most: int = 2**20, unpacked_most: int = 2**20) -> bytes:
    """Returns what is unpacked, as a server reads it: no further than it may become large."""

    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def reading() -> bytes:
        found = b""
        async for part in unpacked(stream(), encoding, most):
            found += part
            if len(found) > unpacked_most:
                break
        return found

    return asyncio.run(reading())


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(1, 3))
def test_whatever_parts_a_packed_body_comes_in_it_is_the_same(body: bytes, size: int, members: int) -> None:
    packed = b"".join(gzip.compress(body) for _ in range(members))
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert read(parts) == body * members
    assert read([body], encoding="identity") == body


@pytest.mark.parametrize("size", [2**10, 2**16, 2**20])
def test_a_body_that_is_many_pieces_is_whole(size: int) -> None:
    body = random.Random(3).randbytes(150_000) + bytes(300_000)
    packed = gzip.compress(body)
    assert read([packed[at : at + size] for at in range(0, len(packed), size)]) == body


def test_of_a_bomb_little_is_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * 2**20) for _ in range(256)) + packer.flush()
    assert len(bomb) < 2**19
    tracemalloc.start()
    try:
        assert len(read([bomb], unpacked_most=2**18)) <= 2**18 + 2**16
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_members_that_unpack_to_nothing_are_counted_as_they_come() -> None:
    with pytest.raises(Refusal, match="a body of more than 100 bytes") as refused:
        read([gzip.compress(b"")] * 10, most=100)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (gzip.compress(BODY)[:-4], "gzip", 400, "the body is no gzip: it ends early"),
        (b"", "gzip", 400, "the body is no gzip: it ends early"),
        (BODY, "gzip", 400, "the body is no gzip: Error"),
        (gzip.compress(BODY)[:-8] + bytes(8), "gzip", 400, "incorrect data check"),
        (gzip.compress(BODY) + b"more", "gzip", 400, "the body is no gzip"),
        (gzip.compress(b" " * (4 * 2**20 + 1)), "gzip", 413, "a body of more than 4194304 bytes"),
        (BODY, "br", 415, "Content-Encoding: gzip, or none, expected; got 'br'"),
        (BODY, "gzip, gzip", 415, "Content-Encoding: gzip, or none, expected"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(
    refusing: Shared, body: bytes, encoding: str, status: int, said: str
) -> None:
    for path in (PREDICT, "/v1/feedback"):
        found = refusing.client.post(path, content=body, headers={"Content-Encoding": encoding})
        assert (found.status_code, said in found.json()["error"]) == (status, True), found.text
    if status == 415:
        assert found.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_packed_request_is_answered(refusing: Shared, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    found = refusing.client.post(PREDICT, content=gzip.compress(BODY), headers=headers)
    assert [each["label"] for each in found.json()["predictions"]] == ["says a", "says b"]
