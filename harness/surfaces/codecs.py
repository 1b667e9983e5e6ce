"""Compressed streams, unpacked to the last byte or told to be broken.

A reader that stops quietly at the first byte it does not understand would make a cut-off
archive look clean. So each member is read to its own end, checksums are compared, and what
stands behind the last one is named.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from isal import igzip_lib, isal_zlib

from harness.errors import SurfaceError
from harness.surfaces.passages import CHUNK_BYTES
from harness.surfaces.source import Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_GZIP_LEVEL: Final = 2
"""As small as gzip's own default on logs, and ten times as fast."""
_READ_BYTES: Final = 64 << 10
_FIRST_READ_BYTES: Final = 4 << 10
_EMPTY_BYTES: Final = 8
"""What a frame that is skipped holds where pzstd writes it: the size of the next."""
_FIXED_BYTES: Final = 10
_LONGEST_HEAD_BYTES: Final = 128 << 10
_EXTRA, _NAME, _COMMENT = 0x04, 0x08, 0x10
_TEXT_FLAG: Final = 0x01
_FAILURES: Final = (
    cast("type[Exception]", igzip_lib.IsalError),
    zstd.ZstdError,
    lzma.LZMAError,
    OSError,
)


class Sink(Protocol):
    """Where is written to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take some more."""
        ...


class BrokenError(SurfaceError):
    """A packed file breaks off, is damaged, or has something behind its end."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One kind of compression: how it begins, is unpacked, and packed again."""

    name: str
    magic: tuple[bytes, ...]
    unpacker: Callable[[], Any]
    packer: Callable[[], Any]


_SKIPPABLE: Final = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
GZIP: Final = Codec(
    "gzip",
    (b"\x1f\x8b\x08",),
    lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    # Raw: the header is the old one's.
    lambda: isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS),
)
ZSTD: Final = Codec(
    "zstd",
    (b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
    zstd.ZstdDecompressor,
    lambda: zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1}),
)
BZIP2: Final = Codec("bzip2", (b"BZh",), bz2.BZ2Decompressor, bz2.BZ2Compressor)
XZ: Final = Codec(
    "xz",
    (b"\xfd7zXZ\x00",),
    lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    lzma.LZMACompressor,
)
CODECS: Final = (GZIP, ZSTD, BZIP2, XZ)


def codec_of(head: bytes) -> Codec | None:
    """Return the codec that a stream beginning like this is packed with, or None."""
    return next((one for one in CODECS if head.startswith(one.magic)), None)


def unpacked(source: Source, codec: Codec, heads: list[GzipHead]) -> Iterator[bytes]:
    """Yield what a packed stream holds, member by member; `heads` takes gzip's headers.

    Raises:
        BrokenError: It breaks off, is damaged, or has something behind its end that is not
            packed; what came before was yielded.
    """
    first = True
    while first or _goes_on(source, codec):
        size_bytes = _FIRST_READ_BYTES
        first = False
        if codec is GZIP:
            heads.append(_head(source))
        elif source.peek(4).startswith(_SKIPPABLE):
            heads += _skipped(source)
            continue
        unpacker = codec.unpacker()
        while not unpacker.eof:
            data = source.read(size_bytes) if unpacker.needs_input else b""
            # A member may be tiny, and what is read too much of it is read again.
            size_bytes = min(4 * size_bytes, _READ_BYTES)
            if unpacker.needs_input and not data:
                raise BrokenError(
                    f"it is a {codec.name} file that breaks off: if a rotation was interrupted, "
                    "let it be finished; if what is lost is known, remove the file"
                )
            if chunk := _unpack(unpacker, data, codec):
                yield chunk
        source.unread(unpacker.unused_data)


def _head(source: Source) -> GzipHead:
    """Return the header of the member that comes next, which is seldom long."""
    head = gzip_head(source.peek(_FIRST_READ_BYTES))
    shown = len(head.extra) + len(head.name) + len(head.comment)
    if shown < _FIRST_READ_BYTES // 2:
        return head
    return gzip_head(source.peek(_LONGEST_HEAD_BYTES))


