"""Histories on disk: one record as one JSON object a line, exactly, or not at all.

A history is the only thing a judge sees, so reading is strict: an unknown record, a field
too many, a field missing or a value of another type is refused. A refusal names the line
and the kind of record, never what stood there.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, get_args

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from harness.errors import EvidenceError, HarnessError
from harness.model import History, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.redaction import Redactor

_TAG: Final = "record"
_KINDS: Final = {kind.__name__ for kind in get_args(Record)}


def write(
    target: Path | BinaryIO,
    records: Iterable[Record],
    *,
    redactor: Redactor | None = None,
    durable: bool = True,
) -> int:
    """Append the records to a file or an open binary stream, and return how many there were.

    Each record is flushed before the next one is asked for, so a generator may act between
    two records; with `durable` it is also on the disk by then. A new file has mode 0600.

    Raises:
        EvidenceError: The file cannot be written, or its last line is incomplete.
        HarnessError: A record holds a number that JSON cannot, such as infinity.
    """
    count = 0
    with _opened(target) as stream:
        for count, record in enumerate(records, start=1):  # noqa: B007  # the last count is the result
            line = _encode(record, redactor)
            try:
                stream.write(line)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            except OSError as error:
                message = f"the history could not be written ({error.strerror}); free some space"
                raise EvidenceError(message) from None
    return count


def read(path: Path, *, cut_off: bool = False) -> History:
    """Return the history that a file holds; an empty file is an empty history.

    With `cut_off` a last line that was never finished is left out.

    Raises:
        EvidenceError: The file cannot be read.
        HarnessError: A line is not exactly a record, or the last one was never finished.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        message = f"the history cannot be read ({error.strerror})"
        raise EvidenceError(message) from None
    if lines.pop() and not cut_off:
        message = (
            f"the history ends in the middle of line {len(lines) + 1}: "
            "the run was cut off there and has to be repeated or resumed"
        )
        raise HarnessError(message)
    return tuple(_decode(line, number) for number, line in enumerate(lines, start=1))


def merge(*histories: History) -> History:
    """Return one history with the records of all, in the order given; merging is associative."""
    return tuple(chain.from_iterable(histories))


def _make_converter() -> Converter:
    """Make the converter that knows every record by its class name."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=False)
    configure_tagged_union(Record, converter, tag_name=_TAG)
    return converter


_CONVERTER: Final = _make_converter()


def _encode(record: Record, redactor: Redactor | None = None) -> bytes:
    document: Any = _CONVERTER.unstructure(record, Record)
    if redactor is not None:
        document = redactor.redact_structure(document)
    try:
        return json.dumps(document, allow_nan=False).encode("ascii") + b"\n"
    except ValueError:
        message = f"a {type(record).__name__} record holds a number that is not finite"
        raise HarnessError(message) from None


def _decode(line: bytes, number: int) -> Record:
    """Return the record of one line.

    Raises:
        HarnessError: The line is not what `write` would have written for any record.
    """
    kind = "record"
    try:
        document = json.loads(line.decode("ascii"))
        kind = _kind(document)
        record: Record = _CONVERTER.structure(document, Record)  # type: ignore[arg-type]  # a union
        # cattrs turns "5" into 5 and fills in defaults; written back, such a line differs.
        exact = _encode(record) == line + b"\n"
    except Exception:  # noqa: BLE001  # whatever cattrs and json raise quotes the content
        exact = False
    if not exact:
        message = (
            f"line {number} of the history is not a valid {kind}: "
            "it was changed, or written by another version of the harness"
        )
        raise HarnessError(message)
    return record


def _kind(document: object) -> str:
    """Return the kind of record if it is one of ours: a foreign name could be anything."""
    kind = document.get(_TAG) if isinstance(document, dict) else None
    return kind if isinstance(kind, str) and kind in _KINDS else "record"


@contextmanager
def _opened(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Yield a stream that appends; only what was opened here is closed here."""
    if not isinstance(target, os.PathLike):
        yield target
        return
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"the history cannot be opened for writing ({error.strerror})"
        raise EvidenceError(message) from None
    with os.fdopen(descriptor, "ab+") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                message = "the history's last line is incomplete; nothing was added to it"
                raise EvidenceError(message)
        yield stream
