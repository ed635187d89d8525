"""Whether a TIFF file is all there: decoders pass over pages that were cut off."""

from __future__ import annotations

import os
import struct
from pathlib import Path

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_SIZES |= {16: 8, 17: 8, 18: 8}  # BigTIFF
_NEEDED = {270, 273, 279, 282, 283, 324, 325, 50838, 50839}
"""Tags without which pixels or their size are lost: description, strips, tiles, resolution,
ImageJ's notes. Others may be broken: sloppy programs write such files, and they can be read."""


def is_whole(path: Path) -> bool:
    """Whether every page that a TIFF file announces, and what is needed to read it, is in it.

    Follows the chain of image file directories (TIFF 6.0, section 2; BigTIFF alike). The pixels
    themselves are not looked at.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:2] == b"II" else ">"
        if struct.unpack(order + "H", start[2:4])[0] == 43:
            count_format, entry_format, offset_format, first = "Q", "HHQQ", "Q", 8
        else:
            count_format, entry_format, offset_format, first = "H", "HHII", "I", 4
        entry_size, inline = struct.calcsize("=" + entry_format), struct.calcsize(offset_format)
        try:
            (offset,) = struct.unpack_from(order + offset_format, start, first)
            seen: set[int] = set()
            while offset and offset not in seen:
                seen.add(offset)
                file.seek(offset, os.SEEK_SET)
                (count,) = struct.unpack(
                    order + count_format, file.read(struct.calcsize(count_format))
                )
                if offset + count * entry_size > size:
                    return False
                entries = file.read(count * entry_size)
                for tag, kind, length, value in struct.iter_unpack(order + entry_format, entries):
                    extent = length * _TYPE_SIZES.get(kind, 0)
                    if tag in _NEEDED and extent > inline and value + extent > size:
                        return False
                (offset,) = struct.unpack(order + offset_format, file.read(inline))
        except (struct.error, OverflowError):  # the end of the file came first
            return False
    return True
