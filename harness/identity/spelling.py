"""How one identifier is spelled where it is not simply its digits.

A number of the subject and the mask that stands in for it are the same kind of thing: each
has its digits, and its spellings in places that digits alone do not fit. So one matcher
finds both, and what was masked can be found again and turned back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import phonenumbers

_VARINT_LEAST: Final = 5
"""The bytes of the shortest varint that is looked for: fewer stand in any binary by chance."""
_MASK_ZEROS: Final = 3
_WIDE_DIGITS: Final = 17
_SMALL: Final = 1_000_000
_DIGITS: Final = "0123456789"


@dataclass(frozen=True, slots=True, repr=False)
class Identifier:
    """One number, or one mask, in each of its spellings.

    `digits` in text, codes and packed decimals; `integer` in integer columns and as 64 bits;
    `varint` as a protocol buffer writes it, empty where that is too short to be told from
    chance; `json` where JSON wants a number. The first
    `country_digits` are the country code, or take its place.
    """

    digits: str
    integer: int
    varint: bytes
    json: str
    country_digits: int

    @property
    def split(self) -> tuple[str, str]:
        """The digits as country code, empty if no plan has it, and national number."""
        return self.digits[: self.country_digits], self.digits[self.country_digits :]

    @property
    def is_mask(self) -> bool:
        """Whether it stands in for a number: no number of any plan starts with 0."""
        return self.digits.startswith("0")

    def __repr__(self) -> str:
        return "***"


@lru_cache(maxsize=1024)
def spelled(number: str) -> Identifier:
    """Return a number of 7 to 18 digits, the first not 0, in its spellings."""
    integer = int(number)
    varint = encode_varint(integer)
    return Identifier(
        digits=number,
        integer=integer,
        varint=varint if len(varint) >= _VARINT_LEAST else b"",
        json=number,
        country_digits=country_digits(number),
    )


def country_digits(number: str) -> int:
    """Return how many digits a number's country code has, or 0 where no plan has it."""
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return next((size for size in (1, 2, 3) if int(number[:size]) in codes), 0)


def draw_mask(real: Identifier, choose: Callable[[str], str]) -> Identifier:
    """Draw what stands in for an identifier: as long in every spelling, and never a wa_id.

    As digits it starts with three zeros; as an integer it has 17 digits; as JSON it is a
    fraction (`0.0…`), since JSON has no leading zeros; as a varint it is a number below
    one million, padded with continuation bytes to the length it replaces, which decoders
    read as they read any other.

    Args:
        real: The identifier to be replaced.
        choose: Picks a character of a string at random.
    """
    free = "".join(choose(_DIGITS) for _ in real.digits[_MASK_ZEROS + 1 :])
    # The last digit is not 0, which a database would drop from a fraction.
    free += choose(_DIGITS[1:])
    wide = choose(_DIGITS[1:]) + "".join(choose(_DIGITS) for _ in range(_WIDE_DIGITS - 1))
    return Identifier(
        digits="0" * _MASK_ZEROS + free,
        integer=int(wide),
        varint=_padded(1 + int(wide) % (_SMALL - 1), len(real.varint)) if real.varint else b"",
        json="0.0" + free,
        country_digits=real.country_digits,
    )


def encode_varint(value: int) -> bytes:
    """Return an integer as a protocol buffer's varint: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _padded(value: int, length: int) -> bytes:
    minimal = encode_varint(value)
    continued = bytes([*minimal[:-1], minimal[-1] | 0x80])
    return continued.ljust(length - 1, b"\x80") + b"\x00"
