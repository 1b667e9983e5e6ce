"""Names and digests of files as words of a text: one filter over raw rows, one check of cells.

Both err to one side: what may be a file's name is taken for it, so that a file that somebody
else's row may lead to stays.
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote_to_bytes

import re2

UUID: Final = re.compile(
    rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])"
)
_RUN: Final = re.compile(rb"[0-9A-Za-z]+")
_NEEDLE_BYTES: Final = 12
"""So many letters and digits tell a name or digest from chance; more cost memory."""
_SHORTEST_NEEDLE_BYTES: Final = 3
_MEMORY_BYTES: Final = 512 << 20
_ESCAPED: Final = re.compile(rb"\\+([nrtbf]|(?=[\"/\\]))")


def keys(name: str) -> frozenset[str]:
    """Return what a file of this name is known by: the UUIDs in it, or else the name itself.

    A UUID names the same file whatever its case and its ending.
    """
    found = frozenset(match.decode("ascii").lower() for match in UUID.findall(encoded(name)))
    return found or frozenset({name})


def encoded(name: str) -> bytes:
    """Return the bytes of a file's name, which need not be text."""
    return name.encode("utf-8", "surrogateescape")


class Words:
    """What is looked for in rows; `names` and `digests` are those that were found so far."""

    def __init__(self, names: Iterable[str], digests: Iterable[bytes]) -> None:
        self.names: set[str] = set()
        self.digests: set[bytes] = set()
        self._uuids: dict[bytes, set[str]] = defaultdict(set)
        self._plain: dict[str, tuple[bytes, ...]] = {}
        for name in names:
            uuids = UUID.findall(encoded(name))
            for uuid in uuids:
                self._uuids[uuid.lower()].add(name)
            if not uuids:
                self._plain[name] = tuple({form.lower() for form in _forms(name)})
        self._digests = {form: digest for digest in digests for form in _written(digest)}
        self.candidate = self._filter()
        self._near: dict[bytes, list[bytes]] = defaultdict(list)
        for form in self._digests:
            self._near[_needle(form)].append(form)
        self._digests_needle = _compiled(self._near)

    def _filter(self) -> Callable[[bytes], bool]:
        needles = {uuid[-_NEEDLE_BYTES:] for uuid in self._uuids}
        needles |= {_needle(encoded(name)) for name in self._plain}
        needles |= {_needle(form) for form in self._digests}
        if any(len(needle) < _SHORTEST_NEEDLE_BYTES for needle in needles):
            return lambda _: True
        search = _compiled(needles)
        return lambda data: search is not None and search.search(data) is not None

    def look(self, cell: bytes) -> None:
        """Note what stands in a cell."""
        for text in _readings(cell):
            lower = text.lower()
            for uuid in UUID.findall(lower):
                self.names |= self._uuids.get(uuid, set())
            self.names |= {
                name
                for name, forms in self._plain.items()
                if any(_stands(form, lower) for form in forms)
            }
            self._look_for_digests(text)

    def _look_for_digests(self, text: bytes) -> None:
        if self._digests_needle is None:
            return
        for match in self._digests_needle.finditer(text):
            for form in self._near[match.group().lower()]:
                # Hexadecimal digits have no case, base64 has.
                where = text.lower() if len(form) == 64 else text  # noqa: PLR2004  # digits
                if _stands(form, where):
                    self.digests.add(self._digests[form])


def _forms(name: str) -> Iterator[bytes]:
    """Yield how a name is written: as it is, in JSON, in a URL and in a web form."""
    raw = encoded(name)
    yield raw
    yield json.dumps(name)[1:-1].encode("ascii")
    yield quote(raw).encode("ascii")
    yield quote_plus(raw).encode("ascii")


def _written(digest: bytes) -> Iterator[bytes]:
    """Yield how a digest is written: in hexadecimal, in base64, in base64 for URLs."""
    yield digest.hex().encode("ascii")
    yield base64.b64encode(digest).rstrip(b"=")
    yield base64.urlsafe_b64encode(digest).rstrip(b"=")


def _needle(form: bytes) -> bytes:
    """Return the longest run of letters and digits, which no way of writing tears apart."""
    runs = _RUN.findall(form)
    return max(runs, key=len, default=b"")[:_NEEDLE_BYTES].lower()


def _compiled(needles: Iterable[bytes]) -> Any:  # noqa: ANN401  # re2 has no types
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY_BYTES
    options.case_sensitive = False
    options.log_errors = False
    alternatives = sorted(set(needles))
    return re2.compile(b"|".join(alternatives), options) if alternatives else None


def _readings(cell: bytes) -> set[bytes]:
    """Return a cell as it is, and with the escapes of JSON and of URLs undone."""
    plain = _ESCAPED.sub(lambda match: b" " if match[1] else b"", cell) if b"\\" in cell else cell
    return {cell, plain, unquote_to_bytes(plain) if b"%" in plain else plain}


def _stands(form: bytes, text: bytes) -> bool:
    """Tell whether a word stands in a text, and neither letter nor digit beside it."""
    start = text.find(form)
    while start >= 0:
        end = start + len(form)
        beside = text[max(start - 1, 0) : start] + text[end : end + 1]
        if not _RUN.search(beside):
            return True
        start = text.find(form, start + 1)
    return False
