"""Values in statements, written so that nobody reads a number in the logs that keep statements.

A row's key can be the subject's number, and what names the key stays in the general log, the
slow log and a binary log of statements. So a value is written as letters that stand for its
hexadecimal digits, and the server puts the digits back. This hides nothing from somebody who
runs the statement again: it keeps numbers out of what is read, searched and shipped elsewhere.

The server computes the value once, as a constant, and compares it in the column's own
collation, so it uses the same index and locks the same rows as for the plain value. REPLACE and
UNHEX give the same result on every replica. AES_DECRYPT would not do: it depends on a setting
that is not replicated, and is unsafe under statement-based logging.

Source: MySQL reference manual, "Determination of Safe and Unsafe Statements in Binary Logging".
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from harness.model import ColumnSchema

_DIGITS: Final = "0123456789ABCDEF"
_LETTERS: Final = "ghijklmnopqrstuv"
"""None of them is a hexadecimal digit, so that none is replaced twice."""
_SHORTEST_NUMBER_DIGITS: Final = 7
_LONGEST_LITERAL_BYTES: Final = 256 * 1024
"""What is longer may need all of the server's max_allowed_packet as it is."""
_TEXT: Final = re.compile(r"(var)?char|(tiny|medium|long)?text")
_DECIMAL: Final = re.compile(r"(?:decimal|numeric)\((\d+,\d+)\)")
_WHOLE: Final = re.compile(r"(tiny|small|medium|big)?int|integer")


class Veil:
    """One way of writing digits as letters; each statement's own shows beside what it hides."""

    def __init__(self) -> None:
        letters = list(_LETTERS)
        secrets.SystemRandom().shuffle(letters)
        self._written = str.maketrans(_DIGITS.lower(), "".join(letters))
        self._head = "UNHEX(" + "REPLACE(" * len(letters)
        restored = (
            f",'{letter}','{digit}')" for letter, digit in zip(letters, _DIGITS, strict=True)
        )
        self._tail = "".join(restored) + ")"

    def binary(self, cell: bytes) -> str:
        """Return the expression of a binary string."""
        return f"{self._head}'{cell.hex().translate(self._written)}'{self._tail}"

    def text(self, cell: bytes, collation: str = "") -> str:
        """Return the expression of a text given in UTF-8, to be compared in a collation.

        Without a collation it is to be stored, and the server converts it as it does a literal.
        """
        expression = f"CONVERT({self.binary(cell)} USING utf8mb4)"
        if not collation:
            return expression
        charset = collation.partition("_")[0]
        if charset != "utf8mb4":
            expression = f"CONVERT({expression} USING {charset})"
        return f"{expression} COLLATE {collation}"

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
    """Tell whether a column holds text of any length, compared in a collation."""
    return bool(column.collation) and _TEXT.match(column.type_name.lower()) is not None


def is_too_long(cell: bytes) -> bool:
    """Tell whether a text might not fit into a packet if it were written longer than it is."""
    return len(cell) > _LONGEST_LITERAL_BYTES
