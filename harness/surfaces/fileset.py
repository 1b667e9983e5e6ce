"""The log folders and media volumes of one installation, and every file in them, once.

Nothing outside of a root is ever opened: symbolic links are not followed, and each folder is
opened from the one above it, so that nobody can put a link in its place meanwhile.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from harness.errors import SurfaceError

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST: Final = 100
"""How many folders may lie in one another: each is held open while it is gone through."""
_TOO_DEEP: Final = f"it lies more than {_DEEPEST} folders deep: give it as a folder of its own"
_UNSPEAKABLE: Final = re.compile(r"[^\x20-\x7e\u00a1-\u2027\u2030-\ud7ff\ue000-\ufffd]")


class FileKind(StrEnum):
    """What a root holds, which decides what may be done to it."""

    LOG = "log"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Root:
    """One folder given by the operator; `label` names it in evidence."""

    path: Path
    kind: FileKind
    label: str


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a file is: in which root, and by which names below it; never shown as it is."""

    root: int
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path below the root."""
        return "/".join(self.parts)


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder as it was listed.

    `target` is what a link names, `broken` why it cannot be listed.
    """

    place: Place
    status: os.stat_result | None
    target: str = ""
    broken: str = ""

    @property
    def key(self) -> int:
        """What names the file whatever it is called: device and inode, in one number."""
        return version_of(self.status)[0] if self.status else -1

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return self.status.st_size if self.status else 0

    @property
    def names(self) -> int:
        """How many names the file has, hard links."""
        return self.status.st_nlink if self.status else 0

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.status is not None and stat.S_ISREG(self.status.st_mode)


@dataclass(frozen=True, slots=True)
class FileSet:
    """All roots of one run."""

    roots: tuple[Root, ...] = ()

    @classmethod
    def of(cls, log_dirs: Sequence[Path], media_dirs: Sequence[Path]) -> FileSet:
        """Return the file set of these folders, each once, under labels that differ."""
        given = [(path, FileKind.LOG) for path in log_dirs]
        given += [(path, FileKind.MEDIA) for path in media_dirs]
        roots: list[Root] = []
        for path, kind in given:
            resolved = path.resolve()
            if any(resolved == root.path for root in roots):
                continue
            label = speakable(resolved.name) or kind.value
            same = sum(root.label.partition("#")[0] == label for root in roots)
            roots.append(Root(resolved, kind, f"{label}#{same + 1}" if same else label))
        return cls(tuple(roots))

    def __bool__(self) -> bool:
        return bool(self.roots)

    def of_kind(self, kind: FileKind) -> tuple[Root, ...]:
        """Return the roots of one kind."""
        return tuple(root for root in self.roots if root.kind is kind)

    def shown(self, place: Place) -> str:
        """Return the name of a file in evidence, with its root's label in front."""
        return "/".join((self.roots[place.root].label, *map(speakable, place.parts)))

    def require_there(self, *, writable: bool) -> None:
        """See that every root is there and may be read, and changed where that is wanted.

        Raises:
            SurfaceError: One is not: nothing was touched.
        """
        for root in self.roots:
            what = "log folder" if root.kind is FileKind.LOG else "media volume"
            if not root.path.is_dir():
                raise SurfaceError(
                    f"The {what} {root.label} is not there, or is no folder: mount it, or mend "
                    "the path, and run again; nothing was touched."
                )
            if root.kind is FileKind.LOG and not _has_anything(root.path):
                raise SurfaceError(
                    f"The log folder {root.label} is empty: see that it is mounted, or leave it "
                    "out; nothing was touched."
                )
            if not os.access(root.path, os.R_OK | os.X_OK):
                raise SurfaceError(
                    f"The {what} {root.label} may not be read by this user: run as one who may; "
                    "nothing was touched."
                )
            if writable and root.kind is FileKind.LOG:
                _require_writable(root)

    def walk(self) -> Iterator[Found]:
        """Yield everything below the roots, a folder before what is in it.

        A file that has several names is yielded under each.
        """
        for number, root in enumerate(self.roots):
            try:
                handle = os.open(root.path, _FOLDER)
            except OSError as error:
                yield Found(Place(number, ()), None, broken=_reason(error))
                continue
            try:
                yield from _below(handle, Place(number, ()))
            finally:
                os.close(handle)

    @contextmanager
    def folder(self, place: Place) -> Iterator[int]:
        """Open the folder that a file lies in, following no link; yield its descriptor.

        Raises:
            OSError: It is not there any more, or is another one.
        """
        handle = os.open(self.roots[place.root].path, _FOLDER)
        try:
            for part in place.parts[:-1]:
                below = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)


def version_of(status: os.stat_result) -> tuple[int, int, int]:
    """Return which file it is, device and inode in one number, and its size and time.

    A file that is new may have the inode of one that is gone.
    """
    return status.st_dev << 64 | status.st_ino, status.st_size, status.st_mtime_ns


def open_file(file_set: FileSet, place: Place, flags: int = os.O_RDONLY) -> int:
    """Open a file itself, never what a link at its place leads to; return its descriptor.

    Raises:
        OSError: It is not there any more, or may not be opened.
    """
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with file_set.folder(place) as folder:
        return os.open(place.parts[-1], flags | safe, dir_fd=folder)


def speakable(name: str) -> str:
    """Return a name as it may be printed: what could steer a terminal is left out."""
    return _UNSPEAKABLE.sub("?", name)


def _has_anything(folder: Path) -> bool:
    """Tell whether a folder holds something; one that may not be listed does, for all we know."""
    try:
        return any(folder.iterdir())
    except OSError:
        return True


def _require_writable(root: Root) -> None:
    if os.statvfs(root.path).f_flag & os.ST_RDONLY:
        raise SurfaceError(
            f"The log folder {root.label} is mounted read-only: mount it writable, or only report "
            "what is in it with --log-treatment=report; nothing was touched."
        )


def _below(handle: int, at: Place) -> Iterator[Found]:
    try:
        with os.scandir(handle) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        yield Found(at, None, broken=_reason(error))
        return
    if len(at.parts) > _DEEPEST:
        yield Found(at, None, broken=_TOO_DEEP)
        return
    for name in names:
        place = Place(at.root, (*at.parts, name))
        try:
            status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield Found(place, status)
                yield from _folder(handle, name, place)
            elif stat.S_ISLNK(status.st_mode):
                yield Found(place, status, target=os.readlink(name, dir_fd=handle))
            else:
                yield Found(place, status)
        except FileNotFoundError:
            continue  # a rotation took it away; it is found under its new name
        except OSError as error:
            yield Found(place, None, broken=_reason(error))


def _folder(handle: int, name: str, place: Place) -> Iterator[Found]:
    below = os.open(name, _FOLDER, dir_fd=handle)
    try:
        yield from _below(below, place)
    finally:
        os.close(below)


def _reason(error: OSError) -> str:
    told = {errno.EACCES: "it may not be read by this user: run as one who may"}
    return told.get(error.errno or 0, f"it cannot be read ({error.strerror}): mend that")
