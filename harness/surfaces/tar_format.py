"""Tar archives: diagnostic bundles, mostly inside gzip."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Self, cast

from harness.errors import SurfaceError
from harness.surfaces.codecs import BrokenError, Sink
from harness.surfaces.passages import CHUNK_BYTES
from harness.surfaces.source import Source

if TYPE_CHECKING:
    from harness.surfaces.walk import Spot, Walk

_BLOCK_BYTES: Final = 512
_RECORD_BYTES: Final = 20 * _BLOCK_BYTES
_IN_MEMORY_BYTES: Final = 64 << 20
_GNU_MAGIC: Final = b"ustar  \0"
_NAMES: Final = ("name", "linkname", "uname", "gname")
_OF_THE_NEXT: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LARGEST_HEADER_BYTES: Final = 1 << 20
# What is worked out anew from the member itself.
_DERIVED: Final = {"path", "linkpath", "size"}
Kind = Literal[1, 2]


def is_tar(head: bytes) -> bool:
    """Tell whether the first block is a tar header: its checksum is right, whatever its kind."""
    with suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        return True
    return False


def through(walk: Walk, source: Source, spot: Spot) -> None:
    """Go through every member, or write the archive again with what the reader makes of them.

    Raises:
        SurfaceError: It is broken, or cannot be written again as it was.
    """
    is_gnu = source.peek(_BLOCK_BYTES)[257:265] == _GNU_MAGIC
    kind: Kind = tarfile.GNU_FORMAT if is_gnu else tarfile.PAX_FORMAT
    written_bytes = 0
    headers = _headers()
    with _read(), _opened(source, headers) as tar:
        for info in tar:
            part = spot.inside(info.name)
            made = _made(walk, info, part.where)
            if spot.sink is None:
                _content(walk, tar, info, part)
            else:
                written_bytes += _write(walk, tar, (info, made), spot, kind)
        _require_end(tar, headers)
    if spot.sink is not None:
        ending_bytes = 2 * _BLOCK_BYTES
        filling_bytes = -(written_bytes + ending_bytes) % _RECORD_BYTES
        spot.sink.write(b"\0" * (ending_bytes + filling_bytes))


class _Header(tarfile.TarInfo):
    """A header, of which the last that was read is kept, and no large one is read."""

    last: bytes = b""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        cls.last = bytes(buf)
        info = super().frombuf(buf, encoding, errors)
        if info.type in _OF_THE_NEXT and info.size > _LARGEST_HEADER_BYTES:
            raise tarfile.ReadError("a header is too large")
        return info


def _headers() -> type[_Header]:
    """Return a class of headers for one archive alone."""
    return type("_Header", (_Header,), {})


def _opened(source: Source, headers: type[_Header]) -> tarfile.TarFile:
    return tarfile.open(
        tarinfo=headers,
        fileobj=cast("BinaryIO", source),
        mode="r|",
        bufsize=_RECORD_BYTES,
        encoding="utf-8",
        errors="surrogateescape",
    )


def _require_end(tar: tarfile.TarFile, headers: type[_Header]) -> None:
    """See that it ends as it should, and nothing but zeros follows.

    Behind a link or folder that has a content, against its kind, no header is found either.

    Raises:
        BrokenError: It does not, or something does.
    """
    if headers.last.strip(b"\0") or len(headers.last) < _BLOCK_BYTES:
        raise BrokenError(
            "it is a tar archive that breaks off or is damaged: take it from a backup, or remove it"
        )
    stream = cast("BinaryIO", tar.fileobj)
    for rest in iter(lambda: stream.read(_RECORD_BYTES), b""):
        if rest.strip(b"\0"):
            raise BrokenError(
                "it is a tar archive with something behind its end that was not searched: look at "
                "it by hand"
            )


def _made(walk: Walk, info: tarfile.TarInfo, where: str) -> tarfile.TarInfo:
    """Return a member's header with its names as they are to be."""
    made = copy(info)
    for field in _NAMES:
        name = walk.reader.name(where, getattr(info, field).encode("utf-8", "surrogateescape"))
        setattr(made, field, name.decode("utf-8", "surrogateescape"))
    made.pax_headers = {
        key: walk.reader.name(where, text.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
        for key, text in info.pax_headers.items()
        if key not in _DERIVED
    }
    return made


def _content(walk: Walk, tar: tarfile.TarFile, info: tarfile.TarInfo, spot: Spot) -> None:
    if _holds_data(info):
        stream = cast("BinaryIO", tar.extractfile(info))
        walk.through(Source(walk.metered(iter(lambda: stream.read(CHUNK_BYTES), b""))), spot)


def _holds_data(info: tarfile.TarInfo) -> bool:
    """Tell whether data stand behind a header; of an unknown kind, they do."""
    return info.isreg() or info.type not in tarfile.SUPPORTED_TYPES


def _write(
    walk: Walk,
    tar: tarfile.TarFile,
    infos: tuple[tarfile.TarInfo, tarfile.TarInfo],
    spot: Spot,
    kind: Kind,
) -> int:
    """Write a member again; return how many bytes it takes."""
    info, made = infos
    sink = cast("Sink", spot.sink)
    if info.issparse():
        raise SurfaceError(
            "it holds a sparse member, which cannot be written again as it was: mask it by hand"
        )
    # A packed member may become a little longer or shorter, and its size stands before it.
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as aside:
        _content(walk, tar, info, spot.inside(info.name, cast("Sink", aside)))
        made.size = aside.tell() if _holds_data(info) else info.size
        head = made.tobuf(kind, "utf-8", "surrogateescape")
        sink.write(head)
        aside.seek(0)
        while data := aside.read(CHUNK_BYTES):
            sink.write(data)
        content_bytes = aside.tell()
    filling = b"\0" * (-content_bytes % _BLOCK_BYTES)
    sink.write(filling)
    return len(head) + content_bytes + len(filling)


@contextmanager
def _read() -> Iterator[None]:
    """Turn what the library raises over a damaged archive into our own error."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, OverflowError):
        raise BrokenError(
            "it is a tar archive that breaks off or is damaged: take it from a backup, or remove it"
        ) from None
