"""A stream that is read once, from front to back, and whose beginning may be looked at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from harness.surfaces.passages import CHUNK_BYTES


class Source:
    """Bytes to come: of a file, or of what a file unpacks to.

    `file` is the file itself where the bytes are just its own, and may be read in any order.
    """

    def __init__(self, chunks: Iterator[bytes], file: BinaryIO | None = None) -> None:
        self._chunks = chunks
        self._ahead = b""
        self.file = file

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them; fewer only where there are no more."""
        while len(self._ahead) < size and (chunk := next(self._chunks, b"")):
            self._ahead += chunk
        return self._ahead[:size]

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Take `size` bytes or fewer; none mean the end."""
        taken = self._ahead or next(self._chunks, b"")
        self._ahead = taken[size:]
        return taken[:size]

    def unread(self, data: bytes) -> None:
        """Put bytes back that were taken too many."""
        self._ahead = data + self._ahead

    def __iter__(self) -> Iterator[bytes]:
        """Take all that is left, chunk by chunk."""
        while chunk := self.read():
            yield chunk


def file_chunks(file: BinaryIO, count: Callable[[int], None]) -> Iterator[bytes]:
    """Yield what a file holds, up to its end as it is when it is reached."""
    while chunk := file.read(CHUNK_BYTES):
        count(len(chunk))
        yield chunk
