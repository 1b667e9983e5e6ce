"""Column types -> what stands in their cells, and how wide a number they hold."""

from __future__ import annotations

import re
from typing import Final

from harness.identity import Representation
from harness.model import ColumnSchema

_NUMBER: Final = re.compile(
    r"((tiny|small|medium|big)?int|integer|decimal|numeric|double|float|real|year)(?![a-z0-9])"
)
_WIDE: Final = re.compile(r"bigint|decimal|numeric")
_BLOB: Final = re.compile(r"(tiny|medium|long)?blob|(var)?binary|bit\b|bytea$")
_JSON: Final = re.compile(r"jsonb?$")


def representation(column: ColumnSchema) -> Representation:
    """Return what stands in the cells of a column, on either engine; text where in doubt."""
    type_name = column.type_name.lower()
    if "[]" in type_name:
        return Representation.TEXT
    for pattern, kind in (
        (_NUMBER, Representation.INTEGER),
        (_BLOB, Representation.BLOB),
        (_JSON, Representation.JSON),
    ):
        if pattern.match(type_name):
            return kind
    return Representation.TEXT


def holds_wide_integers(column: ColumnSchema) -> bool:
    """Tell whether a numeric column holds integers of 17 digits, as masks are."""
    return _WIDE.match(column.type_name.lower()) is not None
