"""Figures as people read them: many digits in a row would be redacted as somebody's number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BYTES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "bytes"))
COUNTS: Final = ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"), (0, ""))


def rounded(number: float, units: Sequence[tuple[float, str]]) -> str:
    """Return a number with one decimal and its unit; a small one whole."""
    for size, unit in units:
        if size and number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} {units[-1][1]}".rstrip()
