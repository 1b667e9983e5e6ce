"""Zip archives: diagnostic bundles, and what else people send one another."""

from __future__ import annotations

import errno
import io
import lzma
import struct
import warnings
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
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
)
"""What the library raises over damage: also an offset before the beginning."""
_UTF_8: Final = 0x800
_DESCRIPTOR: Final = 0x8
_DESCRIPTOR_BYTES: Final = (0, 12, 16, 20, 24)
_LOCAL_BYTES: Final = 30
_ZIP64: Final = 1
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
        _require_whole(file, old)
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


def _require_whole(file: BinaryIO, old: zipfile.ZipFile) -> None:
    """See that the members that are listed are all that there is.

    Raises:
        SurfaceError: There are bytes between or before them that no list knows of.
    """
    at = 0
    for info in sorted(old.infolist(), key=lambda one: one.header_offset):
        if info.header_offset != at:
            break
        file.seek(info.header_offset)
        fields = struct.unpack("<4s5H3L2H", file.read(_LOCAL_BYTES))
        at = info.header_offset + _LOCAL_BYTES + fields[9] + fields[10] + info.compress_size
        at += _descriptor_bytes(file, at) if info.flag_bits & _DESCRIPTOR else 0
    else:
        if at == old.start_dir:
            return
    raise SurfaceError(
        "it is a zip archive with bytes that belong to no member of its list (as where archives "
        "were put together): unpack it, or remove it"
    )


def _descriptor_bytes(file: BinaryIO, at: int) -> int:
    """Return how long what stands behind a member is: its sum and sizes, up to the next header."""
    file.seek(at)
    behind = file.read(max(_DESCRIPTOR_BYTES) + 4)
    for size in _DESCRIPTOR_BYTES:
        if behind[size : size + 4] in (b"PK\x03\x04", b"PK\x01\x02"):
            return size
    return 0


def _require_plain(info: zipfile.ZipInfo) -> None:
    """Refuse what nobody can look into.

    Raises:
        SurfaceError: The member is encrypted.
    """
    if info.flag_bits & _ENCRYPTED:
        raise SurfaceError("it is encrypted, so nobody can look inside: unpack it, or remove it")


def _made(walk: Walk, info: zipfile.ZipInfo, where: str) -> zipfile.ZipInfo:
    """Return a member's entry with its names as they are to be, and all else as it is."""
    is_utf_8 = bool(info.flag_bits & _UTF_8)
    name = walk.reader.name(where, info.orig_filename.encode("utf-8" if is_utf_8 else "cp437"))
    made = _Entry(info.filename, info.date_time)
    made.raw = name, is_utf_8
    made.comment = walk.reader.name(where, info.comment)
    made.extra = walk.reader.name(where, _without_zip64(info.extra))
    made.create_version, made.extract_version = info.create_version, info.extract_version
    made.compress_type = info.compress_type
    made.external_attr, made.internal_attr = info.external_attr, info.internal_attr
    made.create_system = info.create_system
    return made


class _Entry(zipfile.ZipInfo):
    """A member's entry whose name is written byte for byte as it was, in whatever encoding."""

    raw: tuple[bytes, bool] = (b"", False)

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  # the library's own name
        name, is_utf_8 = self.raw
        return name, self.flag_bits & ~_UTF_8 | _UTF_8 * is_utf_8


def _without_zip64(extra: bytes) -> bytes:
    """Return the extra fields but for the large sizes, which the library writes itself."""
    kept, at = b"", 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        kept += extra[at : at + 4 + size] if kind != _ZIP64 else b""
        at += 4 + size
    return kept + extra[at:]


@contextmanager
def _read() -> Iterator[None]:
    """Turn what the library raises over a damaged archive into our own error."""
    try:
        with warnings.catch_warnings():
            # They quote names.
            warnings.simplefilter("ignore")
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
