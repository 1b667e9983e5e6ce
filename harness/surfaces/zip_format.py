"""Zip archives: diagnostic bundles, and what else people send one another."""

from __future__ import annotations

import errno
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from harness.errors import SurfaceError
from harness.surfaces.codecs import BrokenError, Sink
from harness.surfaces.passages import CHUNK_BYTES
from harness.surfaces.source import Source

if TYPE_CHECKING:
    from harness.surfaces.walk import Spot, Walk

_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED: Final = 0x1
_LARGE_BYTES: Final = 1 << 31
_IN_MEMORY_BYTES: Final = 64 << 20
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError)
"""What the library raises over damage: also an offset before the beginning."""
_BROKEN_ERRNOS: Final = (None, errno.EINVAL)
"""Of errors of the system: bzip2's own has no number, and such an offset in a file this one."""


def is_zip(head: bytes) -> bool:
    """Tell whether a stream that begins like this is a zip archive."""
    return head.startswith(_MAGIC)


def through(walk: Walk, source: Source, spot: Spot) -> None:
    """Go through every member, or write the archive again with what the reader makes of them.

    Raises:
        SurfaceError: It is broken, or too large to lie in another archive.
    """
    file = source.file or _in_memory(source)
    with _read(), zipfile.ZipFile(file) as old:
        comment = walk.reader.name(spot.where, old.comment)
        if spot.sink is None:
            for info in old.infolist():
                _member(walk, old, info, spot, None)
            return
        # The end of a zip tells where its members begin: it is written as a file of its own.
        made = cast("BinaryIO", spot.sink) if source.file else io.BytesIO()
        with zipfile.ZipFile(made, "w") as new:
            for info in old.infolist():
                _member(walk, old, info, spot, new)
            new.comment = comment
        if isinstance(made, io.BytesIO):
            spot.sink.write(made.getbuffer())


def _member(
    walk: Walk,
    old: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    spot: Spot,
    new: zipfile.ZipFile | None,
) -> None:
    part = spot.inside(info.filename)
    made = _made(walk, info, part.where)
    try:
        _require_plain(info)
        with _read(), old.open(info) as stream:
            content = Source(walk.metered(iter(lambda: stream.read(CHUNK_BYTES), b"")))
            if new is None:
                walk.through(content, part)
                return
            with new.open(made, "w", force_zip64=info.file_size >= _LARGE_BYTES) as sink:
                walk.through(content, spot.inside(info.filename, cast("Sink", sink)))
    except SurfaceError as error:
        if new is not None:
            raise
        walk.reader.gap(part.where, str(error))


def _require_plain(info: zipfile.ZipInfo) -> None:
    """Refuse what nobody can look into.

    Raises:
        SurfaceError: The member is encrypted.
    """
    if info.flag_bits & _ENCRYPTED:
        raise SurfaceError("it is encrypted, so nobody can look inside: unpack it, or remove it")


def _made(walk: Walk, info: zipfile.ZipInfo, where: str) -> zipfile.ZipInfo:
    """Return a member's entry with its names as they are to be, and all else as it is."""
    name = walk.reader.name(where, info.filename.encode("utf-8", "surrogateescape"))
    made = zipfile.ZipInfo(name.decode("utf-8", "surrogateescape"), info.date_time)
    made.comment = walk.reader.name(where, info.comment)
    made.compress_type = info.compress_type
    made.external_attr, made.internal_attr = info.external_attr, info.internal_attr
    made.create_system = info.create_system
    return made


@contextmanager
def _read() -> Iterator[None]:
    """Turn what the library raises over a damaged archive into our own error."""
    try:
        yield
    except NotImplementedError:
        raise SurfaceError(
            "it is packed in a way of zip that is not read here: unpack it, or remove it"
        ) from None
    except _BROKEN:
        raise _broken() from None
    except OSError as error:
        if error.errno not in _BROKEN_ERRNOS:
            raise
        raise _broken() from None


def _broken() -> BrokenError:
    return BrokenError(
        "it is a zip archive that breaks off or is damaged: take it from a backup, or remove it"
    )


def _in_memory(source: Source) -> BinaryIO:
    """Return a zip that lies in another archive as a file in memory.

    Raises:
        SurfaceError: It is too large.
    """
    file = io.BytesIO()
    for chunk in source:
        file.write(chunk)
        if file.tell() > _IN_MEMORY_BYTES:
            raise SurfaceError(
                f"a zip of more than {_IN_MEMORY_BYTES >> 20} MiB lies in another archive: unpack "
                "the outer one"
            )
    return file