def _skipped(source: Source) -> list[GzipHead]:
    """Return what a frame holds that unpackers skip, as the text of a header; most hold nothing.

    Raises:
        BrokenError: It is too large for that.
    """
    size_bytes = int.from_bytes(source.peek(8)[4:], "little")
    if size_bytes > _LONGEST_HEAD_BYTES:
        raise BrokenError(
            "it is a zstd file with a part that is no log and was not searched: look at it by hand"
        )
    source.peek(8 + size_bytes)
    frame = source.read(8 + size_bytes)
    return [GzipHead(frame[:8], frame[8:], b"", b"")] if size_bytes > _EMPTY_BYTES else []


def _unpack(unpacker: Any, data: bytes, codec: Codec) -> bytes:  # noqa: ANN401  # a codec's
    try:
        chunk: bytes = unpacker.decompress(data, CHUNK_BYTES)
    except _FAILURES:
        raise BrokenError(
            f"it is a {codec.name} file that is damaged: take it from a backup, or remove it"
        ) from None
    return chunk


def _goes_on(source: Source, codec: Codec) -> bool:
    """Tell whether another member follows; zeros that fill up a block do not count.

    Raises:
        BrokenError: Something else follows.
    """
    while (ahead := source.peek(_READ_BYTES)) and not ahead.strip(b"\0"):
        source.read(len(ahead))
    if not ahead:
        return False
    if not ahead.startswith(codec.magic):
        raise BrokenError(
            f"it is a {codec.name} file with something behind its end that was not searched: look "
            "at it by hand"
        )
    return True


# --- packing again --------------------------------------------------------------------------


class Packer:
    """A stream that packs what is written to it into another one, as one member."""

    def __init__(self, sink: Sink, codec: Codec, head: bytes = b"") -> None:
        self._sink = sink
        self._codec = codec
        self._packer = codec.packer()
        self._checksum = self._size = 0
        if codec is GZIP:
            sink.write(head)

    def write(self, data: bytes | memoryview) -> int:
        """Pack some more."""
        if self._codec is GZIP:
            self._checksum = isal_zlib.crc32(data, self._checksum)
            self._size += len(data)
        self._sink.write(self._packer.compress(data))
        return len(data)

    def finish(self) -> None:
        """End the member; nothing can be written after."""
        self._sink.write(self._packer.flush())
        if self._codec is GZIP:
            self._sink.write(self._checksum.to_bytes(4, "little"))
            self._sink.write((self._size & 0xFFFFFFFF).to_bytes(4, "little"))


@dataclass(frozen=True, slots=True)
class GzipHead:
    """The parts of a gzip member's header that people wrote."""

    fixed: bytes
    extra: bytes
    name: bytes
    comment: bytes

    def encode(self, extra: bytes, name: bytes, comment: bytes) -> bytes:
        """Return the header with other texts in it, without a checksum of its own."""
        fields = (extra and len(extra).to_bytes(2, "little") + extra, name, comment)
        flags = _EXTRA * bool(extra) | _NAME * bool(name) | _COMMENT * bool(comment)
        fixed = self.fixed[:3] + bytes((self.fixed[3] & _TEXT_FLAG | flags,)) + self.fixed[4:]
        texts = b"".join(one + b"\0" for one in fields[1:] if one)
        return fixed + fields[0] + texts


def gzip_head(data: bytes) -> GzipHead:
    """Return the parts of the header that a gzip member begins with, as far as they are there.

    Source: RFC 1952, 2.3.
    """
    flags = data[3] if len(data) >= _FIXED_BYTES else 0
    at, extra, texts = _FIXED_BYTES, b"", []
    if flags & _EXTRA:
        size = int.from_bytes(data[at : at + 2], "little")
        extra = data[at + 2 : at + 2 + size]
        at += 2 + size
    for flag in (_NAME, _COMMENT):
        text = data[at:].partition(b"\0")[0] if flags & flag else b""
        at += len(text) + 1 if flags & flag else 0
        texts.append(text)
    return GzipHead(data[:_FIXED_BYTES], extra, texts[0], texts[1])
