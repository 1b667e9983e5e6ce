"""Rows of values -> the tab-separated text that both COPY and LOAD DATA read.

Whole columns of a chunk are converted at a time, since most of them hold one type of value
and nothing to escape. A chunk has as many rows as fill a buffer, so that memory stays flat
however many rows come, and however large they are.

Source: PostgreSQL documentation, COPY, "Text Format"; MySQL reference manual, LOAD DATA,
"Field and Line Handling". Backslash, tab, line feed and carriage return are all that both
must be told about, and both read NULL from the same two characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import NoneType
from typing import Any, Final

Row = Sequence[object]

_BUFFER_CHARACTERS: Final = 128 * 1024
_FIRST_ROWS: Final = 8
_MOST_ROWS: Final = 1_000
_NULL: Final = r"\N"
# The backslash first, since it is part of the other escapes.
_ESCAPES: Final = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))
_SEPARATOR: Final = "\x1f"


def buffers(rows: Iterable[Row], binary_prefix: str) -> Iterator[tuple[bytes, int]]:
    """Yield the rows as text in UTF-8, in buffers of whole rows, with how many rows each has.

    Args:
        rows: Values in the order of the columns: text, numbers, bytes or None.
        binary_prefix: What stands, in the text, before the hexadecimal digits of bytes.
    """
    remaining = iter(rows)
    wanted_rows = _FIRST_ROWS
    while chunk := list(islice(remaining, wanted_rows)):
        columns = [_column(cells, binary_prefix) for cells in zip(*chunk, strict=True)]
        buffer = ("\n".join(map("\t".join, zip(*columns, strict=True))) + "\n").encode("utf-8")
        yield buffer, len(chunk)
        # As many rows as would have filled this buffer will about fill the next.
        fitting = _BUFFER_CHARACTERS * len(chunk) // len(buffer)
        wanted_rows = max(1, min(fitting, 4 * len(chunk), _MOST_ROWS))


def _column(cells: tuple[object, ...], binary_prefix: str) -> Sequence[str]:
    """Return one column's cells as text, all at once where they are of one type, or NULL."""
    types = set(map(type, cells)) - {NoneType}
    if not types:
        return (_NULL,) * len(cells)
    if types == {str}:
        texts = _escaped_together([cell for cell in cells if cell is not None])
    elif types == {bytes}:
        texts = [binary_prefix + cell.hex() for cell in cells if isinstance(cell, bytes)]
    elif types <= {int, float}:
        texts = [repr(cell) for cell in cells if cell is not None]
    else:
        texts = [_text(cell, binary_prefix) for cell in cells if cell is not None]
    if len(texts) == len(cells):
        return texts
    known = iter(texts)
    return [_NULL if cell is None else next(known) for cell in cells]


def _escaped_together(texts: list[Any]) -> list[str]:
    joined = _SEPARATOR.join(texts)
    if joined.count(_SEPARATOR) != len(texts) - 1:
        return [_escaped(text) for text in texts]
    return _escaped(joined).split(_SEPARATOR)


def _text(cell: object, binary_prefix: str) -> str:
    if isinstance(cell, bytes):
        return binary_prefix + cell.hex()
    return str(int(cell)) if isinstance(cell, bool) else _escaped(str(cell))


def _escaped(text: str) -> str:
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text
