"""Bodies that come packed, `Content-Encoding: gzip`, unpacked piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from progressive_tf.serving.limits import Refusal

_PIECE = 2**16
_GZIP = 16 + zlib.MAX_WBITS  # tells zlib that gzip's header and checksum are there


async def unpacked(parts: AsyncIterator[bytes], encoding: str, most: int) -> AsyncIterator[bytes]:
    """Yields a body as it was before it was packed, in pieces of at most 64 KiB where it was.

    Whoever reads it may stop at any piece, so that little is unpacked of a body that would become too large.

    Args:
        parts: of the body as it comes.
        encoding: the header Content-Encoding; "" for none.
        most: bytes of the packed body; what is unpacked, the reader counts.

    Raises:
        Refusal: 415, it is packed in another way; 400, it is damaged; 413, it is larger than `most` while packed.
    """
    if encoding.strip().lower() in ("", "identity"):
        async for part in parts:
            yield part
        return
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        message = f"Content-Encoding: gzip, or none, expected; got {encoding!r:.80}"
        raise Refusal(415, message, {"Accept-Encoding": "gzip", "Connection": "close"})
    size = 0
    member: zlib._Decompress | None = None
    async for part in parts:
        size += len(part)
        if size > most:  # as many empty members, which unpack to nothing
            raise Refusal(413, f"a body of more than {most} bytes", {"Connection": "close"})
        while part:
            member = member or zlib.decompressobj(_GZIP)
            try:
                piece = member.decompress(part, _PIECE)
            except zlib.error as error:
                raise Refusal(400, f"the body is no gzip: {error}", {"Connection": "close"}) from None
            part = member.unused_data if member.eof else member.unconsumed_tail
            member = None if member.eof else member
            yield piece
    if member is not None or not size:
        raise Refusal(400, "the body is no gzip: it ends early")
