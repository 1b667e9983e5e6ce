"""Through a file of any format, down to the archives inside its archives.

One walk serves both purposes. Without a sink it reads, and a `Reader` looks at every content
and every name; with one it writes the same archive again from what the reader makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from harness.errors import SurfaceError
from harness.surfaces import tar_format, zip_format
from harness.surfaces.codecs import GZIP, Codec, GzipHead, Packer, Sink, codec_of, unpacked
from harness.surfaces.source import Source

DEEPEST: Final = 4
"""How many archives may lie in one another."""
HEAD_BYTES: Final = 512
"""What is looked at to tell a format: a tar's first header."""
_NOT_READ: Final = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"\x1f\x9d": "packed with compress",
    b"\x89LZO": "packed with lzop",
    b"LZIP": "packed with lzip",
    b"\xff\x06\x00\x00sNaPpY": "packed with snappy",
    b"MSCF": "a cabinet",
    b"!<arch>\n": "an ar archive",
    b"LRZI": "packed with lrzip",
    b"\x02\x21\x4c\x18": "packed with lz4",
    b"]\x00\x00": "packed with lzma",
    b"Salted__": "encrypted",
    b"age-encryption.org/": "encrypted",
    b"-----BEGIN PGP MESSAGE": "encrypted",
}


class Reader(Protocol):
    """Looks at what a walk comes to; `where` names it, parts of archives behind ` > `."""

    def content(self, where: str, chunks: Iterable[bytes], sink: Sink | None) -> None:
        """Take all chunks, and write to the sink, if there is one, what is to stand there."""
        ...

    def name(self, where: str, name: bytes) -> bytes:
        """Return a name or comment as it is to be, and as long as it is."""
        ...

    def gap(self, where: str, why: str) -> None:
        """Take note that this could not be read in full."""
        ...


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a walk is: the name of it, where it writes to, and inside how many archives."""

    where: str
    sink: Sink | None = None
    depth: int = 0

    def inside(self, name: str = "", sink: Sink | None = None) -> Spot:
        """Return the spot of a part of this one."""
        where = f"{self.where} > {name}" if name else self.where
        return replace(self, where=where, sink=sink, depth=self.depth + 1)


class Walk:
    """One walk through one file; what it unpacks to may not exceed a limit, in bytes."""

    def __init__(self, reader: Reader, limit_bytes: int) -> None:
        self.reader = reader
        self._left_bytes = limit_bytes

    def through(self, source: Source, spot: Spot) -> None:
        """Go through a stream of any format.

        Raises:
            SurfaceError: With a sink: what was read cannot be written again. Without, that is
                told to the reader, and the walk goes on where it can.
        """
        try:
            self._dispatch(source, spot)
        except SurfaceError as error:
            if spot.sink is not None:
                raise
            self.reader.gap(spot.where, str(error))

    def _dispatch(self, source: Source, spot: Spot) -> None:
        head = source.peek(HEAD_BYTES)
        require_readable(head)
        if is_packed(head) and spot.depth == DEEPEST:
            raise SurfaceError(
                f"more than {DEEPEST} archives lie in one another: unpack the innermost by hand"
            )
        if codec := codec_of(head):
            self._through_codec(codec, source, spot)
        elif zip_format.is_zip(head):
            zip_format.through(self, source, spot)
        elif tar_format.is_tar(head):
            tar_format.through(self, source, spot)
        else:
            self.reader.content(spot.where, source, spot.sink)

    def _through_codec(self, codec: Codec, source: Source, spot: Spot) -> None:
        heads: list[GzipHead] = []
        inner = Source(self.metered(unpacked(source, codec, heads)))
        inner.peek(1)
        if spot.sink is None:
            self.through(inner, spot.inside())
            for head in heads:
                self._named(spot.where, head)
            return
        is_gzip = codec is GZIP
        before = heads[0].encode(*self._named(spot.where, heads[0])) if is_gzip else b""
        packer = Packer(spot.sink, codec, before)
        self.through(inner, spot.inside(sink=packer))
        packer.finish()
        for skipped in () if is_gzip else heads:
            spot.sink.write(skipped.fixed + self._named(spot.where, skipped)[0])

    def _named(self, where: str, head: GzipHead) -> tuple[bytes, bytes, bytes]:
        """Return the texts of a header as they are to be."""
        name = self.reader.name
        return name(where, head.extra), name(where, head.name), name(where, head.comment)

    def metered(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what is unpacked, up to the limit.

        Raises:
            SurfaceError: It is too much.
        """
        for chunk in chunks:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                raise SurfaceError(
                    "it unpacks to so much more than its size that it may be made to fill a disk: "
                    "look at it by hand, or remove it"
                )
            yield chunk


def require_readable(head: bytes) -> None:
    """Refuse a format that hides what it holds.

    Raises:
        SurfaceError: A stream that begins like this is of such a format.
    """
    for magic, kind in _NOT_READ.items():
        if head.startswith(magic):
            raise SurfaceError(f"it is {kind}, which is not read here: unpack it, or remove it")


def is_packed(head: bytes) -> bool:
    """Tell whether a stream that begins like this is an archive, or compressed."""
    return codec_of(head) is not None or zip_format.is_zip(head) or tar_format.is_tar(head)
