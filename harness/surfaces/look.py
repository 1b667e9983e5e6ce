"""One file, searched to its last byte, whatever it is packed in."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from harness.errors import MaskError, SurfaceError
from harness.identity import Closure, Filter, Hit, Matcher, Representation
from harness.masks import Masks
from harness.surfaces.codecs import Sink
from harness.surfaces.fileset import FileSet, Place, open_file, version_of
from harness.surfaces.passages import CHUNK_BYTES, pieces
from harness.surfaces.source import Source
from harness.surfaces.walk import HEAD_BYTES, Spot, Walk, is_packed, require_readable

_LARGEST_RATIO: Final = 200
_SPARE_BYTES: Final = 1 << 30
"""What a file may unpack to: a gigabyte, and so many times its size."""


@dataclass(frozen=True, slots=True)
class FileSearch:
    """What is searched for in files: a closure, and its masks where some may stand already."""

    closure: Closure
    masks: Masks | None = None
    matcher: Matcher = field(init=False)
    candidate: Filter = field(init=False)

    def __post_init__(self) -> None:
        matcher = Matcher(self.closure.identifiers)
        candidate = matcher.candidate | self.masks.candidate if self.masks else matcher.candidate
        object.__setattr__(self, "matcher", matcher)
        object.__setattr__(self, "candidate", candidate)

    def in_name(self, name: str) -> list[Hit]:
        """Return where a name holds an identifier."""
        data = os.fsencode(name)
        if not self.matcher.candidate(data):
            return []
        return self.matcher.hits(data, Representation.FILE_NAME)


@dataclass(slots=True)
class FileSeen:
    """What one file holds of the subject, by part of it and form.

    `opened` tells which file it was, as `version_of` does; None if none could be opened. `masks`
    are those that it holds already, `unfit` places where no mask of the run fits. `size_bytes`
    were read from the disk, `content_bytes` searched.
    """

    place: Place
    opened: tuple[int, int, int] | None = None
    packed: bool = False
    size_bytes: int = 0
    content_bytes: int = 0
    hits: dict[str, Counter[str]] = field(default_factory=dict)
    masks: int = 0
    unfit: int = 0
    gaps: list[tuple[str, str]] = field(default_factory=list)


class _Looking:
    """A reader that counts what it sees."""

    def __init__(self, search: FileSearch, seen: FileSeen) -> None:
        self._search = search
        self._seen = seen

    def content(self, where: str, chunks: Iterable[bytes], sink: Sink | None) -> None:
        del sink
        for piece, suspect in pieces(chunks, self._search.candidate):
            self._seen.content_bytes += len(piece)
            if suspect:
                self._judge(where, bytes(piece), Representation.FILE_LINE, "")

    def name(self, where: str, name: bytes) -> bytes:
        if self._search.candidate(name):
            self._judge(where, name, Representation.FILE_NAME, " in a name")
        return name

    def gap(self, where: str, why: str) -> None:
        self._seen.gaps.append((where, why))

    def _judge(self, where: str, data: bytes, kind: Representation, within: str) -> None:
        forms = Counter(f"{hit.form}{within}" for hit in self._search.matcher.hits(data, kind))
        if forms:
            self._seen.hits.setdefault(where, Counter()).update(forms)
        if masks := self._search.masks:
            self._seen.masks += masks.candidate(data) and masks.unmask(data, kind) != data
            self._seen.unfit += bool(forms) and not _fits(masks, data, kind)


def _fits(masks: Masks, data: bytes, kind: Representation) -> bool:
    try:
        masks.mask(data, kind)
    except MaskError:
        return False
    return True


def look(file_set: FileSet, place: Place, search: FileSearch) -> FileSeen:
    """Search one file; what could not be read is a gap, and what came before it counts."""
    seen = FileSeen(place)
    try:
        with os.fdopen(open_file(file_set, place), "rb", buffering=0) as file:
            _search(file, _Looking(search, seen), seen)
    except FileNotFoundError:
        pass  # a rotation took it away: it is listed again under its new name
    except OSError as error:
        why = "it may not be read by this user: run as one who may"
        if error.errno not in {errno.EACCES, errno.EPERM}:
            why = f"it cannot be read ({error.strerror}): mend that, or remove it"
        seen.gaps.append(("", why))
    except Exception as error:  # noqa: BLE001  # one strange file must not end the search of all
        why = f"reading it ended with {type(error).__name__}: look at it by hand, and report this"
        seen.gaps.append(("", why))
    return seen


def _search(file: BinaryIO, reader: _Looking, seen: FileSeen) -> None:
    status = os.fstat(file.fileno())
    seen.opened = version_of(status)
    size_bytes = seen.size_bytes = status.st_size
    head = os.pread(file.fileno(), HEAD_BYTES, 0)
    seen.packed = is_packed(head)
    if seen.packed:
        walk = Walk(reader, largest_bytes(size_bytes))
        walk.through(Source(iter(lambda: file.read(CHUNK_BYTES), b""), file), Spot(""))
        return
    try:
        require_readable(head)
    except SurfaceError as error:
        reader.gap("", str(error))
        return
    for start, end in extents(file.fileno(), size_bytes):
        reader.content("", stretch(file.fileno(), start, end), None)


def is_packed_file(file_set: FileSet, place: Place) -> bool:
    """Tell whether a file is an archive, or compressed.

    Raises:
        OSError: It cannot be opened.
    """
    file = open_file(file_set, place)
    try:
        return is_packed(os.pread(file, HEAD_BYTES, 0))
    finally:
        os.close(file)


def largest_bytes(size_bytes: int) -> int:
    """Return what a file of a size may unpack to; more than that is made to do harm."""
    return _SPARE_BYTES + _LARGEST_RATIO * size_bytes


def extents(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield from where to where a file holds data: what lies between was never written.

    What is appended meanwhile is left to a later look.
    """
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # a file system that knows of no holes
                yield end, size_bytes
            return  # nothing but a hole, or cut off meanwhile
        end = _hole(descriptor, start, size_bytes)
        yield start, end


def _hole(descriptor: int, start: int, size_bytes: int) -> int:
    try:
        return min(os.lseek(descriptor, start, os.SEEK_HOLE), size_bytes)
    except OSError:
        return size_bytes


def stretch(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of a file from one place to another."""
    while start < end and (chunk := os.pread(descriptor, min(CHUNK_BYTES, end - start), start)):
        start += len(chunk)
        yield chunk
