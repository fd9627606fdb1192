"""Image files built byte by byte, with whatever a header can say."""

import struct
import zlib

import numpy as np


def png(width, height, color, content, depth=8, chunks=()):
    """A PNG file of any header, however little it contains; `chunks` are pairs."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(*more) for more in chunks),
            chunk(b"IDAT", zlib.compress(content)),
            chunk(b"IEND", b""),
        ]
    )


def tiff(values, interpretation, bits, order="<", deflate=False, tags=None):
    """A TIFF file of whole numbers, (height, width, channels), in two strips.

    `tags` are more of the form {number: values}; planes apart (284: 2) and bits from
    right to left (266: 2) are heeded.
    """
    values = np.asarray(values)
    tags = tags or {}
    height, width, channels = values.shape
    planes = [values.reshape(height, -1)]
    if tags.get(284) == [2]:
        planes = list(np.moveaxis(values, -1, 0))
    strips = []
    for rows in (half for plane in planes for half in np.array_split(plane, 2)):
        if bits % 8:
            digits = rows[..., None] >> np.arange(bits)[::-1] & 1
            digits = digits.astype(np.uint8).reshape(len(rows), -1)
            data = np.packbits(digits, axis=1).tobytes()
        else:
            data = rows.astype(f"{order}u{bits // 8}").tobytes()
        if tags.get(266) == [2]:
            turned = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            data = np.packbits(turned).tobytes()
        data = zlib.compress(data) if deflate else data
        strips.append(data + bytes(len(data) % 2))
    starts = 8 + np.cumsum([0, *map(len, strips)])
    tags = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [8 if deflate else 1],
        262: [interpretation],
        273: starts[:-1].tolist(),
        277: [channels],
        278: [-(-height // 2)],
        279: [len(strip) for strip in strips],
        **tags,
    }
    tags = {
        tag: numbers for tag, numbers in sorted(tags.items()) if None not in numbers
    }
    directory = struct.pack(f"{order}H", len(tags))
    beyond, start = b"", starts[-1] + 2 + 12 * len(tags) + 4
    for tag, numbers in tags.items():
        kind, letter = (5, "II") if isinstance(numbers[0], float) else (4, "I")
        if kind == 5:  # of fractions
            numbers = [part for x in numbers for part in (round(x * 10000), 10000)]
        data = struct.pack(f"{order}{len(numbers)}I", *numbers)
        count = len(data) // (4 * len(letter))
        directory += struct.pack(f"{order}HHI", tag, kind, count)
        if len(data) > 4:
            directory += struct.pack(f"{order}I", start + len(beyond))
            beyond += data
        else:
            directory += data
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, starts[-1])
    return head + b"".join(strips) + directory + bytes(4) + beyond


def ink_profile():
    """A colour profile with a grey cyan, L = 60; magenta and yellow leave no trace."""
    lightness = np.array([*4 * [100, 0], *4 * [60, 0]])  # without and with black ink
    colors = np.stack(
        [lightness * 652.8, np.full(16, 128 * 256), np.full(16, 128 * 256)]
    )
    table = struct.pack(">4sIBBBx", b"mft2", 0, 4, 3, 2)
    table += (np.eye(3) * 65536).astype(">i4").tobytes() + struct.pack(">HH", 2, 2)
    ends = struct.pack(">HH", 0, 65535)
    table += ends * 4 + colors.T.astype(">u2").tobytes() + ends * 3
    white = struct.pack(">3i", *(round(x * 65536) for x in (0.9642, 1, 0.8249)))
    head = struct.pack(">4xI4s4s4s", 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12)
    head = (head + b"acsp").ljust(64, b"\0") + white
    head = struct.pack(">I", 144 + len(table)) + head
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    return head.ljust(128, b"\0") + tags + table
