"""Veiled values as MySQL reads them: computed once, compared in the column's own collation.

The server takes such an expression for the constant that it is, so it uses the same index and
locks the same rows as for the plain value. REPLACE and UNHEX give the same result on every
replica. AES_DECRYPT would not do: it depends on a setting that is not replicated, and is
unsafe under statement-based logging.

Source: MySQL reference manual, "Determination of Safe and Unsafe Statements in Binary Logging".
"""

from __future__ import annotations

import re
from typing import Final

from harness.model import ColumnSchema
from harness.stores.veil import DIGITS, Veil

_SHORTEST_NUMBER_DIGITS: Final = 7
_LONGEST_TEXT_BYTES: Final = 256 * 1024
"""What is longer may need all of the server's max_allowed_packet as it is."""
_TEXT: Final = re.compile(r"(var)?char|(tiny|medium|long)?text|json")
_DECIMAL: Final = re.compile(r"(?:decimal|numeric)\((\d+,\d+)\)")
_WHOLE: Final = re.compile(r"(tiny|small|medium|big)?int|integer")


class MySqlVeil:
    """Writes values as expressions that are theirs again on the server."""

    def __init__(self) -> None:
        self._veil = Veil()
        pairs = zip(self._veil.letters, DIGITS, strict=True)
        self._head = "UNHEX(" + "REPLACE(" * len(DIGITS)
        self._tail = "".join(f",'{letter}','{digit}')" for letter, digit in pairs) + ")"

    def binary(self, cell: bytes) -> str:
        """Return the expression of a binary string."""
        return f"{self._head}'{self._veil.write(cell)}'{self._tail}"

    def stored_text(self, cell: bytes) -> str:
        """Return the expression of a text given in UTF-8; to be stored, it is as a literal is."""
        return f"CONVERT({self.binary(cell)} USING utf8mb4)"

    def compared_text(self, cell: bytes, collation: str) -> str:
        """Return the expression of a text given in UTF-8, to be compared in a collation."""
        charset = collation.partition("_")[0]
        text = self.stored_text(cell)
        if charset != "utf8mb4":
            text = f"CONVERT({text} USING {charset})"
        return f"{text} COLLATE {collation}"

    def number(self, cell: bytes, column: ColumnSchema) -> str:
        """Return the expression of a number; one too short to be anybody's is left readable."""
        if sum(byte in b"0123456789" for byte in cell) < _SHORTEST_NUMBER_DIGITS:
            return cell.decode("ascii")
        type_name = column.type_name.lower()
        if _WHOLE.match(type_name):
            kind = "UNSIGNED" if "unsigned" in type_name else "SIGNED"
        elif precision := _DECIMAL.match(type_name):
            kind = f"DECIMAL({precision[1]})"
        else:
            return f"({self.binary(cell)} + 0e0)"
        return f"CAST({self.binary(cell)} AS {kind})"


def is_text(column: ColumnSchema) -> bool:
    """Tell whether a column holds text of any length."""
    return _TEXT.match(column.type_name.lower()) is not None


def is_too_long(cell: bytes) -> bool:
    """Tell whether a text might not fit into a packet if it were written longer than it is."""
    return len(cell) > _LONGEST_TEXT_BYTES
