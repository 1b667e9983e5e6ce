"""Damage done to archives on purpose: cut off, flipped, with something behind, not to be read."""

from __future__ import annotations

import random
import struct
from typing import Final

_LOCAL: Final = b"PK\x03\x04"
_CENTRAL: Final = b"PK\x01\x02"
_ENCRYPTED: Final = 1
_NO_METHOD: Final = 97
_MAGIC: Final = {
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7",
    "rar": b"Rar!\x1a\x07\x01\x00",
    "Z": b"\x1f\x9d\x90",
    "lz": b"LZIP\x01",
}
UNREAD: Final = tuple(_MAGIC)
"""Formats that nothing of ours unpacks, by the suffix of their files."""


def cut(packed: bytes) -> bytes:
    """Return the first three quarters."""
    return packed[: len(packed) * 3 // 4]


def flipped_inside(packed: bytes) -> bytes:
    """Return it with one byte changed behind the middle."""
    return _flipped(packed, len(packed) * 3 // 4)


def flipped_sum(packed: bytes) -> bytes:
    """Return a gzip file with one byte of its check sum changed."""
    return _flipped(packed, len(packed) - 8)


def _flipped(packed: bytes, position: int) -> bytes:
    changed = bytes([packed[position] ^ 0xFF])
    return packed[:position] + changed + packed[position + 1 :]


def garbage_behind(packed: bytes) -> bytes:
    """Return it with something behind that belongs to no format."""
    return packed + b"\x01\xfe" + random.Random(0).randbytes(5_000)


def zeros_behind(packed: bytes) -> bytes:
    """Return it padded with zeros to whole blocks, which is allowed, as a tape does."""
    return packed + bytes(-len(packed) % 10_240)


def encrypted(archive: bytes) -> bytes:
    """Return a zip file of one member that says it is encrypted, and reads like it."""
    patched = _patched(archive, local=6, central=8, value=_ENCRYPTED)
    start = 30 + sum(struct.unpack("<HH", archive[26:30]))
    end = archive.index(_CENTRAL)
    scrambled = random.Random(0).randbytes(end - start)
    return patched[:start] + scrambled + patched[end:]


def of_no_method(archive: bytes) -> bytes:
    """Return a zip file whose member is packed by a method that few programs know."""
    return _patched(archive, local=8, central=10, value=_NO_METHOD)


def _patched(archive: bytes, local: int, central: int, value: int) -> bytes:
    patched = bytearray(archive)
    for signature, offset in ((_LOCAL, local), (_CENTRAL, central)):
        start = archive.index(signature) + offset
        patched[start : start + 2] = struct.pack("<H", value)
    return bytes(patched)


def of_format(suffix: str) -> bytes:
    """Return what begins like a file of a format that is not unpacked here."""
    return _MAGIC[suffix] + random.Random(0).randbytes(5_000)
