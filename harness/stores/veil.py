"""Letters for digits: how a value is written so that logs of statements hold no number.

A row's key can be the subject's number, and a masked cell holds other people's; what names
them stays in a server's logs of statements. So a value is written in hexadecimal with letters
for its digits, and the server puts the digits back. This hides nothing from somebody who runs
the statement again: it keeps numbers out of what is read, searched and shipped elsewhere.
"""

from __future__ import annotations

import secrets
from typing import Final

DIGITS: Final = "0123456789"
# None of them is a hexadecimal digit, so that none is replaced twice.
_LETTERS: Final = "ghijklmnop"


class Veil:
    """One way of writing digits as letters, drawn anew each time; it shows beside what it hides."""

    def __init__(self) -> None:
        letters = list(_LETTERS)
        secrets.SystemRandom().shuffle(letters)
        self.letters = "".join(letters)
        self._written = str.maketrans(DIGITS, self.letters)

    def write(self, cell: bytes) -> str:
        """Return the letters for a value's bytes, two for each."""
        return cell.hex().translate(self._written)
