"""A plain file, masked where it lies: whoever is writing to it goes on, and loses nothing.

A mask is as long as what it replaces, so only those bytes are written, each time after a look
that they are still there. The file keeps its inode; what is appended meanwhile is not touched.
A kill cannot leave half a mask: the kernel writes within one page at once, and a mask that
lies across two pages is first noted in a file beside, from which a later run finishes it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise, takewhile
from typing import Final

from harness.identity import Representation
from harness.surfaces.exchange import NOTE, MovedError, beside
from harness.surfaces.fileset import FileSet, Place, open_file
from harness.surfaces.look import FileSearch, extents, stretch
from harness.surfaces.passages import pieces

Change = tuple[int, bytes, bytes]
"""From which byte on what stands in a file, and what is to stand there."""

_PAGE_BYTES: Final = 4096
_AROUND_BYTES: Final = 24
_NOTE: Final = re.compile(rb"(?P<at>[0-9]+) (?P<new>[0-9a-f]+) (?P<around>[0-9a-f]{32})\n")


def mask_in_place(file_set: FileSet, place: Place, search: FileSearch, *, withheld: bool) -> int:
    """Mask every identifier in a plain file; return how many there were.

    With `withheld` nothing is written.

    Raises:
        MaskError: An identifier stands where no mask fits; what came before it is masked.
        MovedError: The file was cut off or written to otherwise than at its end.
        OSError: The file system refused.
    """
    flags = os.O_RDONLY if withheld else os.O_RDWR
    with file_set.folder(place) as folder:
        file = open_file(file_set, place, flags)
        try:
            status = os.fstat(file)
            identifiers = 0
            for found, change in _changes(file, status.st_size, search):
                identifiers += found
                if not withheld:
                    _write(folder, file, status, change)
            if identifiers and not withheld:
                os.fsync(file)
                _keep_times(file, status)
        finally:
            os.close(file)
    return identifiers


def _changes(file: int, size_bytes: int, search: FileSearch) -> Iterator[tuple[int, list[Change]]]:
    """Yield, passage by passage, how many identifiers it holds, and the changes that mask them."""
    matcher, masks = search.matcher, search.masks
    for start, end in extents(file, size_bytes):
        at = start
        for piece, suspect in pieces(stretch(file, start, end), search.candidate):
            old = bytes(piece) if suspect else b""
            if old and masks and matcher.candidate(old):
                hits = len(matcher.hits(old, Representation.FILE_LINE))
                new = masks.mask(old, Representation.FILE_LINE)
                yield hits, list(_differences(at, old, new))
            at += len(piece)


def _differences(at: int, old: bytes, new: bytes) -> Iterator[Change]:
    """Yield where two texts of one length differ; what is near to one another is one change.

    So nothing that is changed stands around another change, which is known again by that.
    """
    places = [place for place, differs in enumerate(map(int.__ne__, old, new)) if differs]
    while places:
        near = takewhile(lambda pair: pair[1] - pair[0] <= 2 * _AROUND_BYTES, pairwise(places))
        last = max((pair[1] for pair in near), default=places[0])
        first = places[0]
        yield at + first, old[first : last + 1], new[first : last + 1]
        places = [place for place in places if place > last]


def _write(folder: int, file: int, status: os.stat_result, changes: list[Change]) -> None:
    across = [one for one in changes if _crosses_a_page(one)]
    if not across:
        _write_all(file, changes)
        return
    with beside(folder, status, NOTE) as (note, _):
        for at, old, new in across:
            os.write(note, b"%d %b %b\n" % (at, new.hex().encode(), _around(file, at, len(old))))
        os.fsync(note)
        os.fsync(folder)
        _write_all(file, changes)
        os.fsync(file)


def _crosses_a_page(change: Change) -> bool:
    at, _, new = change
    return at // _PAGE_BYTES != (at + len(new) - 1) // _PAGE_BYTES


def _write_all(file: int, changes: list[Change]) -> None:
    for at, old, new in changes:
        if os.pread(file, len(old), at) != old:
            raise MovedError("it was cut off, or written to otherwise than at its end, meanwhile")
        os.pwrite(file, new, at)
        if os.fstat(file).st_size < at + len(new):
            raise MovedError("it was cut off meanwhile")


def _around(file: int, at: int, size: int) -> bytes:
    """Return a digest of what stands around a place, to be known again."""
    before = max(0, at - _AROUND_BYTES)
    data = os.pread(file, at - before, before) + b"\0" + os.pread(file, _AROUND_BYTES, at + size)
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode()


def finish(file: int, note: bytes) -> None:
    """Write what a killed run had noted and may have written by half only."""
    for match in _NOTE.finditer(note):
        at, new = int(match["at"]), bytes.fromhex(match["new"].decode())
        if _around(file, at, len(new)) == match["around"]:
            os.pwrite(file, new, at)
    os.fsync(file)


def _keep_times(file: int, status: os.stat_result) -> None:
    """Give a file its times back, unless somebody else has written to it."""
    if os.fstat(file).st_size == status.st_size:
        with suppress(PermissionError):
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
