"""The two steps of a search: a filter over whole rows, and an exact check of single cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Final

from harness.errors import MaskError
from harness.identity.needles import Filter
from harness.identity.packed import Hit, in_bytes, in_text
from harness.identity.spelling import Identifier
from harness.identity.wrapped import in_base64, in_hexadecimal


class Representation(StrEnum):
    """What a surface holds, which decides in which forms an identifier can stand there."""

    TEXT = "text"
    JSON = "JSON"
    BLOB = "blob"
    INTEGER = "integer"
    FILE_LINE = "file line"
    FILE_NAME = "file name"


_OF_BYTES: Final = (Representation.BLOB, Representation.FILE_LINE)
"""What may hold more than text: files are read as they lie there."""


class Matcher:
    """Finds identifiers in cells, exactly, and replaces them."""

    def __init__(self, identifiers: Sequence[Identifier]) -> None:
        self.identifiers = tuple(identifiers)
        self.candidate = Filter(identifiers)
        self._coded = Filter(identifiers, only_codes=True)

    def hits(self, cell: bytes, representation: Representation) -> list[Hit]:
        """Return where a cell holds an identifier, in order, each place once."""
        if representation is Representation.INTEGER:
            return list(_integers(cell, self.identifiers))
        found: list[Hit] = []
        for hit in sorted(self._all(cell, representation), key=lambda hit: hit.start):
            if not found or hit.start >= found[-1].end:
                found.append(hit)
        return found

    def forms(self, cell: bytes, representation: Representation) -> Counter[str]:
        """Count the forms in which a cell holds an identifier."""
        return Counter(hit.form for hit in self.hits(cell, representation))

    def replace(
        self,
        cell: bytes,
        representation: Representation,
        others: Mapping[Identifier, Identifier],
    ) -> bytes:
        """Return the cell with each identifier replaced, and all around it as it was.

        Raises:
            MaskError: The cell would change its length.
        """
        parts: list[bytes] = []
        position = 0
        for hit in self.hits(cell, representation):
            new = hit.rewrite(others[hit.identifier])
            if len(new) != hit.end - hit.start and representation is not Representation.INTEGER:
                raise MaskError(
                    f"An identifier ({hit.form}) stands where a mask would change the length of "
                    "what is kept: erase this cell by hand."
                )
            parts += [cell[position : hit.start], new]
            position = hit.end
        return b"".join([*parts, cell[position:]])

    def _all(self, cell: bytes, representation: Representation) -> Iterator[Hit]:
        yield from in_text(cell, self.identifiers)
        if representation in _OF_BYTES:
            yield from in_bytes(cell, self.identifiers)
        if self._coded(cell):
            yield from in_base64(cell, self.identifiers, self._inside)
            inside = partial(self._inside, from_digits=True)
            yield from in_hexadecimal(cell, self.identifiers, inside)

    def _inside(
        self, decoded: bytes, identifiers: Sequence[Identifier], *, from_digits: bool = False
    ) -> Iterator[Hit]:
        """Yield what stands inside a code; codes inside codes are not looked into."""
        if self.candidate(decoded):
            yield from in_text(decoded, identifiers)
            yield from in_bytes(decoded, identifiers, from_digits=from_digits)


def _integers(cell: bytes, identifiers: Sequence[Identifier]) -> Iterator[Hit]:
    """Yield the identifier that an integer column holds; a decimal's zeros are no more."""
    whole, _, fraction = cell.partition(b".")
    for one in identifiers:
        if whole == str(one.integer).encode("ascii") and not fraction.strip(b"0"):
            yield Hit(0, len(whole), one, "integer", _integer, whole=True)


def _integer(other: Identifier) -> bytes:
    return str(other.integer).encode("ascii")


NOBODY: Final = Matcher(())
"""The matcher that finds nothing: for store sets that only have to stay as they are."""
