"""Bodies and statuses as the client's API gives them, typed by hand from its public reference.

Nothing here is shared with the harness's own client, so that a mistake in one is seen by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Document = dict[str, Any]

STATUSES: Final[Mapping[int, int]] = {
    1005: 403,
    1006: 404,
    1008: 400,
    1009: 400,
    1010: 400,
    1011: 500,
    1014: 500,
    1015: 429,
    1016: 503,
    1023: 500,
    1024: 401,
}
"""HTTP statuses by error code, as they are published."""
DENIED: Final = 1005
NOT_FOUND: Final = 1006
MISSING: Final = 1008
INVALID: Final = 1009
SUPERFLUOUS: Final = 1010
INTERNAL: Final = 1014
BUSY: Final = 1015
OVERLOADED: Final = 1016
NOT_LOGGED_IN: Final = 1024
_TITLES: Final[Mapping[int, str]] = {
    1014: "Internal error",
    # The titles from here on are this stand-in's own words.
    1005: "Access denied",
    1006: "Not found",
    1008: "Something is missing",
    1009: "Value not valid",
    1010: "Not expected",
    1011: "Not ready",
    1015: "Too many requests",
    1016: "Overloaded",
    1023: "Try again",
    1024: "Not logged in",
}


class RefusedError(Exception):
    """The stand-in answers with an error: its code, its details, and a status if not the code's."""

    def __init__(self, code: int, details: str, *, status: int = 0) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.status = status or STATUSES[code]


def meta(version: str) -> Document:
    """Return what every answer says of the client."""
    return {"meta": {"api_status": "stable", "version": f"v{version}"}}


def error(code: int, details: str) -> Document:
    """Return one error as it stands in a list of them."""
    return {"code": code, "title": _TITLES[code], "details": details}


def refusal(version: str, refused: RefusedError) -> Document:
    """Return the body of an answer that refuses."""
    return {**meta(version), "errors": [error(refused.code, refused.details)]}
