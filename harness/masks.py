"""What replaces an identifier inside data that stays: unlike any number, and unlike any other.

A mask has the length of the number it replaces, starts with 0 so that it can never be a
wa_id, is drawn at random for one run and one number, and is never derived from the number.
The same number has the same mask in every store, so that what belonged together still does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from harness.identity import Closure, Matcher

_DIGITS = "0123456789"


class Masks:
    """The masks of one closure, for one run; nothing of them is kept after it."""

    def __init__(self, closure: Closure, choose: Callable[[str], str] = secrets.choice) -> None:
        """Draw a mask for each number; `choose` picks a character of a string."""
        self._masks: dict[bytes, bytes] = {}
        for number in closure.numbers:
            mask = b""
            # Two numbers of one person never share a mask: what differed still differs.
            while not mask or mask in self._masks.values():
                drawn = "0" + "".join(choose(_DIGITS) for _ in number[1:])
                mask = drawn.encode("ascii")
            self._masks[number.encode("ascii")] = mask
        self._matcher = Matcher(closure)
        plain = {mask: number for number, mask in self._masks.items()}
        # PostgreSQL sends a bytea as hexadecimal text, so the masks' codes come back as such.
        coded = {m.hex().encode("ascii"): n.hex().encode("ascii") for m, n in plain.items()}
        self._back = plain | coded
        self.coded_needles = tuple(coded)
        self.needles = tuple(self._back)
        self._present = re.compile(b"|".join(map(re.escape, self._back)))

    def __repr__(self) -> str:
        return f"Masks({len(self._masks)})"

    def mask(self, cell: bytes) -> bytes:
        """Return the cell with every number of the closure replaced by its mask."""
        return self._matcher.replace(cell, self._masks.__getitem__)

    def present(self, row: bytes) -> bool:
        """Tell whether an encoded row holds a mask, as plain or as hexadecimal text."""
        return self._present.search(row) is not None

    def unmask(self, row: bytes) -> bytes:
        """Return an encoded row with every mask turned back into its number.

        Masks were absent from the stores before, so this undoes `mask` exactly, by another
        way than masking was done.
        """
        return self._present.sub(lambda match: self._back[match[0]], row)
