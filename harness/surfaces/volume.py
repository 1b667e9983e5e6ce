"""A media volume: walked without leaving it, and looked at before anything is deleted.

A volume that is not mounted, or that nothing can be removed from, must be known while every
row is still there: afterwards nobody would know any more which files to remove.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import SurfaceError
from harness.model import MediaReferences
from harness.stores.media_words import keys

_PROBE: Final = ".erasure-probe-"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder of media files, and what it is called in evidence."""

    label: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a volume as it was found: its folder inside the volume, its name, its status."""

    volume: Volume
    folder: str
    name: str
    status: os.stat_result

    @property
    def path(self) -> str:
        """The path inside the volume."""
        return os.path.join(self.folder, self.name)  # noqa: PTH118  # bytes of any kind

    @property
    def place(self) -> tuple[str, str]:
        """What no other file of the volumes has: the volume's folder, and the path in it."""
        return str(self.volume.folder), self.path

    @property
    def surface(self) -> str:
        """What the file is called in evidence: the volume's label and the path, printable."""
        path = "".join(one if one.isprintable() else "\ufffd" for one in self.path)
        return f"{self.volume.label}/{path}"

    @property
    def is_regular(self) -> bool:
        """Whether it is a file with a content of its own, and neither link nor device."""
        return stat.S_ISREG(self.status.st_mode)


def walk(volume: Volume) -> Iterator[tuple[Entry, int]]:
    """Yield every file, and a descriptor of the folder that it is in, as long as it is yielded.

    No symbolic link is followed, other than one that is the volume itself.

    Raises:
        SurfaceError: A folder cannot be read, so nobody knows what is in it.
    """
    root = str(volume.folder.resolve())
    try:
        for place, folders, names, descriptor in os.fwalk(root, onerror=_refuse):
            inside = os.path.relpath(place, root)
            for name in (*names, *folders):
                status = _status(name, descriptor)
                if status and not stat.S_ISDIR(status.st_mode):
                    yield Entry(volume, "" if inside == "." else inside, name, status), descriptor
    except OSError as error:
        raise SurfaceError(
            f"A folder of the media volume {volume.label} cannot be read ({error.strerror}): run "
            "as a user who may read, and delete in, every folder of it."
        ) from None


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a folder that went meanwhile holds nothing
        raise error


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


@contextmanager
def opened(volume: Volume, folder: str) -> Iterator[int]:
    """Open a folder inside a volume, one component after the other, and follow no link.

    Raises:
        OSError: It is not there any more, is a link now, or may not be opened.
    """
    descriptor = os.open(volume.folder.resolve(), _FOLDER_FLAGS)
    try:
        for component in folder.split("/") if folder else ():
            inner = os.open(component, _FOLDER_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def look(volumes: Sequence[Volume], *, writable: bool = True) -> None:
    """See that each volume is there, may be read, and is not read-only.

    To be called before a transaction begins; a search that changes nothing needs no
    `writable` volume.

    Raises:
        SurfaceError: One is not; the sentence says what to do.
    """
    for volume in volumes:
        try:
            with opened(volume, "") as descriptor:
                read_only = _is_read_only(descriptor)
                may_read = _may(descriptor, os.R_OK | os.X_OK)
        except OSError as error:
            raise _refused(volume, error) from None
        if not may_read:
            raise SurfaceError(
                f"The media volume {volume.label} may not be read: run as a user who may."
            )
        if writable and read_only:
            raise _read_only(volume)


def require_removable(volumes: Sequence[Volume], references: MediaReferences) -> None:
    """See that files can be removed wherever some that rows lead to may be.

    To be called when it is known where the rows lead, and before they are deleted. A file
    that nobody could guess is made and removed in each folder concerned.

    Raises:
        SurfaceError: They cannot be, or a volume is empty; the sentence says what to do.
    """
    look(volumes)
    if not references:
        return
    names = {key for one in references.gone for name in one.names for key in keys(name)}
    by_content = any(one.digests for one in references.gone)
    for volume in volumes:
        concerned: dict[str, list[Entry]] = {}
        empty = True
        for entry, _ in walk(volume):
            empty = False
            if by_content or keys(entry.name) & names:
                concerned.setdefault(entry.folder, []).append(entry)
        if empty:
            raise SurfaceError(
                f"The media volume {volume.label} is empty although rows lead to media: see that "
                "it is mounted, and run again; leave it out if it is no media volume."
            )
        for folder, entries in concerned.items():
            _require_removable_in(volume, folder, entries)


def _require_removable_in(volume: Volume, folder: str, entries: Sequence[Entry]) -> None:
    try:
        with opened(volume, folder) as descriptor:
            if _is_read_only(descriptor):
                raise _read_only(volume)
            if not _may(descriptor, os.W_OK | os.X_OK):
                raise _forbidden(volume)
            if not all(_may_unlink(os.fstat(descriptor), entry.status) for entry in entries):
                raise SurfaceError(
                    f"In a folder of the media volume {volume.label} only a file's owner may "
                    "remove it (its sticky bit is set): run as the client's user, or as root."
                )
            _probe(descriptor)
    except OSError as error:
        raise _refused(volume, error) from None


def _probe(descriptor: int) -> None:
    """Make and remove a file that nobody could guess: modes do not tell all, as root's do not."""
    name = _PROBE + secrets.token_hex(16)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o600, dir_fd=descriptor))
    os.unlink(name, dir_fd=descriptor)


def _may_unlink(folder: os.stat_result, file: os.stat_result) -> bool:
    """Tell whether we may remove a file from a folder that we may write to."""
    mine = os.geteuid() in {0, folder.st_uid, file.st_uid}
    return mine or not folder.st_mode & stat.S_ISVTX


def _is_read_only(descriptor: int) -> bool:
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)


def _may(descriptor: int, mode: int) -> bool:
    return os.access(".", mode, dir_fd=descriptor, effective_ids=True)


def _refused(volume: Volume, error: OSError) -> SurfaceError:
    label = volume.label
    if isinstance(error, FileNotFoundError):
        return SurfaceError(f"The media volume {label} is not there: mount it, and run again.")
    if isinstance(error, NotADirectoryError):
        return SurfaceError(f"The media volume {label} is not a folder: name the folder itself.")
    if isinstance(error, PermissionError):
        return _forbidden(volume)
    return SurfaceError(
        f"Nothing can be removed from the media volume {label} ({error.strerror}): see that it "
        "can be written to, and run again."
    )


def _forbidden(volume: Volume) -> SurfaceError:
    return SurfaceError(
        f"Files of the media volume {volume.label} may not be read or removed: run as a user who "
        "may write to every folder of it, as the client's does."
    )


def _read_only(volume: Volume) -> SurfaceError:
    return SurfaceError(
        f"The media volume {volume.label}, or a folder in it, is read-only: mount it so that it "
        "can be written to, and run again."
    )
