"""Files of every kind of JPEG, PNG, GIF and BMP, made by Pillow or, where it does not write them, byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 9, 13  # odd, so that rows are padded
ROWS, COLUMNS = np.indices([HEIGHT, WIDTH])
PICTURE = np.stack([ROWS * 25, COLUMNS * 17, (ROWS + COLUMNS) * 11], axis=-1).astype(np.uint8)
PALETTE = np.array([[200, 30, 30], [30, 30, 200], [10, 180, 40], [240, 240, 0]] * 64, np.uint8)
NUMBERS = (ROWS // 2 + COLUMNS // 3) % 4
# Rows and columns of the seven passes of an interlaced PNG: where each begins, and its steps.
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
BLUE_FIRST, RED_FIRST = (0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000)
COLOURS_OF_PNG = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns an image as a file of a kind that Pillow writes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(colour: int, bits: int, interlaced: bool = False, transparent: bytes = b"") -> bytes:
    """Returns a PNG file.

    Args:
        colour: as in the format: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        bits: of a sample.
        interlaced: whether it has seven passes.
        transparent: content of its tRNS chunk, if any.
    """
    channels = COLOURS_OF_PNG[colour]
    generator = np.random.default_rng(3)
    samples = generator.integers(0, 4 if colour == 3 and bits > 1 else 2**bits, [HEIGHT, WIDTH, channels])
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    lines = []
    for top, left, down, right in passes:
        for row in samples[top::down, left::right]:
            packed = np.concatenate(
                [np.unpackbits(np.array([value], ">u2").view(np.uint8))[-bits:] for value in row.ravel()]
            )
            lines.append(b"\0" + np.packbits(packed).tobytes())
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header)]
    chunks += [(b"PLTE", PALETTE[: 2**bits].tobytes())] if colour == 3 else []
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(
    bits: int, header: int = 40, downwards: bool = False, masks: tuple[int, int, int] | None = None, coded: bool = False
) -> bytes:
    """Returns a BMP file.

    Args:
        bits: of a pixel; up to 8 are numbers of a palette.
        header: bytes of it: 12 of OS/2, 40, or 108 and 124 of the fourth and the fifth version.
        downwards: whether its first row is the topmost.
        masks: where red, green and blue are in 16 or 32 bits.
        coded: whether it is run-length coded.
    """
    numbers, picture = NUMBERS % 2**bits, PICTURE.astype(int)
    if bits <= 8:
        packed = (((numbers[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(HEIGHT, -1)).astype(np.uint8)
        rows = np.packbits(packed, axis=1)
    elif bits == 16:
        rows = (
            ((picture[..., 0] >> 3 << 10) | (picture[..., 1] >> 3 << 5) | picture[..., 2] >> 3)
            .astype("<u2")
            .view(np.uint8)
        )
    else:
        shifts = [mask.bit_length() - 8 for mask in masks or BLUE_FIRST]
        joined = sum(picture[..., place] << shifts[place] for place in range(3))
        rows = np.asarray(joined, "<u4")[..., None].view(np.uint8)[..., : bits // 8].reshape(HEIGHT, -1)
    rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)])
    pixels = (rows if downwards else rows[::-1]).tobytes()
    if coded:
        pixels = b"".join(b"".join(bytes([1, number]) for number in row) + b"\0\0" for row in numbers[::-1]) + b"\0\1"
    colours = np.pad(PALETTE[: 2**bits, ::-1], [(0, 0), (0, 1)]).tobytes() if bits <= 8 else b""
    if header == 12:
        colours = PALETTE[: 2**bits, ::-1].tobytes() if bits <= 8 else b""
        about = struct.pack("<IHHHH", header, WIDTH, HEIGHT, 1, bits)
    else:
        compression = 1 if coded else 3 if masks else 0
        high = -HEIGHT if downwards else HEIGHT
        about = struct.pack("<IiiHHIIiiII", header, WIDTH, high, 1, bits, compression, len(pixels), 0, 0, 0, 0)
        about += struct.pack("<III", *masks) if masks else b""
        about = about.ljust(header, b"\0")
    begin = 14 + len(about) + len(colours)
    return struct.pack("<2sIHHI", b"BM", begin + len(pixels), 0, 0, begin) + about + colours + pixels


def _gifs() -> dict[str, bytes]:
    coloured = Image.fromarray(NUMBERS.astype(np.uint8), "P")
    coloured.putpalette(PALETTE[:4].tobytes())
    other = Image.fromarray(((NUMBERS + 1) % 4).astype(np.uint8), "P")
    other.putpalette(PALETTE[:4].tobytes())
    large = coloured.resize((64, 48), Image.Resampling.NEAREST)
    return {
        "palette": saved(coloured, "GIF"),
        "grey": saved(Image.fromarray(PICTURE[..., 0]), "GIF"),
        "interlaced": saved(large, "GIF", interlace=1),
        "not interlaced": saved(large, "GIF", interlace=0),
        "several pictures": saved(coloured, "GIF", save_all=True, append_images=[other], duration=50),
    }


def _jpegs() -> dict[str, bytes]:
    small = Image.fromarray(PICTURE)
    smooth = small.resize((48, 32), Image.Resampling.BICUBIC)
    cmyk = saved(smooth.convert("CMYK"), "JPEG", quality=95)
    adobe = cmyk.index(b"Adobe")
    exif = smooth.getexif()
    exif[0x0112] = 6
    return {
        "colour": saved(smooth, "JPEG", quality=95),
        "every pixel's colour": saved(smooth, "JPEG", quality=95, subsampling=0),
        "progressive": saved(smooth, "JPEG", quality=95, progressive=True),
        "grey": saved(smooth.convert("L"), "JPEG", quality=95),
        "RGB, not YCbCr": saved(smooth, "JPEG", quality=95, keep_rgb=True),
        "CMYK": cmyk,
        "YCCK": cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :],
        "to be turned": saved(smooth, "JPEG", quality=95, exif=exif),
        "several pictures": saved(smooth, "MPO", save_all=True, append_images=[smooth], quality=95),
    }


PNGS = {
    **{f"grey, {bits} bits": png(0, bits) for bits in (1, 2, 4, 8, 16)},
    **{f"palette, {bits} bits": png(3, bits) for bits in (1, 2, 4, 8)},
    **{f"RGB, {bits} bits": png(2, bits) for bits in (8, 16)},
    **{f"interlaced, colour {colour}": png(colour, 8, interlaced=True) for colour in (0, 2, 3)},
    "interlaced palette, 2 bits": png(3, 2, interlaced=True),
}
WITH_ALPHA = {
    "palette": png(3, 2, transparent=bytes([255, 0, 128, 255])),
    "one grey value": png(0, 8, transparent=struct.pack(">H", 7)),
    **{f"grey with alpha, {bits} bits": png(4, bits) for bits in (8, 16)},
    **{f"RGB with alpha, {bits} bits": png(6, bits) for bits in (8, 16)},
    "RGB with alpha, interlaced": png(6, 8, interlaced=True),
}
BMPS = {
    **{f"palette, {bits} bits": bmp(bits) for bits in (1, 4, 8)},
    **{f"palette, {bits} bits, downwards": bmp(bits, downwards=True) for bits in (1, 4, 8)},
    **{f"palette, header of {header}": bmp(8, header) for header in (108, 124)},
    **{f"{bits} bits": bmp(bits) for bits in (24, 32)},
    **{f"{bits} bits, downwards": bmp(bits, downwards=True) for bits in (24, 32)},
    **{f"24 bits, header of {header}": bmp(24, header) for header in (108, 124)},
    **{f"32 bits with masks, header of {header}": bmp(32, header, masks=BLUE_FIRST) for header in (40, 108, 124)},
    "grey": saved(Image.fromarray(PICTURE[..., 0]), "BMP"),
    "black and white": saved(Image.fromarray(PICTURE).convert("1"), "BMP"),
}
REFUSED_BMPS = {
    "of OS/2": bmp(24, 12),
    "palette of OS/2": bmp(8, 12),
    "16 bits": bmp(16),
    "run-length coded": bmp(8, coded=True),
    "red first": bmp(32, masks=RED_FIRST),
}
GIFS, JPEGS = _gifs(), _jpegs()
