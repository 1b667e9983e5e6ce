"""An archive, written again beside the old one with every identifier masked, then exchanged.

The copy is read back before it takes the old one's place: with its masks turned into
identifiers again it must be the old content, byte for byte, or it is thrown away.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, cast

from harness.errors import SurfaceError
from harness.identity import Representation
from harness.surfaces.codecs import Sink
from harness.surfaces.exchange import beside, take_place
from harness.surfaces.fileset import FileSet, Place, open_file
from harness.surfaces.look import FileSearch, largest_bytes
from harness.surfaces.passages import CHUNK_BYTES, pieces
from harness.surfaces.source import Source
from harness.surfaces.walk import Spot, Walk

_DIGEST_BYTES: Final = 20
_SPARE_BYTES: Final = 16 << 20
"""What is left free on the disk that holds the archives."""


@dataclass(slots=True)
class _Account:
    """What an archive held: the contents of its parts, in order, as a digest, and their names."""

    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES))
    names: list[bytes] = field(default_factory=list)
    _part_bytes: int = 0

    def add(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self._part_bytes += len(data)

    def end(self) -> None:
        """A part is over: the same bytes in other parts are another archive."""
        self.digest.update(self._part_bytes.to_bytes(8, "big"))
        self._part_bytes = 0

    @property
    def sums(self) -> tuple[bytes, list[bytes]]:
        """What two accounts of the same content have in common."""
        return self.digest.digest(), sorted(self.names)


@dataclass(slots=True)
class _Masking:
    """A reader that masks what it is given, and accounts for it as it was."""

    search: FileSearch
    identifiers: int = 0
    account: _Account = field(default_factory=_Account)

    def content(self, where: str, chunks: Iterable[bytes], sink: Sink | None) -> None:
        del where
        for piece, suspect in pieces(chunks, self.search.candidate):
            old = new = piece
            if suspect:
                old = self._old(bytes(piece), Representation.FILE_LINE)
                new = self._masked(bytes(piece), Representation.FILE_LINE)
            self.account.add(old)
            cast("Sink", sink).write(new)
        self.account.end()

    def name(self, where: str, name: bytes) -> bytes:
        del where
        self.account.names.append(self._old(name, Representation.FILE_NAME))
        return self._masked(name, Representation.FILE_NAME)

    def gap(self, where: str, why: str) -> None:
        del where
        raise SurfaceError(why)

    def _old(self, data: bytes, kind: Representation) -> bytes:
        """Return what stood here before any mask of the run, of an earlier round too."""
        masks = self.search.masks
        return masks.unmask(data, kind) if masks and masks.candidate(data) else data

    def _masked(self, data: bytes, kind: Representation) -> bytes:
        matcher, masks = self.search.matcher, self.search.masks
        if masks is None or not matcher.candidate(data):
            return data
        self.identifiers += len(matcher.hits(data, kind))
        return masks.mask(data, kind)


@dataclass(slots=True)
class _Comparing:
    """A reader that turns masks back, accounts for what that gives, and counts what was left."""

    search: FileSearch
    left: int = 0
    account: _Account = field(default_factory=_Account)

    def content(self, where: str, chunks: Iterable[bytes], sink: Sink | None) -> None:
        del where, sink
        for piece, suspect in pieces(chunks, self.search.candidate):
            old = self._old(bytes(piece), Representation.FILE_LINE) if suspect else piece
            self.account.add(old)
        self.account.end()

    def name(self, where: str, name: bytes) -> bytes:
        del where
        self.account.names.append(self._old(name, Representation.FILE_NAME))
        return name

    def gap(self, where: str, why: str) -> None:
        del where
        raise SurfaceError(why)

    def _old(self, data: bytes, kind: Representation) -> bytes:
        matcher, masks = self.search.matcher, self.search.masks
        if matcher.candidate(data):
            self.left += len(matcher.hits(data, kind))
        return masks.unmask(data, kind) if masks and masks.candidate(data) else data


def rewrite(file_set: FileSet, place: Place, search: FileSearch, *, withheld: bool) -> int:
    """Mask every identifier in an archive; return how many there were.

    Owner, mode, times and extended attributes are kept. With `withheld` the copy is made and
    compared, and thrown away.

    Raises:
        MaskError: An identifier stands where no mask fits; the archive is as it was.
        MovedError: The archive was renamed or written to meanwhile; likewise.
        SurfaceError: It cannot be read or written in full; likewise.
        OSError: The file system refused; likewise.
    """
    name = place.parts[-1]
    with (
        file_set.folder(place) as folder,
        os.fdopen(open_file(file_set, place), "rb", buffering=0) as old,
    ):
        status = os.fstat(old.fileno())
        _require_room(folder, status)
        with beside(folder, status) as (handle, copy), os.fdopen(os.dup(handle), "w+b") as new:
            masking = _Masking(search)
            _through(old, masking, cast("Sink", new))
            new.flush()
            new.seek(0)
            _compare(new, masking, search)
            _keep(status, old.fileno(), handle)
            os.fsync(handle)
            if not withheld:
                take_place(folder, copy, name, status)
    return masking.identifiers


def _through(file: BinaryIO, reader: _Masking | _Comparing, sink: Sink | None) -> None:
    walk = Walk(reader, largest_bytes(os.fstat(file.fileno()).st_size))
    source = Source(iter(lambda: file.read(CHUNK_BYTES), b""), file)
    walk.through(source, Spot("", sink))


def _compare(new: BinaryIO, masking: _Masking, search: FileSearch) -> None:
    """See that a copy is what it was made from, but for the masks.

    Raises:
        SurfaceError: It is not.
    """
    comparing = _Comparing(search)
    _through(new, comparing, None)
    if comparing.left or comparing.account.sums != masking.account.sums:
        raise SurfaceError(
            "its masked copy did not compare with it, and was thrown away: report this, and mask "
            "it by hand"
        )


def _require_room(folder: int, status: os.stat_result) -> None:
    """See that the copy fits on the disk, before it is begun.

    Raises:
        SurfaceError: It does not.
    """
    disk = os.fstatvfs(folder)
    if disk.f_bavail * disk.f_frsize < status.st_size + _SPARE_BYTES:
        raise SurfaceError("there is no room on its disk for a masked copy: make room, and resume")


def _keep(status: os.stat_result, old: int, new: int) -> None:
    """Give a copy the owner, mode, extended attributes and times of the file it was made from.

    Raises:
        SurfaceError: It may not have them.
    """
    try:
        os.fchown(new, status.st_uid, status.st_gid)
        os.fchmod(new, status.st_mode & 0o7777)
        for attribute in os.listxattr(old):
            value = os.getxattr(old, attribute)
            if attribute not in os.listxattr(new) or os.getxattr(new, attribute) != value:
                os.setxattr(new, attribute, value)
    except PermissionError:
        raise SurfaceError(
            "its owner, mode or attributes could not be given to a masked copy: run as its owner "
            "or as root"
        ) from None
    except OSError as error:
        raise SurfaceError(f"its attributes could not be kept ({error.strerror})") from None
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
