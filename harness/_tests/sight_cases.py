"""Upgrade gates that could not see what decides, each with exactly its findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness._tests.gate_cases import (
    MESSAGES,
    ONCE,
    QUEUE,
    SEEN,
    Found,
    large,
    rows,
    weighed,
)
from harness.model import History, Verdict

LOCKED: Final = "somebody has locked it: weigh again when that is over"
AGAIN: Final = (
    "its statistics cannot be trusted: weigh again in a quiet hour, with statistics renewed by "
    "ANALYZE"
)
GRANT: Final = "GRANT SELECT ON receipts TO waba;"


def _unknown(place: str, limit: str, why: str) -> Found:
    sentence = f"whether it has more rows than {limit} is not known, since {why}"
    return ("coverage", place, "rows", 1, sentence)


_LARGE: Final = ("messageStore.messages", "the guide's 2.0 million")
_WAITING: Final = ("callbackStore.queue", "the site's 1.0 thousand")
_UNTOLD: Final = replace(SEEN, pending_callbacks=None)
_QUEUE: Final = replace(QUEUE, rows=4, exact=False, least=0, most=9000)


def _with_client(client: object, history: History) -> History:
    return tuple(client if one is SEEN else one for one in history)  # type: ignore[misc]


SIGHT: Final[dict[str, tuple[History, Verdict, tuple[Found, ...]]]] = {
    "locked, and told to be small": (
        weighed(rows(3, least=0, most=2_000_001, uncounted=LOCKED), QUEUE),
        Verdict.UNKNOWN,
        (_unknown(*_LARGE, LOCKED),),
    ),
    "statistics that cannot be trusted": (
        weighed(rows(3, least=2_000_000, most=2_000_001), QUEUE),
        Verdict.UNKNOWN,
        (_unknown(*_LARGE, AGAIN),),
    ),
    "small for certain": (
        weighed(rows(3, least=0, most=2_000_000), QUEUE),
        Verdict.CLEAR,
        (),
    ),
    "large for certain": (
        weighed(rows(2_100_000, least=2_000_001, most=90_000_000, uncounted=LOCKED), QUEUE),
        Verdict.TRACE,
        (
            large(
                2_100_000,
                f"large: about 2.1 million rows, above the guide's 2.0 million: {ONCE}; no complete "
                "one is known at all",
            ),
        ),
    ),
    "a queue that nobody counts": (
        _with_client(_UNTOLD, weighed(MESSAGES, _QUEUE)),
        Verdict.UNKNOWN,
        (_unknown(*_WAITING, AGAIN),),
    ),
    "a queue that the client counts": (weighed(MESSAGES, _QUEUE), Verdict.CLEAR, ()),
    "a table that is not open to the account": (
        weighed(MESSAGES, QUEUE, hidden=(f"messageStore.receipts: {GRANT}",)),
        Verdict.UNKNOWN,
        (
            (
                "coverage",
                "rights to messageStore.receipts",
                "rights to messageStore.receipts",
                1,
                f"the account may not look at it: {GRANT}",
            ),
        ),
    ),
}
