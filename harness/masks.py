"""What replaces an identifier inside data that stays: unlike any number, and unlike any other.

A mask is as long as what it replaces in every spelling, can never be a wa_id, is drawn at
random for one run and one identifier, and is never derived from it. The same identifier has
the same mask in every store and every form, so that what belonged together still does.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from itertools import combinations

from harness.errors import MaskError
from harness.identity import Closure, Filter, Identifier, Matcher, Representation, draw_mask


class Masks:
    """The masks of one closure, for one run; nothing of them is kept after it."""

    def __init__(self, closure: Closure, choose: Callable[[str], str] = secrets.choice) -> None:
        """Draw a mask for each identifier; `choose` picks a character of a string."""
        numbers = closure.identifiers
        masks: list[Identifier] = []
        # Two numbers of one person never share a mask: what differed still differs.
        while not masks or any(_alike(*pair) for pair in combinations(masks, 2)):
            masks = [draw_mask(number, choose) for number in numbers]
        self._masks = dict(zip(numbers, masks, strict=True))
        self._numbers = dict(zip(masks, numbers, strict=True))
        self._finds_numbers = Matcher(numbers)
        self._finds_masks = Matcher(masks)

    def __repr__(self) -> str:
        return f"Masks({len(self._masks)})"

    @property
    def candidate(self) -> Filter:
        """Tells rows and cells that may hold a mask from those that cannot."""
        return self._finds_masks.candidate

    def mask(self, cell: bytes, representation: Representation) -> bytes:
        """Return the cell with every identifier of the closure replaced by its mask.

        Raises:
            MaskError: The mask would change more than the identifier.
        """
        masked = self._finds_numbers.replace(cell, representation, self._masks)
        # Masks of an earlier round may stand here already, and are turned back on both sides.
        if self.unmask(masked, representation) != self.unmask(cell, representation):
            raise MaskError(
                "A mask drawn for this run cannot be told from what stands beside it here: run "
                "again, and other masks are drawn."
            )
        if _was_json(cell) and not _is_json(masked):
            raise MaskError(
                "An identifier stands where no mask would leave the document JSON: erase this "
                "cell by hand."
            )
        return masked

    def unmask(self, cell: bytes, representation: Representation) -> bytes:
        """Return the cell with every mask turned back into its identifier.

        Masks were absent from the stores before, so this undoes `mask` exactly; a mask that
        had replaced anything but its own identifier would turn into something else.
        """
        return self._finds_masks.replace(cell, representation, self._numbers)


def seeded(closure: Closure, seed: bytes) -> Masks:
    """Return the masks that a secret seed gives, the same each time: a run may be resumed.

    Whoever has the seed can turn masks back, so it is destroyed when the run is over.
    """
    drawn = 0

    def choose(characters: str) -> str:
        nonlocal drawn
        drawn += 1
        number = hashlib.blake2b(drawn.to_bytes(8, "big"), key=seed, digest_size=16).digest()
        return characters[int.from_bytes(number, "big") % len(characters)]

    return Masks(closure, choose)


def _was_json(cell: bytes) -> bool:
    return cell[:1] in {b"{", b"["} and _is_json(cell)


def _is_json(cell: bytes) -> bool:
    try:
        json.loads(cell)
    except ValueError:
        return False
    return True


def _alike(one: Identifier, other: Identifier) -> bool:
    return (
        one.digits == other.digits
        or one.integer == other.integer
        or (one.varint == other.varint != b"")
    )
