"""Which media files rows lead to: read from rows that go, looked for in those that stay.

A file has a name, in most cases a UUID, and a content with a SHA-256 digest. A row leads to it
by a path or URL, whose last component is the name, by the name itself, or by the digest, in
base64 or hexadecimal. What the columns hold on premises is inferred, so a row that stays is
believed wherever it says a name or a digest: in any cell of any table.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Final
from urllib.parse import unquote_to_bytes

from harness.manifest import Manifest, MediaRole
from harness.model import MediaReference, MediaReferences, RowClass, TableSchema
from harness.stores.aliases import objects
from harness.stores.media_words import UUID, Words
from harness.stores.protocol import StoreSet

_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{43}=?")
_LONGEST_NAME_BYTES: Final = 255
_NOWHERE: Final = (b"", b".", b"..")
_MEMBERS: Final[dict[str, MediaRole]] = {
    "file": "path",
    "link": "path",
    "url": "path",
    "id": "name",
    "filename": "name",
    "sha256": "hash",
}
"""What an object of a notification about media says of its file; an `id` is one if it is a UUID.

Source: the client's webhook notifications, objects of type `image`, `document` and the like.
"""


class LeadingRows:
    """Collects what the rows of one table lead to, as they are found to go or to be masked."""

    def __init__(self, store_set: StoreSet, table: TableSchema, manifest: Manifest) -> None:
        description = manifest.table(table.store, table.label)
        roles = dict(description.media) if description else {}
        self._columns = [
            (index, roles[column.name])
            for index, column in enumerate(table.columns)
            if column.name in roles
        ]
        self._decode = store_set.decoder(table)
        self._found: dict[RowClass, set[MediaReference]] = {
            RowClass.SUBJECT: set(),
            RowClass.MENTION: set(),
        }

    def note(self, kind: RowClass, row: bytes) -> None:
        """Read where a row leads, unless it is a bystander's that mentions nobody."""
        if not self._columns or kind not in self._found:
            return
        cells = self._decode(row)
        said = ((cells[index], role) for index, role in self._columns)
        self._found[kind].update(read_references(said))

    @property
    def references(self) -> MediaReferences:
        """All that was collected."""
        gone, kept = (frozenset(self._found[kind]) for kind in self._found)
        return MediaReferences(gone, kept)


def together(references: Iterable[MediaReferences]) -> MediaReferences:
    """Return what the rows of all tables lead to."""
    return reduce(or_, references, MediaReferences())


def read_references(cells: Iterable[tuple[bytes | None, MediaRole]]) -> Iterator[MediaReference]:
    """Yield what the media cells of one row say: of one file, and of those that documents name."""
    said = [(cell, role) for cell, role in cells if cell]
    yield from _read([one for one in said if one[1] != "document"])
    for cell, role in said:
        if role == "document":
            yield from _in_document(cell)


def _read(said: Iterable[tuple[bytes, MediaRole]]) -> Iterator[MediaReference]:
    """Yield what is said of one file, if it is anything."""
    names: set[str] = set()
    digests: set[bytes] = set()
    for cell, role in said:
        if role == "hash":
            digests.update(_digests(cell))
        else:
            names.update(map(spoken, _names(cell)))
    if names or digests:
        yield MediaReference(frozenset(names), frozenset(digests))


def _in_document(cell: bytes) -> Iterator[MediaReference]:
    """Yield what each object of a JSON document says of a file."""
    try:
        document = json.loads(cell)
    except ValueError:
        return
    for one in objects(document):
        yield from _read(
            (value.encode("utf-8", "replace"), role)
            for key, role in _MEMBERS.items()
            if isinstance(value := one.get(key), str)
            and (key != "id" or UUID.fullmatch(value.encode("utf-8", "replace")))
        )


def spoken(name: bytes) -> str:
    """Return a file's name as text, in the way in which Python speaks to the system of it."""
    return name.decode("utf-8", "surrogateescape")


def _names(cell: bytes) -> Iterator[bytes]:
    """Yield the last component of a path, URL or name, also as it is without escapes."""
    path = cell
    if b"://" in cell:
        path = re.split(rb"[?#]", cell, maxsplit=1)[0]
    for one in {path, unquote_to_bytes(path)}:
        name = one.rpartition(b"/")[2]
        if name not in _NOWHERE and b"\0" not in name and len(name) <= _LONGEST_NAME_BYTES:
            yield name


def _digests(cell: bytes) -> Iterator[bytes]:
    """Yield the SHA-256 digest that a cell is, in hexadecimal or either base64."""
    text = cell.strip()
    if _HEXADECIMAL.fullmatch(text):
        yield binascii.unhexlify(text)
    elif _BASE64.fullmatch(text):
        standard = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        yield base64.b64decode(standard + b"=")


def named_by_rows(
    store_set: StoreSet, names: Sequence[str], digests: Sequence[bytes]
) -> tuple[frozenset[str], frozenset[bytes]]:
    """Return which of these names and digests stand in any cell of any row, as whole words.

    The rows are read as the caller sees them: inside its transaction, or its snapshot. What
    stands in another file's longer name counts too, so that a file rather stays than goes.

    Raises:
        StoreError: A table could not be read, so nobody knows who else leads to a file.
    """
    wanted = Words(names, digests)
    for table in store_set.tables():
        store_set.scan(table, _collector(store_set, table, wanted))
    return frozenset(wanted.names), frozenset(wanted.digests)


def _collector(
    store_set: StoreSet, table: TableSchema, wanted: Words
) -> Callable[[Sequence[bytes]], None]:
    decode = store_set.decoder(table)

    def collect(rows: Sequence[bytes]) -> None:
        if wanted.candidate(b"".join(rows)):
            for row in filter(wanted.candidate, rows):
                for cell in decode(row):
                    if cell:
                        wanted.look(cell)

    return collect
